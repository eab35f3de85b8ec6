"""Signing in, tokens of devices, and what ends them, over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dav import accounts
from dav.api.settings import ApiSettings
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import Credentials, TokenAnswer
from syncd.remote.errors import RefusedError, SignedOutError
from tests.support.drive import Drive, running_drive

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    api = ApiSettings(registration=True)
    with running_drive(tmp_path_factory.mktemp("accounts"), api=api) as drive:
        accounts.set_password(drive.repository, "alice", PASSWORD)
        yield drive


class Kept:
    """A refresh token in memory."""

    def __init__(self) -> None:
        self.token = ""

    def load(self) -> str:
        return self.token

    def save(self, token: str) -> None:
        self.token = token


def ask(
    drive: Drive, method: str, path: str, body: object = None, token: str = ""
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", drive.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    encoded = None if body is None else json.dumps(body)
    connection.request(method, f"/api/v1/{path}", encoded, headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, json.loads(answer) if answer else None


def sign_in(drive: Drive, device: str = "laptop", user: str = "alice") -> TokenAnswer:
    asked = {"grant_type": "password", "user": user, "password": PASSWORD, "device": device}
    status, answer = ask(drive, "POST", "token", asked)
    assert status == 200, answer
    return TokenAnswer(
        answer["access_token"], answer["expires_in"], answer["refresh_token"], answer["device_id"]
    )


def test_a_device_signs_in_and_its_name_is_known(served: Drive) -> None:
    tokens = sign_in(served, "tower")
    status, me = ask(served, "GET", "me", token=tokens.access_token)
    assert (status, me["user"], me["device"], me["method"]) == (200, "alice", "tower", "jwt")
    _, listed = ask(served, "GET", "devices", token=tokens.access_token)
    assert [(each["name"], each["is_this"]) for each in listed if each["is_this"]] == [
        ("tower", True)
    ]


def test_a_revoked_device_is_out_at_once(served: Drive) -> None:
    mine, lost = sign_in(served, "mine"), sign_in(served, "lost")
    token = mine.access_token
    assert ask(served, "DELETE", f"devices/{lost.device_id}", token=token)[0] == 204
    assert ask(served, "GET", "me", token=lost.access_token)[0] == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": lost.refresh_token}
    assert ask(served, "POST", "token", refresh)[0] == 401
    assert ask(served, "DELETE", f"devices/{lost.device_id}", token=token)[0] == 404
    assert ask(served, "GET", "me", token=token)[0] == 200


def test_nobody_revokes_the_devices_of_others(served: Drive) -> None:
    accounts.set_password(served.repository, "bob", PASSWORD)
    hers, his = sign_in(served), sign_in(served, user="bob")
    status, _ = ask(served, "DELETE", f"devices/{hers.device_id}", token=his.access_token)
    assert status == 404
    assert ask(served, "GET", "me", token=hers.access_token)[0] == 200


def test_a_client_renews_its_tokens_by_itself(served: Drive) -> None:
    kept = Kept()
    credentials = Credentials(kept)
    connection = Connection(f"http://127.0.0.1:{served.port}", credentials)
    credentials.take(sign_in(served, "self"))
    first = kept.token
    remote = Remote(connection)
    assert remote.welcome().account == "alice"
    credentials.refused(connection.token())
    assert remote.welcome().account == "alice"
    assert kept.token != first
    device_id = first.split(".")[1]
    other = sign_in(served)
    ask(served, "DELETE", f"devices/{device_id}", token=other.access_token)
    with pytest.raises(SignedOutError):
        remote.welcome()
    assert kept.token  # what is stored stays
    connection.close()


def test_wrong_passwords_and_malformed_sign_ins(served: Drive) -> None:
    wrong = {"grant_type": "password", "user": "alice", "password": "no", "device": "x"}
    assert ask(served, "POST", "token", wrong)[0] == 401
    bodies: list[object] = [
        {},
        [],
        {"grant_type": "other"},
        {**wrong, "more": 1},
        {**wrong, "device": ["x"]},
    ]
    for body in bodies:
        assert ask(served, "POST", "token", body)[0] == 400
    nameless = {**wrong, "password": PASSWORD, "device": ""}
    assert ask(served, "POST", "token", nameless)[0] == 400
    refresh = {"grant_type": "refresh_token", "refresh_token": "x"}
    assert ask(served, "POST", "token", refresh)[0] == 401


def test_whoever_registers_has_an_account(served: Drive) -> None:
    asked = {"user": "carol", "password": PASSWORD}
    assert ask(served, "POST", "register", asked) == (201, {"user": "carol"})
    assert ask(served, "POST", "register", asked)[0] == 409
    assert ask(served, "POST", "register", {**asked, "user": "../x"})[0] == 400
    assert ask(served, "POST", "register", {"user": "dave", "password": "short"})[0] == 400
    tokens = sign_in(served, user="carol")
    assert ask(served, "GET", "me", token=tokens.access_token)[1]["role"] == "user"


def test_without_the_operator_s_leave_nobody_registers(tmp_path: Path) -> None:
    with running_drive(tmp_path) as drive:
        asked = {"user": "carol", "password": PASSWORD}
        assert ask(drive, "POST", "register", asked)[0] == 403


def test_the_error_of_a_refusal_is_typed(served: Drive) -> None:
    connection = Connection(f"http://127.0.0.1:{served.port}", Credentials(Kept()))
    with pytest.raises(RefusedError) as caught:
        connection.post_json("token", {"grant_type": "password"}, TokenAnswer)
    assert caught.value.status == 401
    connection.close()


def test_registering_counts_as_many_requests(tmp_path: Path) -> None:
    api = ApiSettings(registration=True, requests_per_minute=500)
    with running_drive(tmp_path, api=api) as drive:
        asked = {"user": "../", "password": PASSWORD}
        assert [ask(drive, "POST", "register", asked)[0] for _ in range(3)] == [400, 400, 429]
