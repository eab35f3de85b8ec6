"""`casdav serve` as a process: start, banner, log, refusals, end."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support import casdav_command, free_port, run_casdav, wait_until
from tests.support.processes import casdav_environment, end_group
from tools import serving, settings
from tools.banner import base_url
from tools.exits import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator


class Running:
    """A server, started by words after `casdav serve`, with what it has printed."""

    def __init__(self, directory: Path, port: int, *arguments: str, **environment: str) -> None:
        self.port = port
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*casdav_command(), "serve", "--port", str(port), *arguments],
                cwd=directory,
                env=casdav_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def log(self) -> str:
        return self._err.read_text()

    def wait_until_ready(self, word: str = "the drive") -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, f"it ended early:\n{self.out}{self.log}"
            return word in self.out

        wait_until(is_ready, "the server to be ready")

    def request(self, method: str, path: str, user: str = "", password: str = "") -> int:
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"} if user else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        return response.status


@contextmanager
def running(directory: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    server = Running(directory, free_port(), *arguments, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            end_group(server.process)


def stop(server: Running, number: int = signal.SIGTERM) -> int:
    server.process.send_signal(number)
    return server.process.wait(timeout=30)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_quickstart_makes_all_that_is_missing_and_prints_the_password_once(
    tmp_path: Path, workers: str
) -> None:
    with running(tmp_path, "--quickstart", "--workers", workers) as server:
        server.wait_until_ready()
        user, password = first_admin(server.out)
        assert server.request("GET", f"/dav/{user}/", user, password) == 200
        assert server.request("GET", f"/dav/{user}/", user, "wrong") == 401
        for system in ("Windows", "macOS", "Linux", "rclone"):
            assert system in server.out
        assert stop(server) == 0
    assert (tmp_path / "casdav-data").is_dir()
    with running(tmp_path, "--quickstart", "--workers", workers) as server:
        server.wait_until_ready()
        assert "app password " not in server.out
        assert server.request("GET", f"/dav/{user}/", user, password) == 200
        assert stop(server, signal.SIGINT) == 0


def first_admin(out: str) -> tuple[str, str]:
    user = re.search(r"^  user +(\S+)$", out, re.MULTILINE)
    password = re.search(r"^  app password (\S+)$", out, re.MULTILINE)
    assert user is not None
    assert password is not None
    return user[1], password[1]


def test_the_first_admin_can_be_given_a_password(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse battery staple\n")
    variable = {"CASDAV__QUICKSTART__ADMIN_PASSWORD_FILE": str(tmp_path / "secret")}
    with running(tmp_path, "--quickstart", **variable) as server:
        server.wait_until_ready()
        user, _ = first_admin(server.out)
        assert server.request("GET", "/dav/", user, "correct horse battery staple") == 200
        assert "correct horse" not in server.out + server.log


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_each_request_is_one_line_without_a_secret(tmp_path: Path, log_format: str) -> None:
    with running(tmp_path, "--quickstart", "--log-format", log_format) as server:
        server.wait_until_ready()
        user, password = first_admin(server.out)
        path = f"/dav/{user}/a%0D%20b"
        server.request("GET", f"{path}?token=hush", user, password)
        server.request("GET", f"/dav/{user}/", user, "wrong-hush")
        server.request("PUT", f"/dav/{user}/c", user, password)
        wait_until(lambda: server.log.count("\n") >= 3, "three lines")
        assert stop(server) == 0
    lines = server.log.splitlines()
    assert len(lines) == 3
    for secret in ("hush", password, base64.b64encode(f"{user}:{password}".encode()).decode()):
        assert secret not in server.log
    if log_format == "json":
        line = json.loads(lines[2])
        assert (line["event"], line["method"], line["status"]) == ("request", "PUT", 201)
        assert (line["user"], line["path"]) == (user, f"/dav/{user}/c")
        assert json.loads(lines[1])["user"] == ""
    else:
        assert re.search(rf'127\.0\.0\.1 {user} "PUT /dav/{user}/c" 201 in=0', lines[2])


def test_json_prints_one_line_when_ready(tmp_path: Path) -> None:
    with running(tmp_path, "--quickstart", "--json") as server:
        server.wait_until_ready("\n")
        [line] = [json.loads(line) for line in server.out.splitlines()]
        assert line["message_type"] == "ready"
        assert line["drive"] == f"http://127.0.0.1:{server.port}/dav/"
        assert server.request("GET", "/dav/", line["admin"], line["app_password"]) == 200


def test_quiet_prints_and_logs_nothing(tmp_path: Path) -> None:
    run_casdav("init", tmp_path / "store")
    run_casdav("user", "add", "alice", "--no-password", store=tmp_path / "store")
    with running(tmp_path, "-q", CASDAV_STORE=str(tmp_path / "store")) as server:
        wait_until(lambda: answers(server), "the server to answer")
        assert stop(server) == 0
    assert (server.out, server.log) == ("", "")


def answers(server: Running) -> bool:
    try:
        return server.request("GET", "/dav/") == 401
    except ConnectionError:
        return False


def test_what_hinders_the_start_is_one_line_with_its_code(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ended = run_casdav("serve", store=store, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (10, 1)
    assert "casdav init" in ended.stderr
    run_casdav("init", store)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for workers in ("1", "2"):
            words = ["serve", "--quickstart", "-q", "--port", port, "--workers", workers]
            ended = run_casdav(*words, store=store, check=False)
            assert ended.returncode == 1
            assert port in ended.stderr
            assert ended.stderr.count("\n") == 1
    ended = run_casdav("serve", "--tls-cert", tmp_path / "no.pem", store=store, check=False)
    assert ended.returncode == 1
    assert "no.pem" in ended.stderr
    (store / "config").write_bytes(b"something else")
    ended = run_casdav("serve", store=store, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_passwords_in_the_clear_are_refused_beyond_this_machine(host: str) -> None:
    with pytest.raises(Failure, match="--insecure"):
        serving.server_settings(settings.ServerSettings(host=host))


@pytest.mark.parametrize(
    "accepted", [{"insecure": True}, {"behind_proxy": True}, {"tls_cert": "cert.pem"}]
)
def test_they_are_accepted_with_tls_or_when_said_so(accepted: dict[str, bool]) -> None:
    wanted = settings.ServerSettings(host="0.0.0.0", **accepted)  # type: ignore[arg-type]
    assert serving.server_settings(wanted).host == "0.0.0.0"


def test_a_key_needs_a_certificate() -> None:
    with pytest.raises(Failure, match="--tls-cert"):
        serving.server_settings(settings.ServerSettings(tls_key="key.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.4.5"])
def test_loopback_is_this_machine(host: str) -> None:
    assert serving.is_loopback(host)


@pytest.mark.parametrize(
    ("host", "port", "is_encrypted", "url"),
    [
        ("127.0.0.1", 8080, False, "http://127.0.0.1:8080/"),
        ("files.example", 443, True, "https://files.example/"),
        ("::1", 80, False, "http://[::1]/"),
        ("0.0.0.0", 8080, True, f"https://{socket.gethostname()}:8080/"),
    ],
)
def test_the_printed_address_is_one_to_type(
    host: str, port: int, *, is_encrypted: bool, url: str
) -> None:
    assert base_url(host, port, is_encrypted=is_encrypted) == url


def test_serving_leaves_a_sealed_repository(tmp_path: Path) -> None:
    with running(tmp_path, "--quickstart") as server:
        server.wait_until_ready()
        user, password = first_admin(server.out)
        assert server.request("MKCOL", f"/dav/{user}/new", user, password) == 201
        assert stop(server) == 0
    with cas.open(tmp_path / "casdav-data") as repository:
        with repository.volume(user).view() as view:
            assert view.entry("new").is_directory
        assert repository.checkpoint() is False
