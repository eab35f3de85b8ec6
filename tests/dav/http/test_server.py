"""Listening, stopping, and what is said when listening is not possible."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from dav.server import ListenError, Server, ServerSettings
from tests.dav.http.wire import HOST, Environ, StartResponse, Wire, echo
from tests.support import wait_until
from tests.support.processes import CHECKOUT

Serve = Callable[..., Server]


class Address:
    """What `Wire` needs of a server in another process."""

    def __init__(self, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = port


def connect(port: int) -> Wire:
    return Wire(Address(port))  # type: ignore[arg-type]


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run tests/dav/http/serving.py until the end of the block; its process and port."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.dav.http.serving", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_port_0_becomes_a_real_one(serve: Serve) -> None:
    server = serve(echo)
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("localhost", None)],
)
def test_all_addresses_of_a_host_are_served(
    serve: Serve,
    host: str,
    addresses: list[str] | None,
) -> None:
    server = serve(echo, host=host)
    known = socket.getaddrinfo(host, server.port, type=socket.SOCK_STREAM)
    for address in addresses or {str(entry[4][0]) for entry in known}:
        with socket.create_connection((address, server.port), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    if host == "::1":
        assert server.url == f"http://[::1]:{server.port}"


def test_a_port_in_use_is_said_in_one_line(serve: Serve) -> None:
    server = serve(echo)
    with pytest.raises(ListenError, match=f"Port {server.port} on 127.0.0.1 is in use"):
        Server(echo, ServerSettings(port=server.port)).bind()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ServerSettings(host=""), "empty"),
        (ServerSettings(host="no such host", port=0), "known host name"),
        (ServerSettings(host="192.0.2.1", port=0), "not an address of this machine"),
        (ServerSettings(port=70_000), "not between"),
        (ServerSettings(port=-1), "not between"),
    ],
)
def test_an_address_that_cannot_be_had_is_said_in_one_line(
    settings: ServerSettings,
    message: str,
) -> None:
    with pytest.raises(ListenError, match=message) as caught:
        Server(echo, settings).bind()
    assert "\n" not in str(caught.value)


def test_the_backlog_waits_from_bind_on() -> None:
    server = Server(echo, ServerSettings(port=0))
    server.bind()
    with Wire(server) as wire:
        wire.send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
        with server:
            assert wire.answer().status == 200


def test_stop_finishes_what_runs_and_closes_what_is_idle(serve: Serve) -> None:
    started = threading.Event()
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            started.set()
            gate.wait(20)
        return echo(environ, start_response)

    server = serve(app)
    with Wire(server) as idle, Wire(server) as busy:
        assert idle.get().status == 200
        busy.send(b"GET /slow HTTP/1.1\r\n", HOST, b"\r\n")
        assert started.wait(10)
        server.stop()
        assert idle.is_closed()
        wait_until(lambda: _refuses(server.port), "the port to be closed")
        gate.set()
        answer = busy.answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert busy.is_closed()
    server.join(10)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_stop_at_once_cuts_what_runs(serve: Serve) -> None:
    server = serve(echo)
    with Wire(server) as wire:
        wire.send(b"PUT / HTTP/1.1\r\n", HOST, b"Expect: 100-continue\r\n")
        wire.send(b"Content-Length: 5\r\n\r\n")
        assert wire.answer().status == 100
        server.stop(at_once=True)
        server.join(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals) -> None:
    with program("one") as (process, port), connect(port) as idle, connect(port) as busy:
        assert idle.get().status == 200
        busy.send(b"PUT /slow HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\n")
        while b"begun" not in busy.early:
            busy.early += busy.more()
        process.send_signal(number)
        assert idle.is_closed()
        busy.send(b"hello")
        assert busy.answer().body == b"begun %d" % process.pid
        assert process.stdout is not None
        assert process.stdout.read() == "ended\n"
        assert process.wait(20) == 0


def test_the_second_ctrl_c_does_not_wait() -> None:
    with program("one") as (process, port), connect(port) as idle, connect(port) as busy:
        assert idle.get().status == 200
        busy.send(b"PUT /slow HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\n")
        while b"begun" not in busy.early:
            busy.early += busy.more()
        process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_requests_that_wait_in_the_backlog_are_answered_before_the_stop() -> None:
    server = Server(echo, ServerSettings(port=0))
    server.bind()
    with Wire(server) as wire:
        wire.send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
        server.stop()
        server.start()
        assert wire.answer().status == 200
        assert wire.is_closed()
    server.join(10)


def test_a_client_that_does_not_close_delays_the_stop_only_for_a_moment(serve: Serve) -> None:
    server = serve(echo)
    with Wire(server) as wire:
        wire.send(b"nonsense\r\n\r\n")
        assert wire.answer().status == 400
        server.stop()
        server.join(5)
