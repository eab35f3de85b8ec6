"""Making a whole folder aside, so that an edit puts it at a path as one change.

A file put by itself costs a change in the journal and in the commit, and its folder's nodes once
more in the nursery. Of a folder that comes whole only the root is a change, and its nodes go to
a pack once.
"""

from __future__ import annotations

import os
from typing import Final

from cas.files import FileWriter, StoredFiles
from cas.nodes import UploadTreeNodes
from cas.objects import MODE_BITS, SYMLINK_MODE, Child, Content, Entry, EntryKind
from cas.operations import check_time, symlink_content
from cas.paths import check_name
from cas.reliance import Reliance
from cas.trees import TreeShape, edit

_ENTRIES_HELD: Final = 4096


class FolderWriter:
    """Takes the entries of a new folder; nobody sees them before an edit puts the folder.

    Memory stays the same however many names there are. A name that comes twice holds what came
    last. One thread at a time, for a folder and all those within it.
    """

    def __init__(self, nodes: UploadTreeNodes, shape: TreeShape) -> None:
        self._nodes = nodes
        self._shape = shape
        self._root: Child | None = None
        self._added: dict[bytes, Entry] = {}

    @property
    def relies(self) -> Reliance:
        """The packs that hold what the folder names."""
        return self._nodes.relies

    def folder(self) -> FolderWriter:
        """Return a writer for a folder within this one, which `put_folder` gives its name."""
        return FolderWriter(self._nodes, self._shape)

    def put(
        self, name: str, content: Content, *, mtime_ns: int, mode: int, created_ns: int = 0
    ) -> None:
        """Take a file with stored content; call `rely_on` with what stored it."""
        entry = Entry(content.kind, content.size, mtime_ns, mode, content.id, created_ns)
        self._put(name, entry)

    def put_symlink(self, name: str, target: str, *, mtime_ns: int) -> None:
        """Take a symbolic link to `target`, which is kept as it is."""
        encoded = symlink_content(target)
        self._put(name, Entry(EntryKind.SYMLINK, len(encoded), mtime_ns, SYMLINK_MODE, encoded))

    def put_folder(
        self, name: str, folder: FolderWriter, *, mtime_ns: int, mode: int, created_ns: int = 0
    ) -> None:
        """Take a folder that `folder` has begun, as it is so far."""
        self._put(name, folder.entry(mtime_ns=mtime_ns, mode=mode, created_ns=created_ns))

    def rely_on(self, stored: FileWriter | StoredFiles) -> None:
        """Say what stored a file's content: the edit fails if the packs that hold it do."""
        self.relies.include(stored.relies)

    def entry(self, *, mtime_ns: int, mode: int, created_ns: int = 0) -> Entry:
        """Return the folder's entry as it is so far; more may be put afterwards.

        Raises:
            InvalidError: a time does not fit 64 bits.
            StoreError, StoreFullError: its nodes could not be stored.
        """
        check_time(mtime_ns)
        check_time(created_ns)
        self._write_added()
        root = self._root
        if root is None:
            return Entry(EntryKind.DIRECTORY, 0, mtime_ns, mode & MODE_BITS, b"", created_ns)
        return Entry(
            EntryKind.DIRECTORY,
            root.size,
            mtime_ns,
            mode & MODE_BITS,
            root.id,
            created_ns,
            files=root.files,
            folders=root.folders,
        )

    def finish(self, *, mtime_ns: int, mode: int, created_ns: int = 0) -> Entry:
        """Return the folder's entry as `entry` does, with all its nodes in the open pack.

        Raises:
            StoreError, StoreFullError: they could not be stored.
        """
        entry = self.entry(mtime_ns=mtime_ns, mode=mode, created_ns=created_ns)
        self._nodes.flush()
        return entry

    def _put(self, name: str, entry: Entry) -> None:
        encoded = os.fsencode(name)
        check_name(encoded)
        check_time(entry.mtime_ns)
        check_time(entry.created_ns)
        self._added[encoded] = entry
        if len(self._added) >= _ENTRIES_HELD:
            self._write_added()

    def _write_added(self) -> None:
        if self._added:
            root = b"" if self._root is None else self._root.id
            self._root = edit(self._nodes, self._shape, root, self._added)
            self._added = {}
