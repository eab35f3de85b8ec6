"""What `wsgi.input` gives: the whole body, or an error; and what becomes of an unread one."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from dav.server import (
    BodyError,
    BodyIncompleteError,
    BodyMalformedError,
    BodyTimeoutError,
    Server,
    Timeouts,
)
from tests.dav.http.wire import HOST, Environ, StartResponse, Wire, echo, refuse

Serve = Callable[..., Server]
PUT = b"PUT /x HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024


class Reader:
    """Reads the body as a test wants it, and keeps what came of each request."""

    def __init__(self, read: Callable[[Environ], object]) -> None:
        self.read = read
        self.results: list[object] = []
        self.error: BaseException | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            self.results.append(self.read(environ))
        except BodyError as error:
            self.error = error
            raise
        start_response("200 OK", [])
        return [b"read"]


def _as_chunks(data: bytes) -> bytes:
    sizes = (1, 2, 7, 100, 5000, 100_000)
    parts = []
    position = 0
    turn = 0
    while position < len(data):
        piece = data[position : position + sizes[turn % len(sizes)]]
        parts.append(b'%X;name="a b";x\r\n%b\r\n' % (len(piece), piece))
        position += len(piece)
        turn += 1
    return b"".join(parts) + b"0;last\r\nX-Trailer: dropped\r\n\r\n"


def _read_into(environ: Environ) -> bytes:
    body = environ["wsgi.input"]
    data = body.readline()
    block = bytearray(1000)
    while count := body.readinto(block):
        data += block[:count]
    return bytes(data)


READS: dict[str, Callable[[Environ], object]] = {
    "read": lambda environ: environ["wsgi.input"].read(),
    "read_none": lambda environ: environ["wsgi.input"].read(None),
    "read_sizes": lambda environ: b"".join(iter(lambda: environ["wsgi.input"].read(777), b"")),
    "read1": lambda environ: b"".join(iter(lambda: environ["wsgi.input"].read1(5000), b"")),
    "lines": lambda environ: b"".join(environ["wsgi.input"]),
    "readlines": lambda environ: b"".join(environ["wsgi.input"].readlines()),
    "readline_sizes": lambda environ: b"".join(
        iter(lambda: environ["wsgi.input"].readline(3), b"")
    ),
    "line_then_rest": lambda environ: (
        environ["wsgi.input"].readline() + environ["wsgi.input"].read()
    ),
    "readinto": _read_into,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_every_way_of_reading_gives_the_whole_body_and_nothing_behind_it(
    serve: Serve,
    read: Callable[[Environ], object],
    chunked: bool,  # noqa: FBT001
    size: int,
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    reader = Reader(read)
    with Wire(serve(reader)) as wire:
        framed = CHUNKED + _as_chunks(data) if chunked else b"Content-Length: %d\r\n\r\n" % size
        rest = b"" if chunked else data
        wire.send(PUT, framed, rest, b"PUT /y HTTP/1.1\r\n", HOST, b"Content-Length: 0\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.answer().status == 200
    assert reader.results == [data, b""]


def test_a_read_gives_as_much_as_it_was_asked_for(serve: Serve) -> None:
    reader = Reader(lambda environ: [len(environ["wsgi.input"].read(4)) for _ in range(4)])
    with Wire(serve(reader)) as wire:
        wire.send(PUT, CHUNKED)
        for _ in range(10):
            wire.send(b"1\r\na\r\n")
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 200
    assert reader.results == [[4, 4, 2, 0]]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"Content-Length: 10\r\n\r\nabc",
        CHUNKED + b"a\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n",
    ],
)
def test_a_body_that_is_cut_short_is_an_error_and_never_an_end(
    serve: Serve,
    request_bytes: bytes,
) -> None:
    pieces: list[bytes] = []

    def read(environ: Environ) -> None:
        while piece := environ["wsgi.input"].read(3):
            pieces.append(piece)

    reader = Reader(read)
    with Wire(serve(reader)) as wire:
        wire.send(PUT, request_bytes)
        wire.socket.shutdown(socket.SHUT_WR)
        answer = wire.answer()
        assert answer.status == 400
    assert isinstance(reader.error, BodyIncompleteError)
    assert isinstance(reader.error, OSError)


def test_an_error_of_the_body_comes_again_at_the_next_read(serve: Serve) -> None:
    errors: list[BodyError] = []

    def read(environ: Environ) -> None:
        for _ in range(2):
            try:
                environ["wsgi.input"].read()
            except BodyMalformedError as error:
                errors.append(error)

    with Wire(serve(Reader(read))) as wire:
        wire.send(PUT, CHUNKED, b"zz\r\n")
        answer = wire.answer()
        assert answer.status == 200  # the application took it upon itself
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()
    assert len(errors) == 2


def test_100_continue_is_sent_when_the_body_is_wanted(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        for _ in range(2):
            wire.send(PUT, b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
            assert wire.answer().status == 100
            wire.send(b"abc")
            assert wire.answer().body == b"PUT /x?\nabc"


def test_100_continue_is_not_sent_when_the_body_came_already(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(PUT, b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert wire.answer().status == 200


def test_a_refused_body_is_not_asked_for_and_the_connection_closes(serve: Serve) -> None:
    with Wire(serve(refuse)) as wire:
        wire.send(PUT, b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        answer = wire.answer()
        assert answer.status == 403
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()


def test_http_1_0_is_never_told_to_continue(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(b"PUT /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert wire.answer().status == 200


@pytest.mark.parametrize("size", [1, 1000, MIB])
def test_a_small_unread_body_is_dropped_and_the_next_request_is_found(
    serve: Serve,
    size: int,
) -> None:
    with Wire(serve(refuse)) as wire:
        wire.send(PUT, b"Content-Length: %d\r\n\r\n" % size)
        answer = wire.answer()
        assert answer.status == 403
        assert "connection" not in answer.fields
        wire.send(b"GET /smuggled HTTP/1.1\r\n\r\n"[: size - 1], b"x" * max(size - 26, 1))
        assert wire.get().body == b"welcome"


def test_an_unread_chunked_body_closes_the_connection_after_the_answer(serve: Serve) -> None:
    with Wire(serve(refuse)) as wire:
        wire.send(PUT, CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")
        answer = wire.answer()
        assert (answer.status, answer.fields["connection"]) == (403, "close")
        assert wire.is_closed()


def test_a_client_that_sends_a_big_refused_body_to_its_end_gets_the_answer_and_memory_stays_flat(
    serve: Serve,
) -> None:
    server = serve(refuse)
    block = b"x" * MIB
    tracemalloc.start()
    try:
        with Wire(server) as wire:
            wire.send(PUT, b"Content-Length: %d\r\n\r\n" % (256 * MIB))
            for _ in range(256):
                wire.send(block)  # a reset would raise here, as it does for Windows' client
            answer = wire.answer()
            assert (answer.status, answer.fields["connection"]) == (403, "close")
            assert wire.is_closed()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_client_that_stops_sending_gets_408(serve: Serve) -> None:
    reader = Reader(lambda environ: environ["wsgi.input"].read())
    timeouts = Timeouts(progress=0.5, shutdown=5)
    with Wire(serve(reader, timeouts=timeouts)) as wire:
        wire.send(PUT, b"Content-Length: 10\r\n\r\nabc")
        assert wire.answer().status == 408
    assert isinstance(reader.error, BodyTimeoutError)


def test_an_application_may_answer_before_it_reads_the_body(serve: Serve) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"first "
        yield environ["wsgi.input"].read()

    with Wire(serve(app)) as wire:
        wire.send(PUT, b"Content-Length: 3\r\n\r\n")
        while b"first" not in wire.early:
            wire.early += wire.more()
        wire.send(b"abc")
        assert wire.answer().body == b"first abc"
