"""More connections than there may be: whoever sends them, the next client is served."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from dav.server import Limits, Server
from tests.dav.http.wire import HOST, Wire, echo
from tests.support.waiting import wait_until

Serve = Callable[..., Server]
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
FEW = Limits(connections=16)


def test_connections_that_speak_while_they_are_closed_for_new_ones(serve: Serve) -> None:
    server = serve(echo, limits=FEW)
    for _ in range(100):
        with ExitStack() as clients:
            waiting = [clients.enter_context(Wire(server)) for _ in range(16)]
            for wire in waiting:
                clients.enter_context(Wire(server))
                try:
                    wire.send(GET)
                except OSError:
                    continue  # it was closed in favour of another one

    def is_served() -> bool:
        with Wire(server) as wire:
            return wire.get().status == 200

    wait_until(is_served, "the server to have seen that they are gone")


def test_connections_whose_bodies_are_dropped_give_way(serve: Serve) -> None:
    def refuse(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("401 Unauthorized", [("Content-Length", "0")])
        return []

    server = serve(refuse, limits=FEW)
    with ExitStack() as clients:
        for _ in range(16):
            wire = clients.enter_context(Wire(server))
            wire.send(b"PUT / HTTP/1.1\r\n", HOST, b"Content-Length: 1000000\r\n\r\n")
            assert wire.answer().status == 401
        for _ in range(3):
            assert clients.enter_context(Wire(server)).get().status == 401


def test_a_flood_from_one_address_closes_its_own_connections(serve: Serve) -> None:
    server = serve(echo, limits=FEW)
    with ExitStack() as clients:
        quiet = clients.enter_context(Wire(server, source="127.0.0.2"))
        assert quiet.get().status == 200
        flood = [clients.enter_context(Wire(server)) for _ in range(40)]
        assert clients.enter_context(Wire(server)).get().status == 200
        assert quiet.get().status == 200
        assert flood[0].is_closed()


def test_half_heads_give_way_to_whole_ones(serve: Serve) -> None:
    server = serve(echo, limits=FEW)
    with ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(Wire(server)).send(b"GET / HTTP/1.1\r\nHost: exam")
            fresh = clients.enter_context(Wire(server))
            clients.enter_context(Wire(server)).send(b"GET / HTTP/1.1\r\nHost: exam")
            assert fresh.get().status == 200
