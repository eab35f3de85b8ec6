"""Nobody holds all threads: neither one user's slow requests, nor clients without an account."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
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
    shares = Shares[str](threads)
    assert [shares.take("bob") for _ in range(most + 2)] == [True] * most + [False] * 2
    assert shares.take("alice")
    assert shares.give_back("bob") is None
    assert shares.take("bob")


def test_what_waits_for_a_share_begins_in_its_order() -> None:
    shares = Shares[str](2)
    assert not shares.wait("bob", "may begin")
    assert shares.take("bob")
    assert shares.wait("bob", "first")
    assert shares.wait("bob", "second")
    assert shares.give_back("bob") == "first"
    assert shares.take("bob")
    assert shares.give_back("bob") == "second"
    assert shares.take("bob")
    assert shares.give_back("bob") is None


class Crowd:
    """An application whose answers to bob wait for a gate; alice is answered at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        user = environ["PATH_INFO"].strip("/")
        claim_thread(environ, user)
        if user == "bob":
            self.started.release()
            self.gate.wait(20)
        return echo(environ, start_response)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.gate.set()


def test_requests_over_the_share_wait_and_others_are_served(serve: Serve, crowd: Crowd) -> None:
    server = serve(crowd, threads=4)
    with ExitStack() as clients:
        wires = [clients.enter_context(Wire(server)) for _ in range(12)]
        for number, wire in enumerate(wires):
            wire.send(b"PUT /bob HTTP/1.1\r\n", HOST, b"Content-Length: 2\r\n\r\nok")
            if number < 3:
                assert crowd.started.acquire(timeout=20)
            assert clients.enter_context(Wire(server)).get("/alice").status == 200
        assert not crowd.started.acquire(blocking=False)
        crowd.gate.set()
        assert [wire.answer().body for wire in wires] == [b"PUT /bob?\nok"] * 12
        assert wires[-1].get("/alice").status == 200


def test_who_waits_for_a_turn_is_answered_before_the_server_stops(
    serve: Serve, crowd: Crowd
) -> None:
    server = serve(crowd, threads=4)
    with ExitStack() as clients:
        wires = [clients.enter_context(Wire(server)) for _ in range(6)]
        for wire in wires:
            wire.send(b"GET /bob HTTP/1.1\r\n", HOST, b"\r\n")
            assert clients.enter_context(Wire(server)).get("/alice").status == 200
        server.stop()
        crowd.gate.set()
        assert [wire.answer().status for wire in wires] == [200] * 6


def test_who_waits_for_a_turn_is_cut_when_the_server_stops_at_once(
    serve: Serve, crowd: Crowd
) -> None:
    server = serve(crowd, threads=4)
    with ExitStack() as clients:
        wires = [clients.enter_context(Wire(server)) for _ in range(6)]
        for wire in wires:
            wire.send(b"GET /bob HTTP/1.1\r\n", HOST, b"\r\n")
            assert clients.enter_context(Wire(server)).get("/alice").status == 200
        server.stop(at_once=True)
        assert all(wire.is_closed() for wire in wires)
        crowd.gate.set()
        server.join()


def test_who_leaves_while_waiting_for_a_turn_takes_none(serve: Serve, crowd: Crowd) -> None:
    server = serve(crowd, threads=4)
    with ExitStack() as clients:
        wires = [clients.enter_context(Wire(server)) for _ in range(3)]
        for wire in wires:
            wire.send(b"GET /bob HTTP/1.1\r\n", HOST, b"\r\n")
            assert crowd.started.acquire(timeout=20)
        for _ in range(3):
            with Wire(server) as gone:
                gone.send(b"GET /bob HTTP/1.1\r\n", HOST, b"\r\n")
                assert clients.enter_context(Wire(server)).get("/alice").status == 200
        crowd.gate.set()
        assert [wire.answer().status for wire in wires] == [200] * 3
        assert [wire.get("/bob").status for wire in wires] == [200] * 3


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
