"""Slow, silent and greedy clients: none of them keeps others from being served."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest

from dav.http.settings import Timeouts as _Timeouts
from dav.http.stream import Pace
from dav.server import AccessRecord, Limits, Server, Timeouts
from tests.dav.http.wire import HOST, Environ, StartResponse, Wire, echo
from tests.support import wait_until

Serve = Callable[..., Server]
PUT = b"PUT /x HTTP/1.1\r\n" + HOST


def test_200_half_heads_and_60_slow_uploads_do_not_delay_a_normal_client(serve: Serve) -> None:
    started = threading.Semaphore(0)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started.release()
        return echo(environ, start_response)

    server = serve(app)
    with ExitStack() as clients:
        for _ in range(200):
            clients.enter_context(Wire(server)).send(b"GET / HTTP/1.1\r\nHost: exam")
        uploads = [clients.enter_context(Wire(server)) for _ in range(60)]
        for upload in uploads:
            upload.send(PUT, b"Content-Length: 20\r\n\r\n1234567890")
        for _ in range(60):
            assert started.acquire(timeout=20)
        for _ in range(5):
            began = time.monotonic()
            with Wire(server) as wire:
                assert wire.get("/a").status == 200
            assert time.monotonic() - began < 1
        for upload in uploads:
            upload.send(b"1234567890")
            assert upload.answer().status == 200


def test_half_heads_hold_no_thread(serve: Serve) -> None:
    server = serve(echo, threads=1)
    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(Wire(server)).send(b"GET / HTTP/1.1\r\n")
        assert clients.enter_context(Wire(server)).get().status == 200


def test_idle_connections_hold_no_thread(serve: Serve) -> None:
    server = serve(echo, threads=1)
    with ExitStack() as clients:
        idle = [clients.enter_context(Wire(server)) for _ in range(50)]
        for _ in range(2):
            for wire in idle:
                assert wire.get().status == 200


def test_a_head_that_does_not_come_in_time_is_answered_408(serve: Serve) -> None:
    with Wire(serve(echo, timeouts=Timeouts(head=0.3, shutdown=5))) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a")
        assert wire.answer().status == 408
        assert wire.is_closed()


def test_a_head_that_drips_does_not_move_its_deadline(serve: Serve) -> None:
    with Wire(serve(echo, timeouts=Timeouts(head=0.5, shutdown=5))) as wire:
        wire.socket.settimeout(0.05)
        wire.send(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        while not wire.early:
            assert time.monotonic() - began < 10
            wire.send(b"X: y\r\n")
            try:
                wire.early += wire.more()
            except TimeoutError:
                continue
        assert wire.early.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("requests", [0, 1])
def test_an_idle_connection_is_closed_without_a_word_after_its_time(
    serve: Serve,
    requests: int,
) -> None:
    with Wire(serve(echo, timeouts=Timeouts(head=0.3, idle=0.3, shutdown=5))) as wire:
        for _ in range(requests):
            assert wire.get().status == 200
        assert wire.is_closed()


def test_a_slow_upload_that_goes_on_is_taken(serve: Serve) -> None:
    timeouts = Timeouts(progress=2.5, grace=0.1, minimum_rate=10**9, shutdown=5)
    gate = threading.Event()
    with Wire(serve(echo, timeouts=timeouts)) as wire:
        wire.send(PUT, b"Content-Length: 4\r\n\r\n")
        for _ in range(4):
            gate.wait(1)  # longer than `progress` in all
            wire.send(b"a")
        assert wire.answer().body == b"PUT /x?\naaaa"


def test_a_crawling_upload_gives_way_when_others_wait(serve: Serve) -> None:
    timeouts = Timeouts(grace=0.5, minimum_rate=1000, shutdown=5)
    server = serve(echo, threads=1, timeouts=timeouts)
    with Wire(server) as slow, Wire(server) as normal:
        slow.send(PUT, b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        assert slow.answer().status == 100
        slow.send(b"a")
        assert normal.get().status == 200
        assert slow.answer().status == 408


def test_pace_keeps_a_slow_client_while_nobody_waits() -> None:
    pace = Pace(_Timeouts(grace=10, minimum_rate=1000, progress=60), lambda: False)
    assert all(pace.allows(1, 5.0) for _ in range(1000))


def test_pace_ends_a_client_that_stands_still() -> None:
    pace = Pace(_Timeouts(grace=10, minimum_rate=1000, progress=60), lambda: False)
    assert all(pace.allows(0, 5.0) for _ in range(11))
    assert not pace.allows(0, 5.0)


def test_pace_ends_a_slow_client_while_others_wait_and_keeps_a_quick_one() -> None:
    timeouts = _Timeouts(grace=10, minimum_rate=1000, progress=60)
    quick = Pace(timeouts, lambda: True)
    slow = Pace(timeouts, lambda: True)
    assert all(quick.allows(6000, 5.0) for _ in range(100))
    assert not all(slow.allows(4000, 5.0) for _ in range(10))


def test_a_client_that_does_not_read_its_answer_is_dropped(serve: Serve) -> None:
    records: list[AccessRecord] = []

    def app(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(1000):
            yield b"x" * 1_000_000

    timeouts = Timeouts(progress=1, shutdown=5)
    with Wire(serve(app, access_log=records.append, timeouts=timeouts)) as wire:
        wire.send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
        wait_until(lambda: records, "the end of the request")
    assert records[0].status == 200
    assert not records[0].complete


def test_too_many_connections_make_idle_ones_give_way(serve: Serve) -> None:
    server = serve(echo, limits=Limits(connections=16))
    with ExitStack() as clients:
        idle = [clients.enter_context(Wire(server)) for _ in range(40)]
        with Wire(server) as wire:
            assert wire.get().status == 200
        assert idle[0].is_closed()
        assert idle[-1].get().status == 200


def test_too_many_busy_connections_are_answered_503(serve: Serve) -> None:
    gate = threading.Event()
    started = threading.Semaphore(0)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started.release()
        gate.wait(20)
        return echo(environ, start_response)

    server = serve(app, limits=Limits(connections=16))
    with ExitStack() as clients:
        clients.callback(gate.set)
        for _ in range(16):
            clients.enter_context(Wire(server)).send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
            assert started.acquire(timeout=20)
        assert clients.enter_context(Wire(server)).answer().status == 503


def test_running_out_of_descriptors_does_not_end_the_server(serve: Serve) -> None:
    server = serve(echo)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as clients:
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            clients.enter_context(sock)
        used = max(sock.fileno() for sock in waiting)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
        try:
            for sock in waiting:
                sock.connect((server.host, server.port))
            waiting[0].sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting[0].settimeout(20)
        assert waiting[0].recv(1000).startswith(b"HTTP/1.1 200 ")
