"""An HTTP client that costs little, so that what is measured is the server: the same for all.

Requests are made ready before the clock starts. Big bodies go out by sendfile and come in by
recv_into. Small requests of many clients are driven by one thread over non-blocking sockets.
"""

from __future__ import annotations

import base64
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

_BUFFER: Final = 1024 * 1024
_SENDFILE: Final = 8 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Target:
    """A folder of a server that requests go to. `prefix` begins and ends with a slash."""

    host: str
    port: int
    prefix: str = "/"
    user: str = ""
    password: str = ""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """Return a whole request for a path below the prefix, which is not yet quoted."""
        return self.head(method, path, len(body), headers) + body

    def head(
        self, method: str, path: str, length: int, headers: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """Return the head of a request whose body has this many bytes."""
        lines = [
            f"{method} {self.prefix}{quote(path)} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if length or method == "PUT":
            lines.append(f"Content-Length: {length}")
        if self.user:
            credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            lines.append(f"Authorization: Basic {credentials}")
        return "\r\n".join([*lines, "\r\n"]).encode()

    def url(self, path: str) -> str:
        """Return the URL of a path, for a Destination header."""
        return f"http://{self.host}:{self.port}{self.prefix}{quote(path)}"


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its body, and when it was complete, in seconds."""

    status: int
    body: bytes
    seconds: float


class Parser:
    """Tells where an answer ends as its bytes come."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._body_start = 0
        self._length: int | None = None
        self.is_chunked = False
        self.closes = False
        self.status = 0

    def feed(self, data: bytes | memoryview) -> bool:
        """Take bytes; return whether the answer is complete."""
        self._data += data
        if not self._body_start and not self._read_head():
            return False
        if self.is_chunked:
            return self._data.endswith(b"0\r\n\r\n")
        return self._length is not None and len(self._data) - self._body_start >= self._length

    def end(self) -> bool:
        """Take note that the server closed; return whether the answer is complete by that."""
        return bool(self._body_start) and self._length is None and not self.is_chunked

    @property
    def body(self) -> bytes:
        """The body so far, without the chunks' frames."""
        raw = bytes(self._data[self._body_start :])
        return b"".join(_pieces(raw)) if self.is_chunked else raw

    @property
    def length(self) -> int | None:
        """The body's length if the head tells it."""
        return self._length if self._body_start else None

    @property
    def received(self) -> int:
        """Bytes of the body that have come."""
        return len(self._data) - self._body_start

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body_start = end + 4
        status_line, *lines = bytes(self._data[:end]).lower().split(b"\r\n")
        self.status = int(status_line.split()[1])
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                self._length = int(value)
            elif name == b"transfer-encoding":
                self.is_chunked = True
            elif name == b"connection":
                self.closes = value.strip() == b"close"
        if self.status == 204:
            self._length = 0
        return True


def _pieces(raw: bytes) -> Iterable[bytes]:
    position = 0
    while True:
        end = raw.index(b"\r\n", position)
        size = int(raw[position:end].split(b";")[0], 16)
        if not size:
            return
        yield raw[end + 2 : end + 2 + size]
        position = end + 2 + size + 2


def connect(target: Target) -> socket.socket:
    """Return a connection to the server."""
    connection = socket.create_connection((target.host, target.port), timeout=_TIMEOUT_SECONDS)
    connection.settimeout(None)  # With one, Python would poll before each call.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(target: Target, request: bytes) -> Answer:
    """Send one request on a connection of its own and return the answer; it must be a success."""
    with connect(target) as connection:
        start = time.perf_counter()
        connection.sendall(request)
        return _answer(connection, start)


def put_file(target: Target, path: str, source: Path) -> float:
    """PUT a file and return the seconds from the first byte sent to the answer."""
    size = source.stat().st_size
    with connect(target) as connection, source.open("rb") as file:
        start = time.perf_counter()
        connection.sendall(target.head("PUT", path, size))
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), file.fileno(), sent, _SENDFILE)
        return _answer(connection, start).seconds


def put_blocks(target: Target, path: str, size: int, blocks: Iterable[bytes]) -> float:
    """PUT blocks of this many bytes in all and return the seconds it took."""
    with connect(target) as connection:
        start = time.perf_counter()
        connection.sendall(target.head("PUT", path, size))
        for block in blocks:
            connection.sendall(block)
        return _answer(connection, start).seconds


def get(target: Target, path: str) -> tuple[int, float]:
    """GET a file, throw its bytes away, return their number and the seconds it took."""
    buffer = bytearray(_BUFFER)
    with connect(target) as connection:
        start = time.perf_counter()
        connection.sendall(target.request("GET", path))
        parser = Parser()
        while parser.length is None:
            count = connection.recv_into(buffer)
            assert count, "the server closed the connection"
            parser.feed(memoryview(buffer)[:count])
            assert not parser.is_chunked, "a file is sent with its length"
        assert parser.status == 200, parser.status
        received = parser.received
        while received < parser.length:
            count = connection.recv_into(buffer)
            assert count, "the server closed the connection"
            received += count
        return received, time.perf_counter() - start


def ask_all(target: Target, requests: Sequence[bytes], clients: int) -> float:
    """Have clients with one connection each send all requests; return the seconds it took.

    A client sends its next request when the answer to the last one has come. Every answer must
    be a success.
    """
    waiting = deque(requests)
    lanes = [_Lane(target) for _ in range(clients)]
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        busy = sum(lane.send_next(selector, waiting) for lane in lanes)
        while busy:
            for key, _ in selector.select(_TIMEOUT_SECONDS):
                lane: _Lane = key.data
                if lane.receive(selector) and not lane.send_next(selector, waiting):
                    busy -= 1
        seconds = time.perf_counter() - start
    for lane in lanes:
        lane.connection.close()
    return seconds


class _Lane:
    """One client of `ask_all`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._parser = Parser()
        self._is_registered = False
        self.connection = connect(target)

    def send_next(self, selector: selectors.BaseSelector, waiting: deque[bytes]) -> bool:
        """Send the next request; return False when none is left."""
        if self._is_registered and self._parser.closes:
            selector.unregister(self.connection)
            self.connection.close()
            self.connection, self._is_registered = connect(self._target), False
        if not waiting:
            return False
        self._parser = Parser()
        self.connection.sendall(waiting.popleft())
        if not self._is_registered:
            selector.register(self.connection, selectors.EVENT_READ, self)
            self._is_registered = True
        return True

    def receive(self, selector: selectors.BaseSelector) -> bool:
        """Take what has come; return whether the answer is complete."""
        data = self.connection.recv(65536)
        if data:
            is_complete = self._parser.feed(data)
        else:
            is_complete = self._parser.closes = self._parser.end()
            assert is_complete, "the server closed the connection"
        if is_complete:
            assert 200 <= self._parser.status < 300, self._parser.status
        return is_complete


def _answer(connection: socket.socket, start: float) -> Answer:
    parser = Parser()
    buffer = bytearray(_BUFFER)
    while True:
        count = connection.recv_into(buffer)
        if not count:
            assert parser.end(), "the server closed the connection"
            break
        if parser.feed(memoryview(buffer)[:count]):
            break
    seconds = time.perf_counter() - start
    assert 200 <= parser.status < 300, (parser.status, parser.body[:500])
    return Answer(parser.status, parser.body, seconds)
