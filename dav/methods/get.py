"""GET and HEAD (RFC 9110, sections 9.3.1, 9.3.2, 13 and 14)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias, TypeVar, cast

import cas
from dav import media_types
from dav.addressed import Resource, representation_headers, state_of
from dav.answers import REVALIDATED, Answer
from dav.browse import folder_page, places_page, snapshots_page
from dav.conditions import if_range_holds
from dav.dates import http_date
from dav.environment import wants_page
from dav.http.gateway import TAKES_BUFFERS
from dav.locations import Place
from dav.properties import content_type
from dav.ranges import ByteRange, MultipartRanges, UnsatisfiableError, parse_ranges
from dav.request import Request
from dav.status import HttpError

_BLOCK_SIZE: Final = 256 * 1024
"""Bytes that are sent together: on small pieces a call and a turn of the thread each would cost
more than the sending."""
_BLOCK_PIECES: Final = 512  # Linux takes 1024 in one sendmsg
_Block: TypeAlias = tuple[bytes | memoryview, ...]
_Item = TypeVar("_Item")
_SAFETY: Final = (
    # Files are their owners' words, not ours: nothing in them may act on this origin.
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox",
    ),
)


def get(request: Request) -> Answer:
    """Answer GET and HEAD of a file, or of a folder with a page for people."""
    place = request.location.place
    if place in {Place.ROOT, Place.VOLUMES}:
        return places_page(request)
    if place is Place.SNAPSHOTS:
        return snapshots_page(request, request.resource)
    if place is Place.UPLOADS:
        raise HttpError(405, "parts of an upload cannot be read back")
    resource = request.resource
    entry = resource.visible_entry()
    request.check_conditions(resource)
    if entry.is_directory:
        return folder_page(request, resource)
    answer = _file(request, resource, entry)
    request.close()  # A file that was opened needs its view no more, however long it is read.
    return answer


def _file(request: Request, resource: Resource, entry: cas.Entry) -> Answer:
    media_type = content_type(resource.location.names[-1], entry)
    headers = [
        *representation_headers(resource),
        # A client may have dated the file ahead; this header must not lie in the future (8.8.2.1).
        ("Last-Modified", http_date(min(entry.mtime_ns, time.time_ns()))),
        ("Accept-Ranges", "bytes"),
        REVALIDATED,
        *_SAFETY,
    ]
    if media_type == "text/plain" and wants_page(request.environ):
        # Nearly all text is; without a word a browser takes it for the Latin of an old Windows.
        media_type = "text/plain; charset=utf-8"
    if request.target.query == "download" or not media_types.is_shown_inline(media_type):
        headers.append(("Content-Disposition", "attachment"))
    ranges = _ranges(request, resource, entry)
    if ranges is None:
        headers += [("Content-Type", media_type), ("Content-Length", str(entry.size))]
        return Answer(200, headers, _body(request, resource, entry, ByteRange(0, entry.size)))
    if len(ranges) == 1:
        [one] = ranges
        headers += [
            ("Content-Type", media_type),
            ("Content-Range", one.content_range(entry.size)),
            ("Content-Length", str(one.stop - one.start)),
        ]
        return Answer(206, headers, _body(request, resource, entry, one))
    parts = MultipartRanges(ranges, entry.size, media_type)
    headers += [("Content-Type", parts.content_type), ("Content-Length", str(parts.length))]
    reader = _open(request, resource, entry)
    return Answer(206, headers, _begun(parts.stream(lambda *one: _joined(_blocks(reader, *one)))))


def _ranges(request: Request, resource: Resource, entry: cas.Entry) -> tuple[ByteRange, ...] | None:
    """Return the ranges to send, None for the whole file. HEAD has no ranges (section 14.2)."""
    value = request.header("Range")
    if value is None or request.method != "GET":
        return None
    if not if_range_holds(request.header("If-Range"), state_of(resource), time.time()):
        return None
    try:
        return parse_ranges(value, entry.size)
    except UnsatisfiableError as error:
        raise HttpError(
            416,
            f"the file has {entry.size} bytes",
            headers=[("Content-Range", f"bytes */{entry.size}"), ("Accept-Ranges", "bytes")],
        ) from error


def _body(
    request: Request, resource: Resource, entry: cas.Entry, wanted: ByteRange
) -> Iterable[bytes]:
    if request.method == "HEAD" or wanted.start == wanted.stop:
        return []
    blocks = _blocks(_open(request, resource, entry), wanted.start, wanted.stop)
    if not request.environ.get(TAKES_BUFFERS):
        return _begun(_joined(blocks))
    # More than WSGI allows: what asked for it sends the pieces together, uncopied.
    return cast("Iterable[bytes]", _begun(blocks))


def _open(request: Request, resource: Resource, entry: cas.Entry) -> cas.FileReader:
    return request.view_of(resource).open(entry, f"{resource.tree_name}:/{resource.path}")


def _blocks(reader: cas.FileReader, start: int, stop: int) -> Iterator[_Block]:
    """Yield the bytes of a range, as many pieces at a time as are worth a call to send them."""
    block: list[bytes | memoryview] = []
    size = 0
    for piece in reader.chunks(start, stop):
        block.append(piece)
        size += len(piece)
        if size >= _BLOCK_SIZE or len(block) >= _BLOCK_PIECES:
            yield tuple(block)
            block.clear()
            size = 0
    if block:
        yield tuple(block)


def _joined(blocks: Iterator[_Block]) -> Iterator[bytes]:
    return (b"".join(block) for block in blocks)


def _begun(blocks: Iterator[_Item]) -> Iterator[_Item]:
    """Return the blocks with the first one read: damage there is answered with an error."""
    return _led(next(blocks), blocks)


def _led(first: _Item, rest: Iterator[_Item]) -> Iterator[_Item]:
    yield first
    yield from rest
