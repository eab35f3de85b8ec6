"""Entries of a volume as commands show them: as JSON members and as columns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cas
from tools.names import json_name, mode_text, printable, short_time, size_text, time_text
from tools.parameters import Location
from tools.when import view_at

_KIND_WORDS = {
    cas.EntryKind.DIRECTORY: "folder",
    cas.EntryKind.SYMLINK: "symlink",
    cas.EntryKind.RECORD: "record",
}
_KIND_LETTERS = {"folder": "d", "symlink": "l", "record": "r", "file": "-"}


@contextmanager
def viewed(repository: cas.Repository, place: Location) -> Iterator[tuple[cas.View, cas.Entry]]:
    """Open a view of the place's volume, and give it with the entry at the place.

    Where retention has not kept the state, but this version of a file, the view is another one.

    Raises:
        NotFoundError: there is no such volume, state or path.
    """
    volume = repository.volume(place.volume)
    try:
        view = view_at(volume, place.when)
    except cas.NotKeptError as error:
        with volume.view() as view:  # of an epoch in which what is found now is not deleted
            entry = cas.stored_version(repository, volume, place.path, error.sequence)
            if entry is None:
                raise
            yield view, entry
        return
    with view:
        entry = view.get(place.path)
        if entry is None:
            raise cas.NotFoundError(f"there is no {printable(str(place))!r}")
        yield view, entry


def kind_word(entry: cas.Entry) -> str:
    """Return what the entry is: `file`, `folder`, `symlink` or `record`."""
    return _KIND_WORDS.get(entry.kind, "file")


def link_target(entry: cas.Entry) -> str:
    """Return where a symlink points to."""
    return os.fsdecode(entry.content)


def entry_members(path: str, entry: cas.Entry) -> dict[str, object]:
    """Return the JSON members that every command prints for an entry; sizes in bytes."""
    members: dict[str, object] = {
        **json_name("path", path),
        "kind": kind_word(entry),
        "size": entry.size,
        "modified": time_text(entry.mtime_ns),
        "mode": mode_text(entry.mode),
    }
    if entry.is_directory:
        members |= {"files": entry.files, "folders": entry.folders}
    if entry.kind is cas.EntryKind.SYMLINK:
        members |= json_name("target", link_target(entry))
    return members


def entry_row(name: str, entry: cas.Entry) -> list[str]:
    """Return the columns of a long listing: mode, size, time, name."""
    shown = printable(name)
    if entry.is_directory:
        shown += "/"
    elif entry.kind is cas.EntryKind.SYMLINK:
        shown += f" -> {printable(link_target(entry))}"
    letter = _KIND_LETTERS[kind_word(entry)]
    return [
        letter + mode_text(entry.mode),
        size_text(entry.size),
        short_time(entry.mtime_ns),
        shown,
    ]
