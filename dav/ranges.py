"""Range requests (RFC 9110, section 14)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

RANGE_COUNT_LIMIT: Final = 64
"""Ranges in one request; a request for more gets the whole content."""
PART_OVERHEAD: Final = 96
"""Bytes that a part's head costs: a gap smaller than this is cheaper sent than skipped."""

_BYTES_UNIT: Final = re.compile(r"[ \t]*bytes[ \t]*=", re.IGNORECASE)
_RANGE: Final = re.compile(r"(\d{0,4000})-(\d{0,4000})", re.ASCII)


class ByteRange(NamedTuple):
    """Bytes from `start` to `stop`, `stop` not included."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """Return the value of the Content-Range header for content of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class UnsatisfiableError(Exception):
    """No range of the request lies within the content: 416."""


def parse_ranges(value: str | None, size: int) -> tuple[ByteRange, ...] | None:
    """Return the ranges to send of content of `size` bytes; None stands for all of it.

    A header that is malformed or of an unknown unit is ignored, as RFC 9110 says, and so is one
    that asks for more than `RANGE_COUNT_LIMIT` ranges. Ranges that overlap or nearly touch are
    sent as one.

    Raises:
        UnsatisfiableError: the header is sound and none of its ranges can be satisfied.
    """
    unit = _BYTES_UNIT.match(value) if value else None
    if value is None or unit is None:
        return None
    wanted: list[ByteRange] = []
    specs = [spec.strip(" \t") for spec in value[unit.end() :].split(",")]
    specs = [spec for spec in specs if spec]
    if not specs or len(specs) > RANGE_COUNT_LIMIT:
        return None
    for spec in specs:
        found = _RANGE.fullmatch(spec)
        if found is None or spec == "-":
            return None
        first, last = found.groups()
        if first and last and int(last) < int(first):
            return None
        if not first and int(last) and not size:
            return None  # The last bytes of nothing: satisfiable, but no Content-Range can say it.
        one = _resolve(first, last, size)
        if one is not None:
            wanted.append(one)
    if not wanted:
        raise UnsatisfiableError
    return _coalesce(wanted)


def _resolve(first: str, last: str, size: int) -> ByteRange | None:
    """Return the range clipped to the content, None where nothing of it is there."""
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    return ByteRange(start, stop) if start < stop else None


def _coalesce(wanted: list[ByteRange]) -> tuple[ByteRange, ...]:
    """Join ranges that overlap or nearly touch; otherwise keep the order asked for."""
    merged: list[ByteRange] = []
    for one in sorted(wanted):
        if merged and one.start <= merged[-1].stop + PART_OVERHEAD:
            merged[-1] = ByteRange(merged[-1].start, max(merged[-1].stop, one.stop))
        else:
            merged.append(one)
    return tuple(wanted) if len(merged) == len(wanted) else tuple(merged)


class MultipartRanges:
    """The body of a `multipart/byteranges` answer (RFC 9110, section 14.6).

    Args:
        ranges: at least two ranges.
        size: bytes of the whole content.
        content_type: type of the content, repeated in each part.
    """

    def __init__(self, ranges: Iterable[ByteRange], size: int, content_type: str) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts = [
            (
                f"\r\n--{self._boundary}\r\nContent-Type: {content_type}\r\n"
                f"Content-Range: {one.content_range(size)}\r\n\r\n".encode("latin-1"),
                one,
            )
            for one in ranges
        ]
        self._end = f"\r\n--{self._boundary}--\r\n".encode("latin-1")

    @property
    def content_type(self) -> str:
        """Value of the Content-Type header."""
        return f"multipart/byteranges; boundary={self._boundary}"

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        bodies = sum(len(head) + one.stop - one.start for head, one in self._parts)
        return bodies + len(self._end)

    def stream(self, read: Callable[[int, int], Iterable[bytes]]) -> Iterator[bytes]:
        """Yield the body; `read(start, stop)` yields the bytes of a range."""
        for head, one in self._parts:
            yield head
            yield from read(one.start, one.stop)
        yield self._end
