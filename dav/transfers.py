"""Resumable uploads as Nextcloud's clients make them (chunked upload, version 2).

    MKCOL /remote.php/dav/uploads/<user>/<transfer>          begins one
    PUT   /remote.php/dav/uploads/<user>/<transfer>/<part>   stores a part, in any order, again too
    MOVE  /remote.php/dav/uploads/<user>/<transfer>/.file    makes the file at the Destination
    DELETE /remote.php/dav/uploads/<user>/<transfer>         gives it up

Parts are entries of the reserved volume, below `transfers/<user>/<transfer>`: durable, counted,
and gone when the transfer ends or expires. A file is made by running its parts through the
chunker again: only chunks at the joints are new, all others are there already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from blake3 import blake3

import cas
from dav.addressed import Resource
from dav.answers import Answer
from dav.checksums import Checksums
from dav.client_times import read_times
from dav.creation import check_creatable, creatable, may_overwrite
from dav.dates import NANOSECONDS
from dav.etags import etag
from dav.locations import Location, Place
from dav.locked import check_unlocked
from dav.paths import is_representable
from dav.request import Request
from dav.room import check_disk, check_room
from dav.status import HttpError
from dav.storing import commit_file, receive, stored
from dav.unfinished import FOLDER, PART_LIMIT, UPLOAD_LIMIT, State, has_too_many, held
from dav.upkeep import Job

ASSEMBLED: Final = ".file"
"""The name that stands for the whole file."""

_UPKEEP_SECONDS: Final = 600.0
_NO_TRANSFERS: Final = cas.Entry(cas.EntryKind.DIRECTORY, 0, 0, 0o755, b"")
_DIGITS: Final = re.compile(r"(\d+)")


def begin(request: Request) -> Answer:
    """Answer MKCOL: begin a transfer, and drop those that have expired."""
    user, transfer, part = _names(request)
    if not transfer or part:
        raise HttpError(405 if not transfer else 403, "a transfer is one folder")
    _check_scope(request)
    remove_expired(request.repository, request.settings.transfer_seconds)
    folder = f"{FOLDER}/{user}"
    with request.repository.registry.edit(author=user) as edit:
        edit.require(lambda state: _check_count(state, user))
        edit.make_directory(folder, parents=True)
        edit.make_directory(f"{folder}/{transfer}")
    return Answer(201)


def put_part(request: Request) -> Answer:
    """Answer PUT: store one part."""
    user, transfer, part = _names(request)
    if not part or part == ASSEMBLED:
        raise HttpError(405, "PUT the parts of a transfer, each under a name of its own")
    _check_scope(request)
    with request.repository.registry.view() as view:
        _folder(request, view, transfer)
        _check_part(request, view, request.content_length or 0)
    check_disk(request, request.content_length or 0)
    checksums = Checksums(request.header)
    registry = request.repository.registry
    with registry.upload() as upload:
        size = receive(request, upload.write, checksums)
        with registry.edit(author=user) as edit:
            # Once more: of a chunked body the size is known only now, and parts come in parallel.
            edit.require(lambda state: _check_part(request, state, size))
            edit.put(_path(user, transfer, part), upload)
    [applied] = edit.outcome
    headers = []
    if applied.new is not None:
        headers = [("ETag", f'"{etag(registry, applied.new)}"')]
    return Answer(201 if applied.created else 204, headers)


def assemble(request: Request) -> Answer:
    """Answer MOVE of `.file`: make the file at the Destination of all parts, in their order.

    The request's conditions are those of the destination. The parts go only when the file is
    there, so a failed MOVE can be sent again.
    """
    user, transfer, part = _names(request)
    if part != ASSEMBLED:
        raise HttpError(403, f"only {ASSEMBLED} can be moved out of a transfer")
    _check_scope(request)
    resource = creatable(request, request.destination())
    if resource.is_directory:
        raise HttpError(409, f"{resource.path!r} is a folder")
    check_creatable(request, resource)
    overwrite = may_overwrite(request)
    if resource.entry is not None and not overwrite:
        raise HttpError(412, f"{resource.path!r} is there already")
    request.check_conditions(resource)
    check_unlocked(request, resource)
    answer = _join(request, resource, transfer, overwrite=overwrite)
    with suppress(cas.NotFoundError), request.repository.registry.edit(author=user) as edit:
        edit.remove(_path(user, transfer))
    return answer


def abandon(request: Request) -> Answer:
    """Answer DELETE: give a transfer or one part up."""
    user, transfer, part = _names(request)
    if not transfer:
        raise HttpError(405, "delete one transfer at a time")
    _check_scope(request)
    with request.repository.registry.edit(author=user) as edit:
        edit.remove(_path(user, transfer, part))
    return Answer(204)


def upkeep(
    repository: cas.Repository, seconds: int, interval_seconds: float = _UPKEEP_SECONDS
) -> Job:
    """Return the job of a serving process: to give up transfers that nobody finishes."""
    run = partial(remove_expired, repository, seconds)
    return Job("removing expired uploads", interval_seconds, run)


def remove_expired(repository: cas.Repository, seconds: int) -> int:
    """Remove the transfers that got nothing for this many seconds; return how many."""
    oldest_ns = time.time_ns() - seconds * NANOSECONDS
    with repository.registry.view() as view:
        expired = [
            (_path(user, transfer), cas.EntryIs(repository.registry.entry_id(entry)))
            for user, _ in _listed(view, FOLDER)
            for transfer, entry in _listed(view, f"{FOLDER}/{user}")
            if entry.mtime_ns < oldest_ns
        ]
    removed = 0
    for path, unchanged in expired:
        # Another process may have removed it, or its client may have come back.
        with suppress(cas.NotFoundError, cas.PreconditionError):
            with repository.registry.edit() as edit:
                edit.remove(path, expect=unchanged)
            removed += 1
    return removed


def listing(request: Request, depth: int | None) -> Iterator[tuple[Location, str, cas.Entry]]:
    """Yield place, path in the reserved volume and entry of what is asked for and its members.

    That is the user's list of transfers, a transfer or a part. What is below a member is not
    listed, whatever the depth.

    Raises:
        HttpError: 404 where there is none.
    """
    user, transfer, part = _names(request)
    _, view = _pinned(request)
    path = _path(user, transfer, part)
    entry = view.get(path)
    if transfer:
        folder = _folder(request, view, transfer)
        entry = entry if part else folder
    elif entry is None:
        entry = _NO_TRANSFERS
    if entry is None:
        raise HttpError(404, "there is no such part")
    yield request.location, path, entry
    if depth != 0 and entry is not _NO_TRANSFERS and not part:
        mark = "" if transfer else _mark(request)
        for name, member in view.list(path):
            if not name.startswith(mark):
                continue
            names = (*request.location.names, name.removeprefix(mark))
            yield request.location._replace(names=names), f"{path}/{name}", member


def _join(request: Request, resource: Resource, transfer: str, *, overwrite: bool) -> Answer:
    times, checksums = read_times(request.header), Checksums(request.header)
    with request.repository.registry.view() as view, resource.volume.upload() as upload:
        parts = sorted(_parts(request, view, transfer), key=lambda part: _order(part[0]))
        size = sum(entry.size for _, entry in parts)
        announced = request.header("OC-Total-Length")
        if announced is not None and announced.strip() != str(size):
            raise HttpError(400, f"the parts have {size} bytes, OC-Total-Length is {announced}")
        check_room(request, resource, size)
        for name, entry in parts:
            content = cas.Content(entry.kind, entry.size, entry.content)
            upload.append(content, epoch=view.epoch)
            if checksums.are_wanted:
                with view.open(entry, name) as reader:
                    for piece in reader.chunks():
                        checksums.update(piece)
        checksums.verify()
        applied = commit_file(request, resource, upload, times, checksums, overwrite=overwrite)
    return stored(resource, applied, times)


def _names(request: Request) -> tuple[str, str, str]:
    """Return user, transfer and part of the target as they are kept, empty where it has none.

    Raises:
        HttpError: 404 where the user is not the principal, or the path is too deep.
    """
    location = request.location
    transfer, part, *rest = (*location.names, "", "")
    if location.volume != request.principal.name or any(rest):
        raise HttpError(404, "there is no such transfer")
    return location.volume, transfer and _mark(request) + transfer, part


def _mark(request: Request) -> str:
    """Return how the names of a narrowed credential's transfers begin: each has its own ones.

    Or else it could put parts into a file that another one makes where it may not write.
    """
    scope = request.principal.scope
    if not scope.volume:
        return ""
    return f"~{blake3(repr((scope.volume, scope.path)).encode()).hexdigest(length=8)}~"


def _check_count(state: State, user: str) -> None:
    if has_too_many(state, user):
        raise HttpError(507, f"a user may have {UPLOAD_LIMIT} unfinished uploads; finish some")


def _check_scope(request: Request) -> None:
    if request.principal.scope.read_only:
        raise HttpError(403, "this password only reads", condition="need-privileges")


def _path(user: str, transfer: str, part: str = "") -> str:
    return f"{FOLDER}/{user}/{transfer}/{part}".rstrip("/")


def _pinned(request: Request) -> tuple[cas.Volume, cas.View]:
    return request.pin(request.repository.registry)


def _folder(request: Request, view: cas.View, transfer: str) -> cas.Entry:
    entry = view.get(_path(request.principal.name, transfer))
    life_ns = request.settings.transfer_seconds * NANOSECONDS
    if entry is None or entry.mtime_ns + life_ns < time.time_ns():
        raise HttpError(404, "there is no such transfer; begin it with MKCOL")
    return entry


def _parts(request: Request, view: cas.View, transfer: str) -> list[tuple[str, cas.Entry]]:
    _folder(request, view, transfer)
    return list(view.list(_path(request.principal.name, transfer)))


def _listed(view: cas.View, path: str) -> list[tuple[str, cas.Entry]]:
    entry = view.get(path)
    return [] if entry is None else [pair for pair in view.list(path) if is_representable(pair[0])]


def _order(name: str) -> list[tuple[int, int, str]]:
    """Sort key for parts: runs of digits count as numbers, so that 10 follows 9."""
    return [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece)
        for piece in _DIGITS.split(name)
        if piece
    ]


def _check_part(request: Request, state: State, size: int) -> None:
    """Raise if a part of this size is one too many, or more than the user may store."""
    user, transfer, part = _names(request)
    other = held(state, user, transfer, part)
    if other.parts >= PART_LIMIT:
        raise HttpError(409, f"a transfer may have {PART_LIMIT} parts")
    _check_home_room(request, other.elsewhere + other.size + size)


def _check_home_room(request: Request, size: int) -> None:
    """Refuse parts that cannot become a file in the user's home, before they are sent."""
    home = Location(Place.VOLUME, ("dav", request.principal.name), (), request.principal.name)
    try:
        resource = request.resolve(home)
    except HttpError:
        return  # There is no home; the destination's room is checked when the file is made.
    check_room(request, resource._replace(entry=None), size)
