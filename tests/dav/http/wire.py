"""A client that sends exactly the bytes it is told to, and small applications to talk to."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

from dav.server import Server

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
HOST = b"Host: example.org\r\n"


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    fields: dict[str, str]
    body: bytes
    """The decoded body."""
    whole: bool
    """Whether the body came to its end."""


class Wire:
    """A connection to a server."""

    def __init__(
        self, server: Server, context: ssl.SSLContext | None = None, source: str = ""
    ) -> None:
        raw = socket.create_connection((server.host, server.port), 20, (source, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname="localhost") if context else raw
        self.early = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def get(self, path: str = "/", *fields: bytes) -> Answer:
        self.send(b"GET ", path.encode(), b" HTTP/1.1\r\n", HOST, *fields, b"\r\n")
        return self.answer()

    def more(self) -> bytes:
        """What comes next; b"" at the end, also at an end by reset."""
        try:
            return self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            return b""

    def line(self) -> bytes:
        while b"\r\n" not in self.early:
            data = self.more()
            assert data, f"the connection ended after {self.early!r}"
            self.early += data
        line, _, self.early = self.early.partition(b"\r\n")
        return line

    def exactly(self, size: int) -> tuple[bytes, bool]:
        while len(self.early) < size:
            data = self.more()
            if not data:
                return self.early, False
            self.early += data
        body, self.early = self.early[:size], self.early[size:]
        return body, True

    def answer(self, *, head_only: bool = False) -> Answer:
        protocol, status, _ = self.line().split(b" ", 2)
        assert protocol == b"HTTP/1.1"
        fields: dict[str, str] = {}
        while line := self.line():
            name, value = line.decode("latin-1").split(": ", 1)
            assert name.lower() not in fields
            fields[name.lower()] = value
        body, whole = self.body(int(status), fields, head_only=head_only)
        return Answer(int(status), fields, body, whole)

    def body(self, status: int, fields: dict[str, str], *, head_only: bool) -> tuple[bytes, bool]:
        if head_only or status in {100, 204, 304}:
            return b"", True
        if fields.get("transfer-encoding") == "chunked":
            return self.chunks()
        if "content-length" in fields:
            return self.exactly(int(fields["content-length"]))
        return self.rest(), True

    def chunks(self) -> tuple[bytes, bool]:
        body = b""
        while True:
            try:
                size = int(self.line(), 16)
            except AssertionError:
                return body, False
            data, whole = self.exactly(size)
            body += data
            if not whole or self.line():
                return body, False
            if not size:
                return body, True

    def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        while data := self.more():
            self.early += data
        rest, self.early = self.early, b""
        return rest

    def is_closed(self) -> bool:
        """Whether the server ends the connection without another byte."""
        return self.rest() == b""


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the request's method, path, query and body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    head = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}\n"
    return [head.encode("latin-1") + body]


def refuse(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer 403 without a look at the body; GET is answered 200."""
    good = environ["REQUEST_METHOD"] == "GET"
    start_response("200 OK" if good else "403 Forbidden", [("Content-Type", "text/plain")])
    return [b"welcome" if good else b"no"]


class Recorder:
    """Keeps the environment of each request, and answers with what it is told to."""

    def __init__(
        self,
        status: str = "200 OK",
        fields: list[tuple[str, str]] | None = None,
        body: Callable[[], Iterable[bytes]] = lambda: [b"ok"],
    ) -> None:
        self.environs: list[Environ] = []
        self.status = status
        self.fields = fields or []
        self.body = body
        self.closed = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.environs.append(environ)
        start_response(self.status, self.fields)
        return self.body()
