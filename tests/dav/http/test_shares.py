"""Nobody holds all threads: neither one user's slow requests, nor clients without an account."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import pytest

from dav.environment import await_body, claim_thread
from dav.http.shares import Shares
from dav.server import Server, Timeouts
from tests.dav.http.wire import HOST, Environ, StartResponse, Wire, echo

Serve = Callable[..., Server]
POST = b"POST / HTTP/1.1\r\n" + HOST


def patient(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    await_body(environ)
    return echo(environ, start_response)


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 1), (4, 3), (64, 48)])
def test_a_user_has_three_quarters_of_the_threads(threads: int, most: int) -> None:
    shares = Shares(threads)
    assert [shares.take("bob") for _ in range(most + 2)] == [True] * most + [False] * 2
    assert shares.take("alice")
    shares.give_back("bob")
    assert shares.take("bob")


def test_requests_over_the_share_are_told_and_the_next_ones_served(serve: Serve) -> None:
    gate = threading.Event()
    started = threading.Semaphore(0)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not claim_thread(environ, "bob"):
            start_response("503 Service Unavailable", [])
            return []
        started.release()
        gate.wait(20)
        return echo(environ, start_response)

    server = serve(app, threads=4)
    with ExitStack() as clients:
        clients.callback(gate.set)
        held = [clients.enter_context(Wire(server)) for _ in range(3)]
        for wire in held:
            wire.send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
            assert started.acquire(timeout=20)
        fourth = clients.enter_context(Wire(server))
        assert fourth.get().status == 503
        gate.set()
        assert [wire.answer().status for wire in held] == [200] * 3
        assert fourth.get().status == 200


def test_small_bodies_are_waited_for_without_a_thread(serve: Serve) -> None:
    server = serve(patient, threads=1)
    with ExitStack() as clients:
        slow = [clients.enter_context(Wire(server)) for _ in range(5)]
        for wire in slow:
            wire.send(POST, b"Content-Length: 4\r\n\r\nab")
        assert clients.enter_context(Wire(server)).get().status == 200
        for wire in slow:
            wire.send(b"cdGET /next HTTP/1.1\r\n", HOST, b"\r\n")
            assert wire.answer().body == b"POST /?\nabcd"
            assert wire.answer().body == b"GET /next?\n"


def test_a_client_that_waits_for_100_is_told_to_go_on(serve: Serve) -> None:
    server = serve(patient, threads=1)
    with Wire(server) as slow, Wire(server) as other:
        slow.send(POST, b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert slow.answer().status == 100
        assert other.get().status == 200
        slow.send(b"abcd")
        assert slow.answer().body == b"POST /?\nabcd"


@pytest.mark.parametrize(
    ("field", "status"),
    [(b"Transfer-Encoding: chunked", 411), (b"Content-Length: 16385", 413)],
)
def test_bodies_that_cannot_be_waited_for_are_refused(
    serve: Serve, field: bytes, status: int
) -> None:
    with Wire(serve(patient)) as wire:
        wire.send(POST, field, b"\r\n\r\n")
        assert wire.answer().status == status


def test_a_small_body_that_does_not_come_is_answered_408(serve: Serve) -> None:
    with Wire(serve(patient, timeouts=Timeouts(head=0.3, shutdown=5))) as wire:
        wire.send(POST, b"Content-Length: 4\r\n\r\nab")
        assert wire.answer().status == 408
        assert wire.is_closed()
