"""What the server must not take: each is answered, and the connection closes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dav.server import Limits, Server, ServerSettings
from tests.dav.http.wire import HOST, Wire, echo

Serve = Callable[..., Server]
END = b"\r\n"
GET = b"GET / HTTP/1.1\r\n"
PUT = b"PUT /x HTTP/1.1\r\n" + HOST

HOSTS = {
    "missing_host": (GET + END, 400),
    "two_hosts": (GET + HOST + HOST + END, 400),
    "empty_host": (GET + b"Host:\r\n\r\n", 400),
    "host_with_path": (GET + b"Host: a/b\r\n\r\n", 400),
    "host_with_user": (GET + b"Host: user@a\r\n\r\n", 400),
    "host_list": (GET + b"Host: a, b\r\n\r\n", 400),
    "host_with_bad_port": (GET + b"Host: a:99999\r\n\r\n", 400),
    "host_with_bad_address": (GET + b"Host: [::zz]\r\n\r\n", 400),
}
LENGTHS = {
    "length_and_chunked": (PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "length_twice": (PUT + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "length_list": (PUT + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "length_with_plus": (PUT + b"Content-Length: +5\r\n\r\nhello", 400),
    "length_negative": (PUT + b"Content-Length: -5\r\n\r\nhello", 400),
    "length_empty": (PUT + b"Content-Length:\r\n\r\n", 400),
    "length_hexadecimal": (PUT + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "length_with_underscore": (PUT + b"Content-Length: 1_0\r\n\r\n", 400),
    "length_of_other_digits": (PUT + b"Content-Length: \xb2\r\n\r\n", 400),
    "length_enormous": (PUT + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "length_imitated": (PUT + b"Content_Length: 5\r\n\r\nhello", 400),
}
CODINGS = {
    "coding_unknown": (PUT + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "coding_before_chunked": (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "coding_identity": (PUT + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "coding_misspelt": (PUT + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
    "chunked_not_last": (PUT + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "chunked_twice": (
        PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "coding_empty": (PUT + b"Transfer-Encoding:\r\n\r\n", 400),
    "coding_with_vertical_tab": (PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "coding_imitated": (PUT + b"Transfer_Encoding: chunked\r\n\r\n", 400),
    "chunked_in_1.0": (b"PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
}
FIELDS = {
    "bare_lf_line": (GET + b"Host: a\n\r\n", 400),
    "bare_lf_everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare_cr_in_value": (GET + HOST + b"X: a\rb\r\n\r\n", 400),
    "bare_lf_in_value": (GET + HOST + b"X: a\nb: c\r\n\r\n", 400),
    "space_before_colon": (GET + b"Host : a\r\n\r\n", 400),
    "tab_before_colon": (GET + HOST + b"X\t: a\r\n\r\n", 400),
    "folded_line": (GET + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "folded_first_line": (GET + b" Host: a\r\n\r\n", 400),
    "no_colon": (GET + HOST + b"nonsense\r\n\r\n", 400),
    "no_name": (GET + HOST + b": a\r\n\r\n", 400),
    "nul_in_value": (GET + HOST + b"X: a\0b\r\n\r\n", 400),
    "control_in_value": (GET + HOST + b"X: a\x07b\r\n\r\n", 400),
    "delete_in_value": (GET + HOST + b"X: a\x7fb\r\n\r\n", 400),
    "nul_in_name": (GET + HOST + b"X\0: a\r\n\r\n", 400),
    "bracket_in_name": (GET + HOST + b"X[]: a\r\n\r\n", 400),
    "utf8_in_name": (GET + HOST + b"X\xc3\xa4: a\r\n\r\n", 400),
    "host_imitated": (GET + b"Host: a\r\nhOST: b\r\n\r\n", 400),
    "authorization_twice": (GET + HOST + b"Authorization: a\r\n" * 2 + END, 400),
    "destination_twice": (GET + HOST + b"Destination: /a\r\n" * 2 + END, 400),
    "too_many_fields": (GET + HOST + b"X: a\r\n" * 100 + END, 431),
    "head_too_long": (GET + HOST + b"X: " + b"a" * 70_000, 431),
    "head_too_long_of_many": (GET + HOST + (b"X: " + b"a" * 1000 + b"\r\n") * 70, 431),
    "unknown_expectation": (PUT + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417),
}
LINES = {
    "line_too_long": (b"GET /" + b"a" * 20_000, 414),
    "whole_line_too_long": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + END, 414),
    "two_spaces": (b"GET  / HTTP/1.1\r\n" + HOST + END, 400),
    "space_at_start": (b" GET / HTTP/1.1\r\n" + HOST + END, 400),
    "space_at_end": (b"GET / HTTP/1.1 \r\n" + HOST + END, 400),
    "space_in_target": (b"GET /a b HTTP/1.1\r\n" + HOST + END, 400),
    "tab_between": (b"GET\t/\tHTTP/1.1\r\n" + HOST + END, 400),
    "control_in_target": (b"GET /a\x01 HTTP/1.1\r\n" + HOST + END, 400),
    "no_version": (b"GET /\r\n\r\n", 400),
    "lower_case_version": (b"GET / http/1.1\r\n" + HOST + END, 400),
    "version_0.9": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "version_2.0": (b"GET / HTTP/2.0\r\n" + HOST + END, 505),
    "http2_preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "long_version": (b"GET / HTTP/1.10\r\n" + HOST + END, 400),
    "version_of_other_digits": (b"GET / HTTP/1.\xb2\r\n" + HOST + END, 400),
    "method_with_bracket": (b"GE(T / HTTP/1.1\r\n" + HOST + END, 400),
    "method_too_long": (b"G" * 40 + b" / HTTP/1.1\r\n" + HOST + END, 400),
    "no_method": (b" / HTTP/1.1\r\n" + HOST + END, 400),
    "two_empty_lines_first": (b"\r\n\r\n" + GET + HOST + END, 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + END, 400),
    "broken_escape": (b"GET /%zz HTTP/1.1\r\n" + HOST + END, 400),
    "cut_escape": (b"GET /% HTTP/1.1\r\n" + HOST + END, 400),
    "no_slash": (b"GET a HTTP/1.1\r\n" + HOST + END, 400),
    "other_scheme": (b"GET ftp://a/ HTTP/1.1\r\n" + HOST + END, 400),
    "absolute_without_host": (b"GET http:///a HTTP/1.1\r\n" + HOST + END, 400),
    "absolute_with_user": (b"GET http://u@a/ HTTP/1.1\r\n" + HOST + END, 400),
    "asterisk_get": (b"GET * HTTP/1.1\r\n" + HOST + END, 400),
    "connect": (b"CONNECT a:443 HTTP/1.1\r\n" + HOST + END, 501),
    "tls_on_a_plain_port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
}
ALL = HOSTS | LENGTHS | CODINGS | FIELDS | LINES


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(echo, ServerSettings(port=0)) as running:
        yield running


@pytest.mark.parametrize(("request_bytes", "status"), ALL.values(), ids=ALL.keys())
def test_is_refused_and_the_connection_closes(
    server: Server,
    request_bytes: bytes,
    status: int,
) -> None:
    with Wire(server) as wire:
        # The second request must not be taken for one: nobody knows where the first ends.
        wire.send(request_bytes, b"GET /smuggled HTTP/1.1\r\n", HOST, END)
        answer = wire.answer()
        assert answer.status == status
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()


CHUNKS = {
    "size_with_sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size_with_prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size_with_space": b"5 \r\nhello\r\n0\r\n\r\n",
    "size_with_leading_space": b" 5\r\nhello\r\n0\r\n\r\n",
    "size_with_underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "size_empty": b"\r\nhello\r\n0\r\n\r\n",
    "size_enormous": b"f" * 17 + b"\r\nhello",
    "size_negative": b"-1\r\nhello\r\n0\r\n\r\n",
    "line_ends_with_lf": b"5\nhello\r\n0\r\n\r\n",
    "line_ends_with_cr": b"5\rhello\r\n0\r\n\r\n",
    "cr_within_line": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "data_too_long": b"5\r\nhello!\r\n0\r\n\r\n",
    "data_without_crlf": b"5\r\nhello0\r\n\r\n",
    "data_ends_with_lf": b"5\r\nhello\n0\r\n\r\n",
    "extension_too_long": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions_too_many": (b"1;" + b"a" * 900 + b"\r\nh\r\n") * 30 + b"0\r\n\r\n",
    "extension_with_nul": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "trailer_without_colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "trailer_folded": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "trailers_too_long": b"5\r\nhello\r\n0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 20 + b"\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
def test_malformed_chunks_are_refused_and_the_connection_closes(
    server: Server,
    chunks: bytes,
) -> None:
    with Wire(server) as wire:
        wire.send(PUT, b"Transfer-Encoding: chunked\r\n\r\n", chunks)
        wire.send(b"GET /smuggled HTTP/1.1\r\n", HOST, END)
        answer = wire.answer()
        assert answer.status == 400
        assert answer.fields["connection"] == "close"
        assert wire.is_closed()


def test_a_head_is_refused_before_it_is_complete_when_it_cannot_become_good(
    server: Server,
) -> None:
    with Wire(server) as wire:
        wire.send(GET, b"Host: a\n")  # no empty line comes
        assert wire.answer().status == 400


def test_a_field_with_underscore_never_reaches_the_application(serve: Serve) -> None:
    seen: list[dict[str, object]] = []

    def app(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        seen.append(environ)
        start_response("204 No Content", [])
        return []

    with Wire(serve(app)) as wire:
        assert wire.get("/", b"X_Forwarded_For: 1.2.3.4\r\n").status == 204
    assert "HTTP_X_FORWARDED_FOR" not in seen[0]


def test_a_body_over_the_bound_is_refused_at_once(serve: Serve) -> None:
    server = serve(echo, limits=Limits(body=10))
    with Wire(server) as wire:
        wire.send(PUT, b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert wire.answer().status == 413
    with Wire(server) as wire:
        wire.send(PUT, b"Transfer-Encoding: chunked\r\n\r\nb\r\n", b"a" * 11, b"\r\n0\r\n\r\n")
        assert wire.answer().status == 413
