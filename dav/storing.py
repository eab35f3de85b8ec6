"""From a request body to a file: received, verified, committed, told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import cas
from dav.addressed import Resource, representation_headers
from dav.answers import Answer
from dav.checksums import PROPERTY as CHECKSUMS
from dav.checksums import Checksums
from dav.client_times import ClientTimes
from dav.media_types import DEFAULT, is_header_text
from dav.properties import Context
from dav.request import Request
from dav.retry import until_unchanged
from dav.status import HttpError

BLOCK_SIZE: Final = 512 * 1024
"""Bytes that are read from the socket and handed to the engine at a time."""


def check_coding(request: Request) -> None:
    """Raise where the body is compressed or the like: it would be served as if it were not.

    Raises:
        HttpError: 415.
    """
    coding = (request.header("Content-Encoding") or "identity").strip().lower()
    if coding != "identity":
        raise HttpError(
            415,
            f"a body with Content-Encoding {coding} is not taken; send the file as it is",
            headers=[("Accept-Encoding", "identity")],
        )


def receive(request: Request, write: Callable[[bytes], object], checksums: Checksums) -> int:
    """Pass the request body on block by block; return its bytes.

    Raises:
        HttpError: 400 where it has not the length or the sums that were announced.
        OSError: it could not be read to its end.
    """
    size = 0
    for block in _blocks(request):
        checksums.update(block)
        write(block)
        size += len(block)
    expected = request.header("X-Expected-Entity-Length")  # Finder, which sends chunks.
    announced = [request.content_length, _length(expected)]
    for length in announced:
        if length is not None and length != size:
            raise HttpError(400, f"{length} bytes were announced, {size} came; nothing was stored")
    checksums.verify()
    return size


def _blocks(request: Request) -> Iterator[bytes]:
    read = request.body.read
    left = request.content_length
    while left is None or left:
        block = read(BLOCK_SIZE if left is None else min(left, BLOCK_SIZE))
        if not block:
            return
        if left is not None:
            left -= len(block)
        yield block


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise HttpError(400, "X-Expected-Entity-Length must be a number of bytes")
    return int(value)


def commit_file(
    request: Request,
    resource: Resource,
    upload: cas.FileWriter,
    times: ClientTimes,
    checksums: Checksums,
    *,
    overwrite: bool = True,
) -> cas.Applied:
    """Put the upload at its path; without `overwrite` only if nothing is there.

    Sums that the client sent are kept among the entry's properties. So that no PROPPATCH in
    between is lost, this counts only if the entry is still the one whose properties were read.
    """
    content = upload.finish()
    sums = checksums.kept(content.id)

    def attempt() -> cas.Applied:
        edit = resource.volume.edit(author=request.principal.name, lock_tokens=request.lock_tokens)
        edit.rely_on(upload)
        if request.is_conditional:
            edit.require(request.recheck(resource))
        if not overwrite:
            edit.require(lambda state: _check_free(state, resource.path))
        expect, properties = _with_sums(resource, sums) if sums else (None, None)
        edit.put(
            resource.path,
            content,
            mtime_ns=times.mtime_ns,
            created_ns=times.created_ns,
            content_type=_media_type(request),
            properties=properties,
            expect=expect,
        )
        edit.commit()
        return edit.outcome[-1]

    return until_unchanged(attempt)


def _check_free(state: cas.TreeState, path: str) -> None:
    if state.get(path) is not None:
        raise HttpError(412, f"{path!r} is there already")


def _with_sums(resource: Resource, sums: str) -> tuple[cas.Expectation, dict[str, str]]:
    """Return the entry's present properties with the sums, and what they hold for."""
    with resource.volume.view() as view:
        entry = view.get(resource.path)
        if entry is None:
            return cas.ABSENT, {CHECKSUMS: sums}
        expect = cas.EntryIs(resource.volume.entry_id(entry))
        return expect, view.properties(entry) | {CHECKSUMS: sums}


def _media_type(request: Request) -> str:
    """Return the Content-Type to keep, empty where the client knows no better than the name."""
    value = (request.header("Content-Type") or "").strip() if request.method == "PUT" else ""
    if value.lower() == DEFAULT or not is_header_text(value):
        return ""
    return value[:255]


def stored(resource: Resource, applied: cas.Applied, times: ClientTimes) -> Answer:
    """Return the answer for a file that was stored."""
    now = resource._replace(entry=applied.new)
    file_id = Context.file_id_in(resource.volume, resource.path)
    headers = [
        *representation_headers(now),
        ("OC-FileId", f"{file_id:019d}casdav"),
        *times.accepted,
    ]
    return Answer(201 if applied.created else 204, headers)
