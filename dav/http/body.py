"""Request bodies: what `wsgi.input` is (PEP 3333), over Content-Length or chunks (RFC 9112, 6-7).

Every read gives what it was asked for or the whole rest of the body, or raises `BodyError`. So
an empty read always means that the body has come in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from dav.http.errors import (
    BodyError,
    BodyIncompleteError,
    BodyMalformedError,
    BodyTooLargeError,
)
from dav.http.settings import Limits
from dav.http.stream import Stream

_READ_ALL_PIECE: Final = 1024 * 1024
_LINE_PIECE: Final = 4096
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class BodyFraming(Protocol):
    """Finds the end of a body."""

    @property
    def finished(self) -> bool:
        """Whether the body was read to its end."""

    @property
    def remaining(self) -> int | None:
        """How many bytes are still to be read; None if that is not known."""

    def take(self, size: int) -> bytes:
        """Up to `size` bytes, at least one; b"" at the end alone. Raises BodyError."""

    def take_into(self, view: memoryview) -> int:
        """As `take`, into `view`; the number of bytes, 0 at the end alone."""


class LengthFraming:
    """A body of a known length."""

    def __init__(self, stream: Stream, length: int) -> None:
        self._stream = stream
        self._remaining = length

    @property
    def finished(self) -> bool:
        """Whether the body was read to its end."""
        return not self._remaining

    @property
    def remaining(self) -> int:
        """How many bytes are still to be read."""
        return self._remaining

    def take(self, size: int) -> bytes:
        """`size` bytes or the rest. Raises BodyError."""
        size = min(size, self._remaining)
        if not size:
            return b""
        data = self._stream.read_block(size)
        self._remaining -= size
        return data

    def take_into(self, view: memoryview) -> int:
        """As `take`, into `view`; the number of bytes."""
        size = min(len(view), self._remaining)
        if size:
            self._stream.read_into(view[:size])
            self._remaining -= size
        return size


class ChunkedFraming:
    """A body in chunks (RFC 9112, section 7.1). Extensions and trailers are bounded and dropped."""

    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._chunk = 0
        self._first = True
        self._finished = False
        self._extensions = 0
        self._received = 0

    @property
    def finished(self) -> bool:
        """Whether the body was read to its end, the last chunk and the trailers included."""
        return self._finished

    @property
    def remaining(self) -> int | None:
        """0 at the end, else None: the length is not known."""
        return 0 if self._finished else None

    def take(self, size: int) -> bytes:
        """Up to `size` bytes of the current chunk. Raises BodyError."""
        size = min(size, self._enter_chunk())
        if not size:
            return b""
        data = self._stream.read_block(size)
        self._chunk -= size
        return data

    def take_into(self, view: memoryview) -> int:
        """As `take`, into `view`; the number of bytes."""
        size = min(len(view), self._enter_chunk())
        if size:
            self._stream.read_into(view[:size])
            self._chunk -= size
        return size

    def _enter_chunk(self) -> int:
        """How much of the current chunk is left, after starting the next one if need be."""
        if self._chunk or self._finished:
            return self._chunk
        if not self._first and self._stream.read_line(0):
            raise BodyMalformedError("A chunk is longer than it said.")
        self._first = False
        line = self._stream.read_line(self._limits.chunk_line)
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BodyMalformedError("A chunk's size is malformed.")
        self._extensions += len(match[2] or b"")
        if self._extensions > self._limits.chunk_extensions:
            raise BodyMalformedError("There are too many chunk extensions.")
        self._chunk = int(match[1], 16)
        self._received += self._chunk
        if self._limits.body is not None and self._received > self._limits.body:
            raise BodyTooLargeError("The body is larger than this server takes.")
        if not self._chunk:
            self._drop_trailers()
            self._finished = True
        return self._chunk

    def _drop_trailers(self) -> None:
        size = 0
        while True:
            line = self._stream.read_line(self._limits.trailers)
            if not line:
                return
            size += len(line)
            if size > self._limits.trailers or _TRAILER.fullmatch(line) is None:
                raise BodyMalformedError("The trailer fields are malformed or too long.")


class RequestBody:
    """`wsgi.input`: a binary file of the request body. Not thread-safe.

    `before_first_read` is called once, before bytes are waited for: it sends 100 Continue.
    """

    def __init__(
        self,
        framing: BodyFraming | None,
        before_first_read: Callable[[], None] | None = None,
    ) -> None:
        self._framing = framing
        self._before_first_read = before_first_read
        self._line_rest = b""
        self._failure: BodyError | None = None
        self.received = 0
        """How many bytes of the body were received."""

    @property
    def finished(self) -> bool:
        """Whether the body was received to its end."""
        return self._framing is None or self._framing.finished

    @property
    def remaining(self) -> int | None:
        """How many bytes were not received yet; None if that is not known."""
        return 0 if self._framing is None else self._framing.remaining

    @property
    def failed(self) -> bool:
        """Whether a read raised BodyError: nothing more can be read from this connection."""
        return self._failure is not None

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or fewer at the end; all of the rest for None or -1. Raises BodyError."""
        if size is None or size < 0:
            return self._read_all()
        if self._line_rest:
            data, self._line_rest = self._line_rest[:size], self._line_rest[size:]
        else:
            data = self._take(size)
        if len(data) == size or not data:
            return data
        return self._read_on(data, size)

    def read1(self, size: int = -1) -> bytes:
        """Some bytes, up to `size`; b"" at the end alone. Raises BodyError."""
        if self._line_rest:
            return self.read(min(size, len(self._line_rest)) if size >= 0 else None)
        return self._take(size if size >= 0 else _READ_ALL_PIECE)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill `buffer`; the number of bytes, fewer at the end alone. Raises BodyError."""
        view = memoryview(buffer).cast("B")
        filled = 0
        if self._line_rest:
            early = self.read(min(len(view), len(self._line_rest)))
            filled = len(early)
            view[:filled] = early
        while filled < len(view):
            count = self._take_into(view[filled:])
            if not count:
                break
            filled += count
        return filled

    def readline(self, size: int | None = -1) -> bytes:
        """A line with its LF, or `size` bytes of it, or the rest. Raises BodyError."""
        bound = -1 if size is None else size
        line = self._line_rest
        self._line_rest = b""
        while (end := line.find(b"\n") + 1) == 0 and not 0 <= bound <= len(line):
            piece = self._take(_LINE_PIECE)
            if not piece:
                break
            line += piece
        end = end or len(line)
        if bound >= 0:
            end = min(end, bound)
        self._line_rest = line[end:]
        return line[:end]

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Lines, until they hold `hint` bytes together. Raises BodyError."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _read_all(self) -> bytes:
        parts = [self._line_rest]
        self._line_rest = b""
        while piece := self._take(_READ_ALL_PIECE):
            parts.append(piece)
        return b"".join(parts)

    def _read_on(self, data: bytes, size: int) -> bytes:
        parts = [data]
        missing = size - len(data)
        while missing and (piece := self._take(missing)):
            parts.append(piece)
            missing -= len(piece)
        return b"".join(parts)

    def _prepare(self) -> BodyFraming | None:
        if self._failure is not None:
            raise self._failure
        if self._before_first_read is not None and not self.finished:
            before, self._before_first_read = self._before_first_read, None
            before()
        return self._framing

    def _take(self, size: int) -> bytes:
        if not size:
            return b""
        try:
            framing = self._prepare()
            data = b"" if framing is None else framing.take(size)
        except BodyError as error:
            self._failure = error
            raise
        except OSError as error:
            self._failure = BodyIncompleteError("The connection broke within the request body.")
            raise self._failure from error
        self.received += len(data)
        return data

    def _take_into(self, view: memoryview) -> int:
        try:
            framing = self._prepare()
            count = 0 if framing is None else framing.take_into(view)
        except BodyError as error:
            self._failure = error
            raise
        except OSError as error:
            self._failure = BodyIncompleteError("The connection broke within the request body.")
            raise self._failure from error
        self.received += count
        return count
