"""What there is, and what changed: `volumes`, `sync/head`, `sync/tree`, `sync/delta`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice

import cas
from cas import wire
from dav.api.answers import Answer, message, not_found, refused
from dav.api.call import Call, number
from dav.api.places import Linked, check_plain, folder_of, open_place, open_state
from dav.api.relative import ReplacedError, seen_from
from dav.identity import Right

_BUSY_SECONDS = 5
_LOOKED_AT = 20_000
"""Changes of a volume that one page goes through, those of other folders among them."""
_VOLUME_ID_SIZE = 16
_LONGEST_SEQUENCE = 2**63 - 1


def volumes(call: Call) -> Answer:
    """Answer `GET volumes`: what the account may open, and the keys of content ids."""
    rights = call.services.authenticator.rights
    found = [
        wire.RemoteVolume(
            each.volume.id,
            each.volume.name,
            each.right.name.lower(),
            each.volume.owner,
            rights.used_bytes(each.volume),
            each.volume.quota,
        )
        for each in rights.visible(call.principal)
    ]
    return message(
        wire.Welcome(
            wire.PROTOCOL,
            call.repository.identity,
            call.principal.name,
            call.services.keys,
            found,
            time.time_ns(),
        )
    )


def head(call: Call) -> Answer:
    """Answer `GET sync/head`."""
    return message(head_of(_asked_place(call)))


def head_of(linked: Linked) -> wire.Head:
    """Return the newest state of a place.

    Raises:
        RefusedError: 404 where its folder is not there.
    """
    with linked.volume.view() as view:
        folder = folder_of(linked, view)
        quota = linked.volume.info.quota
        root = linked.entry(folder)
        return wire.Head(view.sequence, root, time.time_ns(), view.root.size, quota)


def tree(call: Call) -> Answer:
    """Answer `POST sync/tree`: a page of a listing."""
    request = call.message(wire.TreeRequest)
    linked = open_place(call, request.place)
    top = linked.path(request.path)
    limit = max(1, min(request.limit, wire.PAGE_LIMIT))
    with open_state(linked, request.sequence) as view:
        items = [
            wire.TreeItem(path, linked.entry(entry))
            for path, entry in islice(_listed(view, top, request), limit + 1)
        ]
    return message(wire.TreePage(view.sequence, items[:limit], len(items) <= limit))


def _listed(
    view: cas.View, top: str, request: wire.TreeRequest
) -> Iterator[tuple[bytes, cas.Entry]]:
    """Yield what is below a folder, relative to the place, behind the last path of a page."""
    path = request.path
    behind: tuple[bytes, ...] = ()
    if request.after:
        check_plain(request.after)
        prefix = path + b"/" if path else b""
        if not request.after.startswith(prefix):
            raise cas.InvalidError("a page goes on behind a path of the same folder")
        behind = tuple(request.after[len(prefix) :].split(b"/"))
    if not request.is_recursive and len(behind) > 1:
        raise cas.InvalidError("a listing of one folder goes on behind a name of it")
    waiting: list[tuple[bytes, Iterator[tuple[str, cas.Entry]]]] = []
    for name in behind:
        waiting.append((path, view.list(top, after=os.fsdecode(name))))
        path, top = _below(path, name), _join(top, name)
    entry = view.get(top)
    if not behind or (request.is_recursive and entry is not None and entry.is_directory):
        waiting.append((path, view.list(top)))
    root = os.fsdecode(request.place.root)
    while waiting:
        path, names = waiting[-1]
        found = next(names, None)
        if found is None:
            waiting.pop()
            continue
        below = _below(path, os.fsencode(found[0]))
        yield below, found[1]
        if found[1].is_directory and request.is_recursive:
            waiting.append((below, view.list(_join(root, below))))


def _below(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _join(folder: str, below: bytes) -> str:
    return f"{folder}/{os.fsdecode(below)}" if folder else os.fsdecode(below)


class Waiting:
    """Counts the requests of this process that wait: each holds a thread of the server."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise refused(503, "busy", "too many requests wait already", retry_s=_BUSY_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._free.release()


class Deltas:
    """Answers `GET sync/delta`. One per process, shared by its threads."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def __call__(self, call: Call) -> Answer:
        """Return a page of changes, after waiting for one if that is asked and there is none."""
        query = call.query()
        since = number(query, "since", 0, _LONGEST_SEQUENCE)
        limit = max(1, number(query, "limit", wire.PAGE_LIMIT, wire.PAGE_LIMIT))
        seconds = number(query, "wait", 0, call.services.settings.wait_seconds)
        linked = _asked_place(call)
        if seconds and _sequence(linked) == since:
            with self._waiting:
                call.services.news.wait_until(lambda: _sequence(linked) != since, seconds)
            linked = _asked_place(call)  # the right may have been revoked meanwhile
        return message(delta_of(call.repository, linked, since, limit))


def delta_of(repository: cas.Repository, linked: Linked, since: int, limit: int) -> wire.Delta:
    """Return a page of what changed in a place after a state."""
    newest = _sequence(linked)
    if since > newest:
        return wire.Delta([], newest, newest, is_unknown=True)
    end = min(newest, since + _LOOKED_AT)
    changes: list[wire.RemoteChange] = []
    upto = since
    try:
        while upto < end and len(changes) < limit:
            for recorded in cas.numbered_changes(repository, linked.volume, upto):
                change = seen_from(linked, recorded)
                if change is not None:
                    changes.append(change)
                upto = recorded.sequence
                if upto == end or len(changes) == limit:
                    break
    except (ReplacedError, cas.NotKeptError):
        return wire.Delta([], newest, newest, is_unknown=True)
    return wire.Delta(changes, upto, newest)


def _sequence(linked: Linked) -> int:
    return linked.volume.sequence()


def _asked_place(call: Call) -> Linked:
    """Return the place that a query names.

    Raises:
        RefusedError: 404 where there is none, or not for this account.
        InvalidError: the query is malformed.
    """
    query = call.query()
    try:
        volume = bytes.fromhex(query.get("volume", b"").decode("ascii"))
    except ValueError as error:
        raise cas.InvalidError("volume has to be 32 hex digits") from error
    if len(volume) != _VOLUME_ID_SIZE:
        raise cas.InvalidError("volume has to be 32 hex digits")
    linked = open_place(call, wire.Place(volume, query.get("root", b"")))
    if linked.right < Right.READ:
        raise not_found()
    return linked
