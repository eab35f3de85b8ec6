"""An HTTP proxy between a client and an S3 server, which does what networks and servers do."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from tests.support.network import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_SECONDS: Final = 60
_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Wrong(Enum):
    """What goes wrong with a request."""

    BUSY = auto()
    """The server does nothing and answers 503 SlowDown."""
    LATE_ERROR = auto()
    """The server does it, and answers 500."""
    LOST = auto()
    """The server does it, and the connection ends without an answer."""
    CUT_SENDING = auto()
    """The connection ends before the server has got all."""
    TRUNCATED = auto()
    """The connection ends after half of the answer's body."""
    FLIPPED = auto()
    """A bit of the answer's body is another."""
    FLATTERED = auto()
    """That a condition does not hold is answered as a success, as if two had won a race."""


class Request(NamedTuple):
    """A request as the proxy sees it: method, key with bucket and query, bytes sent."""

    method: str
    path: str
    size: int


class FaultProxy:
    """Forwards to an endpoint, and lets `decide` say what goes wrong with each request."""

    def __init__(self, endpoint: str) -> None:
        self.requests: list[Request] = []
        self.decide: Callable[[Request], Wrong | None] = lambda _: None
        self._lock = threading.Lock()
        address = urlsplit(endpoint)
        self.upstream = (str(address.hostname), int(address.port or 80))
        self._server = _Server(self)

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def once(self, wrong: Wrong, method: str, part: str = "") -> None:
        """Let this go wrong with the next request of the method whose path has the part in it."""
        left = [wrong]

        def decide(request: Request) -> Wrong | None:
            is_meant = request.method == method and part in request.path
            return left.pop() if is_meant and left else None

        self.decide = decide

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def note(self, request: Request) -> Wrong | None:
        """Count a request; return what is to go wrong with it."""
        with self._lock:
            self.requests.append(request)
            return self.decide(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    """Forwards one connection's requests."""

    server: _Server

    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        body = self.body()
        wrong = self.server.proxy.note(Request(self.command, self.path, len(body)))
        if wrong is Wrong.CUT_SENDING:
            self.cut()
            return
        if wrong is Wrong.BUSY:
            self.answer(503, [], _error("SlowDown"))
            return
        status, headers, content = self.ask(body)
        if wrong is Wrong.LOST:
            self.cut()
        elif wrong is Wrong.LATE_ERROR:
            self.answer(500, [], _error("InternalError"))
        elif wrong is Wrong.TRUNCATED:
            self.answer(status, headers, content, content[: len(content) // 2])
            self.cut()
        elif wrong is Wrong.FLIPPED:
            flipped = bytearray(content)
            flipped[len(flipped) // 2] ^= 4
            self.answer(status, headers, content, bytes(flipped))
        elif wrong is Wrong.FLATTERED and status == HTTPStatus.PRECONDITION_FAILED:
            self.answer(200, [("ETag", '"won"')], b"")
        else:
            self.answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(
            *self.server.proxy.upstream, timeout=_PATIENCE_SECONDS
        )
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP | {"expect"}:
                    upstream.putheader(name, value)
            if body or self.command in {"PUT", "POST"}:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        sent: bytes | None = None,
    ) -> None:
        self.send_response_only(status)
        size = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                size = value
            elif name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if sent is None else sent)

    def cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()


@contextmanager
def running_proxy(endpoint: str) -> Iterator[FaultProxy]:
    """Run a proxy in front of the endpoint until the end of the block."""
    proxy = FaultProxy(endpoint)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
