"""Health for programs that watch: no account, no secrets."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

import cas
from dav.health import LIVE, READY, health
from dav.registry import Registry
from tests.support.drive import running_drive


def test_who_watches_needs_no_account(tmp_path: Path) -> None:
    with running_drive(tmp_path) as drive:
        connection = http.client.HTTPConnection("127.0.0.1", drive.port, timeout=30)
        for path, body in ((LIVE, b"alive\n"), (READY, b"ready\n")):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, body)
        connection.request("GET", "/health/other")
        response = connection.getresponse()
        assert response.status == 401
        response.read()
        connection.close()


def test_a_store_that_cannot_be_read_is_not_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with cas.create(tmp_path / "store") as repository:
        registry = Registry(repository)
    answer = health(READY, registry)  # the repository is closed by now
    assert answer is not None
    assert answer.status.startswith("503")
    assert "cannot be read" in caplog.text
    alive = health(LIVE, registry)
    assert alive is not None
    assert alive.status.startswith("200")
