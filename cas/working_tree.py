"""A volume's tree while operations are applied to it: changed folders in memory, the rest by id.

Nothing is written before `flush`; a flush writes one tree edit per changed folder, however many
operations went into it. Attaching, moving and removing a subtree costs the same whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from cas.errors import QuotaError
from cas.objects import Entry, EntryKind
from cas.paths import Names
from cas.trees import TreeNodes, TreeShape, edit, iterate, lookup

SUM_LIMIT: Final = 2**63 - 1
"""Bytes, and names, that a tree may add up to. Copies are free, so 60 copies of copies reach it."""


class _Folder:
    """A folder that was opened: its entry as last written, and what changed since.

    `known` are names that were looked up in what was last written: an operation asks for its
    path several times.
    """

    __slots__ = ("changes", "entry", "folders", "is_changed", "known")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.known: dict[bytes, Entry | None] = {}
        self.changes: dict[bytes, Entry | None] = {}
        self.folders: dict[bytes, _Folder] = {}
        self.is_changed = False


class Undo(NamedTuple):
    """What a name was before a change, its folder's time, and the sums.

    `root` is the root folder before it was replaced as a whole, as it had been opened.
    """

    names: Names
    entry: Entry | None
    folder_mtime_ns: int
    size: int
    names_below: int
    root: _Folder | None = None


class WorkingTree:
    """The tree of one volume inside one commit. Not shared by threads."""

    def __init__(self, nodes: TreeNodes, shape: TreeShape, root: Entry) -> None:
        self._nodes = nodes
        self._shape = shape
        self._root = _Folder(root)
        self._last: tuple[Names, _Folder] | None = None  # what `_open` found the last time
        self._undo: list[Undo] = []
        self.size = root.size
        """Bytes of all files, with the changes so far."""
        self.count = root.files + root.folders
        """Files and folders, with the changes so far."""

    def get(self, names: Names) -> Entry | None:
        """Return the entry at the path as it is now, or None."""
        if not names:
            return self.flush()
        folder = self._open(names[:-1])
        return None if folder is None else self._get(folder, names[-1])

    def kind(self, names: Names) -> EntryKind | None:
        """Return what the path is, or None; cheaper than `get` for a changed folder."""
        if not names:
            return EntryKind.DIRECTORY
        if self._last is not None and self._last[0] == names:
            return EntryKind.DIRECTORY
        folder = self._open(names[:-1])
        if folder is None:
            return None
        if names[-1] in folder.folders:
            return EntryKind.DIRECTORY
        entry = self._get(folder, names[-1])
        return None if entry is None else entry.kind

    def children(self, names: Names) -> Iterator[tuple[bytes, Entry]]:
        """Yield names and entries of a folder in order; nothing where there is no folder."""
        entry = self.get(names)
        if entry is not None and entry.is_directory:
            yield from iterate(self._nodes, entry.content)

    def set(self, names: Names, entry: Entry | None, time_ns: int) -> Entry | None:
        """Put the entry at the path, or remove it; return what was there.

        The parent folder must exist. Its time becomes `time_ns` when a name comes or goes.

        Raises:
            QuotaError: the sums would not fit in the format; nothing was changed.
        """
        previous = self.get(names)
        size = self.size + (entry.size if entry else 0) - (previous.size if previous else 0)
        count = self.count + _count(entry) - _count(previous)
        if max(size, count) > SUM_LIMIT:
            message = "a volume cannot hold that much: its sums would not fit in 64 bits"
            raise QuotaError(message)
        parent = self._open(names[:-1], change=True)
        if parent is None:
            raise LookupError(names)
        mtime_ns = parent.entry.mtime_ns
        self._undo.append(Undo(names, previous, mtime_ns, self.size, self.count))
        if (previous is None) != (entry is None):
            parent.entry = msgspec.structs.replace(parent.entry, mtime_ns=time_ns)
        self._put(parent, names[-1], entry)
        self.size, self.count = size, count
        return previous

    def set_root(self, entry: Entry) -> None:
        """Give the root folder the attributes of this entry; its content stays."""
        self._undo.append(Undo((), self._root.entry, 0, self.size, self.count))
        self._describe_root(entry)

    def replace_root(self, entry: Entry) -> None:
        """Put a folder in place of the root, with all that is in it."""
        old = self._root
        self._undo.append(Undo((), None, 0, self.size, self.count, old))
        self._root, self._last = _Folder(entry), None
        self.size, self.count = entry.size, entry.files + entry.folders

    def mark(self) -> int:
        """Return a point that `undo_to` can go back to."""
        return len(self._undo)

    def undo_to(self, mark: int) -> None:
        """Take back all changes since the mark.

        Nothing is read or written, so it cannot fail: each folder on the way is open, or stands
        among the changes of the one above.
        """
        while len(self._undo) > mark:
            names, entry, folder_mtime_ns, self.size, self.count, root = self._undo.pop()
            if root is not None:
                self._root, self._last = root, None
                continue
            parent = self._open(names[:-1], change=True)
            if names and parent is not None:
                parent.entry = msgspec.structs.replace(parent.entry, mtime_ns=folder_mtime_ns)
                self._put(parent, names[-1], entry)
            elif entry is not None:
                self._describe_root(entry)

    def flush(self) -> Entry:
        """Write the nodes of all changed folders and return the root's entry."""
        return self._flush(self._root)

    def _describe_root(self, entry: Entry) -> None:
        root = self._root.entry
        self._root.entry = msgspec.structs.replace(
            entry, content=root.content, size=root.size, files=root.files, folders=root.folders
        )

    def _get(self, folder: _Folder, name: bytes) -> Entry | None:
        opened = folder.folders.get(name)
        if opened is not None:
            if opened.is_changed:
                folder.changes[name] = self._flush(opened)
            return opened.entry
        if name in folder.changes:
            return folder.changes[name]
        if name not in folder.known:
            folder.known[name] = lookup(self._nodes, folder.entry.content, name)
        return folder.known[name]

    def _put(self, folder: _Folder, name: bytes, entry: Entry | None) -> None:
        if folder.folders.pop(name, None) is not None:
            self._last = None
        folder.changes[name] = entry

    def _open(self, names: Names, *, change: bool = False) -> _Folder | None:
        """Return the folder at the path, marking the way to it where it is to change.

        One operation asks for the same folder several times, and so do those that follow it.
        """
        if self._last is not None and self._last[0] == names:
            folder = self._last[1]
            if folder.is_changed or not change:  # a changed folder's way is marked already
                return folder
        folder = self._root
        folder.is_changed |= change
        for name in names:
            below = folder.folders.get(name)
            if below is None:
                entry = self._get(folder, name)
                if entry is None or not entry.is_directory:
                    return None
                below = folder.folders[name] = _Folder(entry)
            folder = below
            folder.is_changed |= change
        self._last = (names, folder)
        return folder

    def _flush(self, folder: _Folder) -> Entry:
        if not folder.is_changed:
            return folder.entry
        for name, below in folder.folders.items():
            if below.is_changed:
                folder.changes[name] = self._flush(below)
        if folder.changes:
            root = edit(self._nodes, self._shape, folder.entry.content, folder.changes)
            folder.entry = msgspec.structs.replace(
                folder.entry,
                content=root.id if root else b"",
                size=root.size if root else 0,
                files=root.files if root else 0,
                folders=root.folders if root else 0,
            )
        folder.changes = {}
        folder.known = {}
        folder.is_changed = False
        return folder.entry


def _count(entry: Entry | None) -> int:
    return 0 if entry is None else entry.file_count + entry.folder_count
