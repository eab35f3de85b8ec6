"""The API is as its description says: schemathesis sends what the description allows, and more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dav.access_tokens import access_tokens
from dav.api.settings import ApiSettings
from dav.registry import read_state
from tests.support.drive import Drive, running_drive
from tests.support.volumes import put


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    api = ApiSettings(registration=True, requests_per_minute=1_000_000, wait_seconds=1)
    with running_drive(tmp_path_factory.mktemp("openapi"), api=api) as drive:
        put(drive.repository.volume("alice"), "file", b"content")
        yield drive


@schemathesis.serializer("application/vnd.msgpack")
def garbage(_: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def test_answers_are_as_described(served: Drive) -> None:
    user = read_state(served.repository).users["alice"]
    token = access_tokens(served.repository, time.time_ns).issue(user)
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/api/v1/openapi.json")
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    count = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        for mode in GenerationMode:

            @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case[Any]) -> None:
                case.call_and_validate(headers=headers, checks=checks)

            check()
            count += 1
    assert count > 40


def test_each_route_is_described(served: Drive) -> None:
    client = served.client("alice")
    reply = client("GET", "/api/v1/openapi.json")
    client.connection.close()
    document = json.loads(reply.body)
    assert document["openapi"].startswith("3.1")
    operations = [
        (path, method) for path, methods in document["paths"].items() for method in methods
    ]
    assert ("/commit", "post") in operations
    assert ("/upload/chunk/{id}", "put") in operations
    assert len(operations) > 20
