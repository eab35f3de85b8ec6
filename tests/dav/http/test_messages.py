"""Requests that must be taken, and the answers to them (RFC 9110, RFC 9112, PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from dav.server import AccessRecord, Server
from tests.dav.http.wire import HOST, Environ, Recorder, StartResponse, Wire, echo
from tests.support import wait_until

Serve = Callable[..., Server]


def test_connections_are_kept_and_answers_come_in_the_order_of_pipelined_requests(
    serve: Serve,
) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(
            *(
                b"PUT /%d HTTP/1.1\r\n" % number + HOST + b"Content-Length: 3\r\n\r\n" + b"abc"
                for number in range(200)
            ),
        )
        for number in range(200):
            answer = wire.answer()
            assert answer.body == b"PUT /%d?\nabc" % number
            assert "connection" not in answer.fields


def test_http_1_0_is_answered_and_closed(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(b"GET /a HTTP/1.0\r\n\r\n")
        answer = wire.answer()
        assert answer.body == b"GET /a?\n"
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()


def test_http_1_0_keeps_the_connection_on_request(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        for _ in range(2):
            wire.send(b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            answer = wire.answer()
            assert answer.fields["connection"] == "keep-alive"


def test_http_1_0_gets_an_answer_without_length_until_the_close(serve: Serve) -> None:
    recorder = Recorder(body=lambda: iter([b"one ", b"two"]))
    with Wire(serve(recorder)) as wire:
        wire.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = wire.answer()
        assert "transfer-encoding" not in answer.fields
        assert answer.body == b"one two"


def test_http_1_1_gets_an_answer_without_length_in_chunks(serve: Serve) -> None:
    recorder = Recorder(body=lambda: iter([b"one ", b"", b"two"]))
    with Wire(serve(recorder)) as wire:
        for _ in range(2):
            answer = wire.get()
            assert answer.fields["transfer-encoding"] == "chunked"
            assert (answer.body, answer.whole) == (b"one two", True)


def test_blocks_of_several_buffers_arrive_as_one(serve: Serve) -> None:
    block: Any = (b"one ", memoryview(b"two "), b"three")
    for fields in ([], [("Content-Length", "26")]):
        recorder = Recorder(fields=fields, body=lambda: iter([block, block]))
        with Wire(serve(recorder)) as wire:
            answer = wire.get()
            assert (answer.body, answer.whole) == (b"one two three" * 2, True)
        assert recorder.environs[0]["casdav.takes_buffers"] is True


def test_an_answer_given_as_a_list_gets_a_length(serve: Serve) -> None:
    with Wire(serve(Recorder(body=lambda: [b"one ", b"two"]))) as wire:
        answer = wire.get()
        assert answer.fields["content-length"] == "7"
        assert answer.body == b"one two"


def test_an_empty_answer_has_length_zero(serve: Serve) -> None:
    with Wire(serve(Recorder(body=lambda: iter([])))) as wire:
        assert wire.get().fields["content-length"] == "0"
        assert wire.get().status == 200


def test_close_is_honoured_however_it_is_written(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(b"GET / HTTP/1.1\r\n", HOST, b"Connection: TE, Close\r\n\r\n")
        assert wire.answer().fields["connection"] == "close"
        assert wire.is_closed()


def test_head_has_the_fields_of_get_and_no_body(serve: Serve) -> None:
    with Wire(serve(Recorder(fields=[("Content-Length", "2")]))) as wire:
        for _ in range(2):
            wire.send(b"HEAD / HTTP/1.1\r\n", HOST, b"\r\n")
            answer = wire.answer(head_only=True)
            assert answer.fields["content-length"] == "2"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_that_must_have_no_body_has_none(serve: Serve, status: str) -> None:
    with Wire(serve(Recorder(status))) as wire:
        for _ in range(2):
            answer = wire.get()
            assert answer.status == int(status[:3])
            assert "transfer-encoding" not in answer.fields
    recorder = Recorder("204 No Content", [("Content-Length", "0")])
    with Wire(serve(recorder)) as wire:
        assert "content-length" not in wire.get().fields


def test_an_absolute_target_wins_over_host(serve: Serve) -> None:
    recorder = Recorder()
    with Wire(serve(recorder)) as wire:
        wire.send(b"GET http://files.example:81/a%20b?c=%20 HTTP/1.1\r\n", HOST, b"\r\n")
        assert wire.answer().status == 200
    environ = recorder.environs[0]
    assert environ["HTTP_HOST"] == "files.example:81"
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b", "c=%20")


@pytest.mark.parametrize("target", [b"*", b"http://example.org"])
def test_options_may_ask_for_the_whole_server(serve: Serve, target: bytes) -> None:
    recorder = Recorder()
    with Wire(serve(recorder)) as wire:
        wire.send(b"OPTIONS ", target, b" HTTP/1.1\r\n", HOST, b"\r\n")
        assert wire.answer().status == 200
    assert recorder.environs[0]["PATH_INFO"] == "*"


def test_the_path_is_decoded_once_and_given_raw_too(serve: Serve) -> None:
    recorder = Recorder()
    with Wire(serve(recorder)) as wire:
        wire.get("/%C3%A4%2Fb%2520;c?d=%26")
    environ = recorder.environs[0]
    assert environ["PATH_INFO"] == "/\xc3\xa4%2Fb%20;c"
    assert environ["REQUEST_URI"] == "/%C3%A4%2Fb%2520;c?d=%26"


def test_raw_utf8_in_a_target_is_taken(serve: Serve) -> None:
    recorder = Recorder()
    with Wire(serve(recorder)) as wire:
        assert wire.get("/ä").status == 200
    assert recorder.environs[0]["PATH_INFO"].encode("latin-1") == "/ä".encode()


def test_one_empty_line_before_a_request_is_ignored(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        wire.send(b"\r\n")
        assert wire.get("/a").body == b"GET /a?\n"


def test_fields_reach_the_application_by_their_wsgi_names(serve: Serve) -> None:
    recorder = Recorder()
    with Wire(serve(recorder)) as wire:
        wire.get(
            "/",
            b"content-TYPE:text/plain \t\r\n",
            b"If:  (<a>)\r\nX-Many: a\r\nx-many:\tb\r\nCookie: a=1\r\nCookie: b=2\r\nX-Empty:\r\n",
        )
    environ = recorder.environs[0]
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert environ["HTTP_IF"] == "(<a>)"
    assert environ["HTTP_X_MANY"] == "a, b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_EMPTY"] == ""
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.url_scheme"] == "http"


def test_hundred_fields_and_a_big_head_are_taken(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        assert wire.get("/", b"X: " + b"a" * 600 + b"\r\n", b"Y: b\r\n" * 98).status == 200


def test_a_head_may_come_byte_by_byte(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        for byte in b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n":
            wire.send(bytes([byte]))
        assert wire.answer().body == b"GET /a?\n"


def test_every_answer_has_date_and_server(serve: Serve) -> None:
    with Wire(serve(echo)) as wire:
        answer = wire.get()
        assert answer.fields["server"] == "casdav"
        assert answer.fields["date"].endswith(" GMT")


INJECTIONS: list[tuple[str, list[tuple[str, str]]]] = [
    ("200 OK", [("X", "a\r\nSet-Cookie: b=c")]),
    ("200 OK", [("X", "a\nb")]),
    ("200 OK", [("X", "a\rb")]),
    ("200 OK", [("X", "a\0b")]),
    ("200 OK", [("X: a\r\nY", "b")]),
    ("200 OK", [("", "b")]),
    ("200 OK", [("X", "\u20ac")]),
    ("200 OK\r\nX: y", []),
    ("100 Continue", []),
    ("nonsense", []),
    ("200 OK", [("Transfer-Encoding", "chunked")]),
    ("200 OK", [("Content-Length", "2"), ("Content-Length", "2")]),
    ("200 OK", [("Content-Length", "-2")]),
    ("200 OK", [("Content-Length", "1")]),
    ("200 OK", [("Content-Length", "3")]),
]


@pytest.mark.parametrize(("status", "fields"), INJECTIONS)
def test_an_answer_that_would_break_http_becomes_a_500(
    serve: Serve,
    status: str,
    fields: list[tuple[str, str]],
) -> None:
    with Wire(serve(Recorder(status, fields))) as wire:
        answer = wire.get()
        assert answer.status == 500
        assert b"Traceback" not in answer.body
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()


def test_an_answer_that_turns_out_too_long_is_cut_and_the_connection_closes(serve: Serve) -> None:
    recorder = Recorder(fields=[("Content-Length", "3")], body=lambda: iter([b"ab", b"cd"]))
    with Wire(serve(recorder)) as wire:
        answer = wire.get()
        assert (answer.body, answer.whole) == (b"ab", False)


def test_an_answer_that_turns_out_too_short_closes_the_connection(serve: Serve) -> None:
    recorder = Recorder(fields=[("Content-Length", "30")], body=lambda: iter([b"ab", b"cd"]))
    with Wire(serve(recorder)) as wire:
        answer = wire.get()
        assert (answer.body, answer.whole) == (b"abcd", False)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_an_answer_that_fails_on_the_way_is_not_taken_for_a_whole_one(
    serve: Serve,
    version: bytes,
) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("the application failed")

    with Wire(serve(Recorder(body=blocks))) as wire:
        wire.send(b"GET / ", version, b"\r\n", HOST, b"\r\n")
        if version == b"HTTP/1.1":
            assert wire.answer()[2:] == (b"one", False)
        else:
            with pytest.raises(ConnectionResetError):
                list(iter(lambda: wire.socket.recv(1000), b""))


def test_an_application_that_fails_is_answered_500(serve: Serve) -> None:
    def app(_environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
        raise ConnectionResetError("some other connection")

    with Wire(serve(app)) as wire:
        assert wire.get().status == 500


def test_an_application_that_calls_nothing_is_answered_500(serve: Serve) -> None:
    with Wire(serve(lambda _environ, _start_response: [b"a"])) as wire:
        assert wire.get().status == 500


def test_start_response_may_be_called_again_with_an_exception(serve: Serve) -> None:
    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            int("not a number")
        except ValueError as error:
            start_response("409 Conflict", [], (ValueError, error, error.__traceback__))
        return [b"conflict"]

    with Wire(serve(app)) as wire:
        assert wire.get()[0::2] == (409, b"conflict")


def test_the_write_callable_sends(serve: Serve) -> None:
    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"ab")
        write(b"cd")
        return []

    with Wire(serve(app)) as wire:
        assert wire.get().body == b"abcd"
        assert wire.get().body == b"abcd"


def test_blocks_may_be_any_buffer_of_bytes(serve: Serve) -> None:
    blocks: list[Any] = [memoryview(b"abcd").cast("H"), bytearray(b"ef"), b"g"]
    with Wire(serve(Recorder(body=lambda: iter(blocks)))) as wire:
        assert wire.get().body == b"abcdefg"


def test_big_answers_arrive_whole(serve: Serve) -> None:
    block = bytes(range(256)) * 4096
    fields = [("Content-Length", str(len(block) * 8))]
    server = serve(Recorder(fields=fields, body=lambda: iter([block] * 8)))
    with Wire(server) as wire:
        answer = wire.get()
        assert answer.body == block * 8
        assert wire.get().whole


def test_the_application_s_iterable_is_closed_even_when_the_client_leaves(serve: Serve) -> None:
    recorder = Recorder()

    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            recorder.closed.set()

    recorder.body = blocks
    with Wire(serve(recorder)) as wire:
        wire.send(b"GET / HTTP/1.1\r\n", HOST, b"\r\n")
        assert wire.more()
    assert recorder.closed.wait(10)


def test_an_application_may_ask_for_the_close(serve: Serve) -> None:
    with Wire(serve(Recorder(fields=[("Connection", "close")]))) as wire:
        assert wire.get().fields["connection"] == "close"
        assert wire.is_closed()


def test_each_request_is_logged_without_its_query(serve: Serve) -> None:
    records: list[AccessRecord] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["casdav.user"] = "alice"
        environ["wsgi.input"].read()
        start_response("201 Created", [])
        return [b"made"]

    with Wire(serve(app, access_log=records.append)) as wire:
        wire.send(b"PUT /a%20b?token=secret HTTP/1.1\r\n", HOST, b"Content-Length: 3\r\n\r\nabc")
        assert wire.answer().status == 201
        wire.send(b"nonsense\r\n\r\n")
        assert wire.answer().status == 400
    wait_until(lambda: len(records) == 2, "two records")
    first, second = records
    assert first._replace(seconds=0) == AccessRecord(
        method="PUT",
        path="/a%20b",
        status=201,
        bytes_in=3,
        bytes_out=4,
        seconds=0,
        remote="127.0.0.1",
        user="alice",
        protocol="HTTP/1.1",
        complete=True,
    )
    assert first.seconds > 0
    assert (second.method, second.path, second.status) == ("-", "-", 400)
