"""From the names in a request to what the account may see there: the one door to volumes.

An id is never a right. Whoever may not read a place is told what is told of one that is not there.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import cas
from cas import wire
from dav.api.answers import not_found, refused
from dav.api.call import Call
from dav.identity import Right


class Linked(NamedTuple):
    """A place that the account may read: the volume, the folder in it, the right to it."""

    volume: cas.Volume
    root: str
    right: Right

    def path(self, relative: bytes) -> str:
        """Return the path in the volume of one in the place.

        Raises:
            InvalidError: it is not in its plain form.
        """
        check_plain(relative)
        inside = os.fsdecode(relative)
        return f"{self.root}/{inside}" if self.root and inside else self.root or inside

    def check_writable(self) -> None:
        """Raise unless the account may change the place.

        Raises:
            RefusedError: 403.
        """
        if self.right < Right.WRITE:
            name = self.volume.name
            raise refused(403, "read_only", f"you may read {name!r}, not change it")

    def entry(self, entry: cas.Entry) -> wire.RemoteEntry:
        """Return an entry as clients see it."""
        return remote_entry(self.volume, entry)


def open_place(call: Call, place: wire.Place) -> Linked:
    """Return the place.

    Raises:
        RefusedError: 404 where there is none, or not for this account.
        InvalidError: its folder's path is not in its plain form.
    """
    check_plain(place.root)
    root = os.fsdecode(place.root)
    state = call.services.authenticator.registry.state()
    info = next((info for info in state.volumes if info.id == place.volume), None)
    if info is None:
        raise not_found()
    right = call.services.authenticator.rights.right(call.principal, info, root)
    if right < Right.READ:
        raise not_found()
    try:
        volume = call.repository.volume(info.name)
    except cas.NotFoundError as error:
        raise not_found() from error
    if volume.id != info.id:
        raise not_found()
    return Linked(volume, root, right)


def open_state(linked: Linked, sequence: int) -> cas.View:
    """Return the volume as it was after the change of this number; 0 is the newest state.

    Raises:
        RefusedError: 410 where that is not kept, or never was.
    """
    view = linked.volume.view()
    if sequence in {0, view.sequence}:
        return view
    view.close()
    try:
        return linked.volume.at_sequence(sequence)
    except cas.NotFoundError as error:
        raise refused(410, "not_kept", str(error)) from error


def folder_of(linked: Linked, view: cas.View) -> cas.Entry:
    """Return the entry of the place's own folder.

    Raises:
        RefusedError: 404 where there is none in this state.
    """
    entry = view.get(linked.root)
    if entry is None or not entry.is_directory:
        raise not_found()
    return entry


def remote_entry(volume: cas.Volume, entry: cas.Entry) -> wire.RemoteEntry:
    """Return an entry as clients see it."""
    return wire.RemoteEntry(
        volume.entry_id(entry),
        entry.kind,
        entry.size,
        entry.mtime_ns,
        entry.mode,
        entry.content,
        entry.files,
        entry.folders,
    )


def check_plain(path: bytes) -> None:
    """Raise unless a path is in its one plain form.

    Raises:
        InvalidError: it begins or ends with a slash, or a name is empty, `.` or `..`.
    """
    if path and any(name in {b"", b".", b".."} or b"\0" in name for name in path.split(b"/")):
        raise cas.InvalidError(f"{os.fsdecode(path)!r} is not a path in its plain form")
