"""Files for people and scripts, in JSON: list, search, metadata, versions, restore."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from itertools import islice, takewhile
from typing import Final

import msgspec

import cas
from dav.api.answers import Answer, document, not_found, refused
from dav.api.call import Call, number, text
from dav.api.handles import Named, by_handle, by_name, handle
from dav.identity import Right
from dav.paths import is_representable
from dav.properties import content_type

LIMIT: Final = 1000
"""Items of one page."""
_LOOKED_AT: Final = 100_000
"""Names that one page of a search goes through."""
_KINDS: Final = {cas.EntryKind.DIRECTORY: "folder", cas.EntryKind.SYMLINK: "symlink"}
_LONGEST_SEQUENCE: Final = 2**63 - 1


class Item(msgspec.Struct, omit_defaults=True):
    """A file or folder. Sizes in bytes, of a folder those of all below; times in nanoseconds.

    `etag` changes with the content. `id` names the path, and `download` takes it.
    """

    id: str
    volume: str
    path: str
    kind: str
    size: int
    mtime_ns: int
    etag: str
    content_type: str = ""
    files: int = 0
    folders: int = 0


class Page(msgspec.Struct):
    """Items by name; `next` is the `after` of the next page, None on the last one."""

    items: list[Item]
    next: str | None
    sequence: int


class Version(msgspec.Struct):
    """What a change made of a path; `size` and `etag` are None where it removed it."""

    sequence: int
    time_ns: int
    author: str
    device: str
    action: str
    path: str
    size: int | None
    etag: str | None


class Versions(msgspec.Struct):
    """Versions, newest first; `next` is the `before` of the next page, None on the last one."""

    items: list[Version]
    next: int | None


class Restoring(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is wanted: as it was after the change of this number."""

    sequence: int


class Restored(msgspec.Struct):
    """The change that brought it back, and what is there now."""

    sequence: int
    item: Item


def list_files(call: Call) -> Answer:
    """Answer `GET files`: a folder's members, or with `name` a search below it."""
    query = call.query()
    named = by_name(call)
    limit = max(1, number(query, "limit", LIMIT, LIMIT))
    after = text(query, "after")
    pattern = text(query, "name")
    with named.volume.view() as view:
        entry = view.get(named.path)
        if entry is None or not entry.is_directory:
            raise not_found()
        if pattern:
            found = _searched(view, named, _matcher(pattern), after)
        else:
            listed = view.list(named.path, after=after or None)
            found = ((named.child(name), name, each) for name, each in listed)
        items: list[Item] = []
        following = None
        for path, cursor, each in islice(found, _LOOKED_AT):
            if each is not None and is_representable(path.rpartition("/")[2]):
                if len(items) == limit:
                    break
                items.append(item_of(named.volume, path, each))
            following = cursor
        else:
            following = following if next(found, None) is not None else None
    return document(Page(items, following, view.sequence))


def metadata(call: Call) -> Answer:
    """Answer `GET files/{id}`."""
    named = by_handle(call)
    with named.volume.view() as view:
        entry = view.get(named.path)
    if entry is None:
        raise not_found()
    return document(item_of(named.volume, named.path, entry))


def versions(call: Call) -> Answer:
    """Answer `GET versions/{id}`: what was changed at a path, newest first."""
    query = call.query()
    named = by_handle(call)
    before = number(query, "before", 0, _LONGEST_SEQUENCE)
    limit = max(1, number(query, "limit", LIMIT, LIMIT))
    rights, volume = call.services.authenticator.rights, named.volume

    def is_readable(item: cas.LogItem) -> bool:
        return rights.right(call.principal, volume.info, item.path) >= Right.READ

    # Where it was moved here from, a credential for one folder may see nothing.
    log = takewhile(is_readable, volume.log(named.path, before=before or None))
    found = list(islice(log, limit + 1))
    following = found[limit - 1].sequence if len(found) > limit else None
    return document(Versions([_version(named, item) for item in found[:limit]], following))


def restore(call: Call) -> Answer:
    """Answer `POST restore/{id}`: bring a path back as it was, in place of what is there."""
    named = by_handle(call)
    named.check_writable()
    wanted = call.document(Restoring).sequence
    named.check_known(wanted)
    if not named.path:
        raise refused(400, "invalid", "a whole volume is restored with `casdav restore`")
    with named.volume.view() as now:
        entry = cas.stored_version(call.repository, named.volume, named.path, wanted)
        if entry is not None:
            edit = named.volume.edit(author=call.principal.name, device=call.principal.device)
            edit.attach(named.path, entry, epoch=now.epoch, source=named.path, nodes=now.nodes)
            edit.commit()
            return _restored(named, edit)
    try:
        past = named.volume.at_sequence(wanted)
    except cas.NotFoundError as error:
        raise refused(410, "not_kept", str(error)) from error
    with past:
        entry = past.get(named.path)
        if entry is None:
            raise not_found()
        edit = named.volume.edit(author=call.principal.name, device=call.principal.device)
        edit.attach(named.path, entry, epoch=past.epoch, source=named.path, nodes=past.nodes)
        edit.commit()
    return _restored(named, edit)


def item_of(volume: cas.Volume, path: str, entry: cas.Entry) -> Item:
    """Return what is told of a file or folder."""
    return Item(
        handle(volume, path),
        volume.name,
        path,
        _KINDS.get(entry.kind, "file"),
        entry.size,
        entry.mtime_ns,
        volume.etag(entry),
        content_type(path.rpartition("/")[2], entry) if entry.is_file else "",
        entry.files,
        entry.folders,
    )


def _restored(named: Named, edit: cas.Edit) -> Answer:
    new = edit.outcome[-1].new
    if new is None:
        raise not_found()
    return document(Restored(edit.sequence, item_of(named.volume, named.path, new)))


def _version(named: Named, item: cas.LogItem) -> Version:
    new = item.new
    return Version(
        item.sequence,
        item.time_ns,
        item.author,
        item.device,
        item.action.name.lower(),
        _shown(item.path),
        None if new is None else new.size,
        None if new is None else named.volume.etag(new),
    )


def _shown(path: str) -> str:
    """Return a path as JSON can hold it: bytes that are no UTF-8 are replaced."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether names match: a glob pattern, or a part of the name; case does not count."""
    if any(sign in pattern for sign in "*?["):
        found = re.compile(translate(pattern.lower()))
        return lambda name: found.match(name.lower()) is not None
    return lambda name: pattern.lower() in name.lower()


def _searched(
    view: cas.View, named: Named, matches: Callable[[str], bool], after: str
) -> Iterator[tuple[str, str, cas.Entry | None]]:
    """Yield path, cursor and entry of what is below a folder; None for what does not match."""
    for path, entry in view.walk(named.path, named.child(after) if after else ""):
        cursor = path[len(named.path) + 1 :] if named.path else path
        yield path, cursor, entry if matches(path.rpartition("/")[2]) else None
