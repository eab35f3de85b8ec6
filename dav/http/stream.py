"""The byte stream of one connection: what came too early is kept, slow clients are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from dav.http.errors import (
    BodyIncompleteError,
    BodyMalformedError,
    BodyTimeoutError,
    ClientGoneError,
)
from dav.http.settings import Timeouts
from dav.http.transport import SLICE_SECONDS, Transport

_LARGEST_RECEIVE: Final = 4 * 1024 * 1024
_FILL: Final = 64 * 1024


class Pace:
    """How fast a client moves bytes, counted over the time that we waited for it.

    A client that is slow but alive goes on. It ends when nothing moves for `progress` seconds,
    or when it stays below the minimum rate while other clients wait for a free thread.
    """

    __slots__ = ("_moved", "_pressed", "_still", "_timeouts", "_waited")

    def __init__(self, timeouts: Timeouts, pressed: Callable[[], bool]) -> None:
        self._timeouts = timeouts
        self._pressed = pressed
        self._still = 0.0
        self._waited = 0.0
        self._moved = 0

    def allows(self, moved: int, seconds: float) -> bool:
        """Count `moved` bytes in `seconds` of waiting; False when the client has to go."""
        timeouts = self._timeouts
        self._still = 0.0 if moved else self._still + seconds
        if self._still >= timeouts.progress:
            return False
        self._moved += moved
        self._waited += seconds
        if self._waited < timeouts.grace:
            return True
        too_slow = self._moved < timeouts.minimum_rate * self._waited
        if too_slow and self._pressed():
            return False
        if not too_slow or self._waited > 2 * timeouts.grace:
            self._waited = 0.0
            self._moved = 0
        return True


class Stream:
    """Reads from and writes to a `Transport`; every wait is bounded by a `Pace`."""

    __slots__ = ("_data", "_pace", "_position", "transport")

    def __init__(
        self,
        transport: Transport,
        timeouts: Timeouts,
        pressed: Callable[[], bool],
    ) -> None:
        self.transport = transport
        self._pace = Pace(timeouts, pressed)
        self._data = b""
        self._position = 0

    @property
    def buffered(self) -> int:
        """How many bytes have been received and not been read."""
        return len(self._data) - self._position

    def peek(self) -> bytes:
        """All that is buffered."""
        if self._position:
            self._data = self._data[self._position :]
            self._position = 0
        return self._data

    def feed(self, data: bytes) -> None:
        """Append what was received from the transport by hand."""
        self._data = self.peek() + data if self.buffered else data
        self._position = 0

    def take(self, size: int) -> bytes:
        """Up to `size` of the buffered bytes."""
        start = self._position
        taken = self._data[start : start + size]
        self._position = start + len(taken)
        if self._position >= len(self._data):
            self._data = b""
            self._position = 0
        return taken

    def read_block(self, size: int) -> bytes:
        """Exactly `size` bytes, with one copy at most. Raises BodyError."""
        if self._data:
            parts = [self.take(size)]
            missing = size - len(parts[0])
        else:
            piece = self._receive(min(size, _LARGEST_RECEIVE))
            missing = size - len(piece)
            if not missing:
                return piece
            parts = [piece]
        while missing:
            piece = self._receive(min(missing, _LARGEST_RECEIVE))
            parts.append(piece)
            missing -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, view: memoryview) -> None:
        """Fill `view`. Raises BodyError."""
        filled = 0
        if self._data:
            taken = self.take(len(view))
            filled = len(taken)
            view[:filled] = taken
        while filled < len(view):
            began = time.monotonic()
            count = self.transport.receive_into(view[filled:])
            self._count_received(count, began)
            filled += count or 0

    def read_line(self, limit: int) -> bytes:
        """A line without its CR LF. Raises BodyMalformedError over `limit` bytes, BodyError."""
        while True:
            start = self._position
            end = self._data.find(b"\n", start, start + limit + 2)
            if end >= 0:
                line = self.take(end + 1 - start)
                if line[-2:-1] != b"\r" or b"\r" in line[:-2]:
                    raise BodyMalformedError("A line of the chunked body does not end with CR LF.")
                return line[:-2]
            if self.buffered >= limit + 2:
                raise BodyMalformedError("A line of the chunked body is too long.")
            self.fill()

    def fill(self) -> None:
        """Wait until something more is buffered. Raises BodyError."""
        data: bytes | None = None
        while not data:
            # Not `receive`: that waits for all that it is asked for.
            began = time.monotonic()
            if self.transport.wait_readable(SLICE_SECONDS):
                data = self.transport.receive_now(_FILL)
            self._count_received(None if data is None else len(data), began)
        self.feed(data)

    def write(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Send all of the byte buffers, without copying them. Raises ClientGoneError."""
        total = sum(map(len, buffers))
        sent = self._send(buffers)
        while sent < total:
            rest: list[bytes | memoryview] = []
            skip = sent
            for buffer in buffers:
                if skip < len(buffer):
                    rest.append(memoryview(buffer)[skip:] if skip else buffer)
                skip = max(skip - len(buffer), 0)
            sent += self._send(rest)

    def _send(self, buffers: Sequence[bytes | memoryview]) -> int:
        began = time.monotonic()
        try:
            sent = self.transport.send(buffers)
        except OSError as error:
            raise ClientGoneError("The client closed the connection.") from error
        if not self._pace.allows(sent, time.monotonic() - began):
            raise ClientGoneError("The client does not read the answer.")
        return sent

    def _receive(self, size: int) -> bytes:
        while True:
            began = time.monotonic()
            data = self.transport.receive(size)
            self._count_received(None if data is None else len(data), began)
            if data:
                return data

    def _count_received(self, count: int | None, began: float) -> None:
        if count == 0:
            raise BodyIncompleteError("The connection ended before the request body did.")
        if not self._pace.allows(count or 0, time.monotonic() - began):
            raise BodyTimeoutError("The request body does not come on.")
