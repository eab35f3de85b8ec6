"""`download/{id}`: a file's bytes, whole or by ranges.

With `etag`, the one that a listing told, the answer is for ever and may be kept: other content has
another address. Without it, it is what the path has now and has to be asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import cas
from dav.api.answers import Answer, RefusedError, not_found, refused
from dav.api.call import Call, number, text
from dav.api.handles import Named, by_handle
from dav.properties import content_type
from dav.ranges import ByteRange, UnsatisfiableError, parse_ranges

_BLOCK_SIZE: Final = 256 * 1024
_LONGEST_SEQUENCE: Final = 2**63 - 1
_FOR_EVER: Final = ("Cache-Control", "private, max-age=31536000, immutable")
_ASK_AGAIN: Final = ("Cache-Control", "private, no-cache")
_SAFETY: Final = (
    ("Content-Disposition", "attachment"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Accept-Ranges", "bytes"),
)


def download(call: Call) -> Answer:
    """Answer `GET download/{id}`."""
    named = by_handle(call)
    query = call.query()
    wanted = text(query, "etag")
    sequence = number(query, "sequence", 0, _LONGEST_SEQUENCE)
    with named.volume.view() as view:
        entry = _entry(call, named, view, sequence)
        etag = named.volume.etag(entry)
        if wanted and wanted != etag:
            raise not_found()
        headers = [("ETag", f'"{etag}"'), _FOR_EVER if wanted else _ASK_AGAIN, *_SAFETY]
        if _matches(call.header("If-None-Match"), etag):
            return Answer(304, headers=headers)
        part = _range(call, entry.size, etag)
        media_type = content_type(named.path.rpartition("/")[2], entry)
        status = 200 if part is None else 206
        if part is not None:
            headers.append(("Content-Range", part.content_range(entry.size)))
        one = part or ByteRange(0, entry.size)
        headers.append(("Content-Length", str(one.stop - one.start)))
        reader = view.open(entry, named.path)
    # The reader needs the view no more, however long it is read.
    body: Iterable[bytes] = iter(())
    if call.method != "HEAD" and one.start < one.stop:
        body = _begun(_blocks(reader, one))
    return Answer(status, body, media_type, headers)


def _entry(call: Call, named: Named, view: cas.View, sequence: int) -> cas.Entry:
    """Return the file that is meant, as it is now or was after a change."""
    if sequence:
        named.check_known(sequence)
        entry = cas.stored_version(call.repository, named.volume, named.path, sequence)
    else:
        entry = view.get(named.path)
    if entry is None or not entry.is_file:
        raise not_found()
    return entry


def _range(call: Call, size: int, etag: str) -> ByteRange | None:
    """Return the range to send, None for the whole file; of several ranges the whole file."""
    condition = call.header("If-Range")
    if call.method != "GET" or (condition is not None and condition.strip() != f'"{etag}"'):
        return None
    try:
        ranges = parse_ranges(call.header("Range"), size)
    except UnsatisfiableError as error:
        found = refused(416, "invalid", f"the file has {size} bytes")
        raise RefusedError(416, found.refusal, [("Content-Range", f"bytes */{size}")]) from error
    return ranges[0] if ranges is not None and len(ranges) == 1 else None


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return f'"{etag}"' in tags or "*" in tags


def _blocks(reader: cas.FileReader, one: ByteRange) -> Iterator[bytes]:
    block: list[bytes | memoryview] = []
    size = 0
    for piece in reader.chunks(one.start, one.stop):
        block.append(piece)
        size += len(piece)
        if size >= _BLOCK_SIZE:
            yield b"".join(block)
            block, size = [], 0
    if block:
        yield b"".join(block)


def _begun(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the blocks with the first one read: damage there is answered with an error."""
    first = next(blocks)

    def all_blocks() -> Iterator[bytes]:
        yield first
        yield from blocks

    return all_blocks()
