"""Carrying out operations on a working tree.

Each operation checks its condition, the locks and what the tree allows, and only then changes
it. The change it leaves says enough to be replayed (cas/replaying.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from cas.errors import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    PreconditionError,
)
from cas.ids import Identifier, Kind
from cas.journal import Action, Change
from cas.locks import ConflictingLocksError, HeldLocks, Lock, blocking
from cas.objects import (
    DIRECTORY_MODE,
    FILE_MODE,
    MODE_BITS,
    SYMLINK_MODE,
    Entry,
    EntryKind,
    encode,
)
from cas.operations import (
    Absent,
    Attach,
    Attributes,
    ContentIs,
    Copy,
    EntryIs,
    Exists,
    Expectation,
    MakeDirectory,
    MakeSymlink,
    Move,
    Operation,
    Properties,
    Put,
    PutFolder,
    PutRecord,
    PutSnapshot,
    Remove,
    RemoveSnapshot,
    ReplaceRoot,
    SetProperties,
)
from cas.paths import Names, join_names, split_path
from cas.working_tree import WorkingTree


def entry_id(identifier: Identifier, entry: Entry) -> bytes:
    """Return the id of an entry: the hash of all it says."""
    return identifier.identify(Kind.ENTRY, encode(entry))


class Applier:
    """Applies the operations of one author to a working tree; collects the changes they make."""

    def __init__(
        self,
        tree: WorkingTree,
        snapshots: WorkingTree,
        identifier: Identifier,
        *,
        author: str,
        device: str,
        time_ns: int,
        locks: HeldLocks,
        lock_tokens: frozenset[str],
        key: str = "",
    ) -> None:
        self._tree = tree
        self._snapshots = snapshots
        self._identifier = identifier
        self._author = author
        self._device = device
        self._time_ns = time_ns
        self._locks = locks
        self._tokens = lock_tokens
        self._key = key
        self.changes: list[Change] = []
        self.unlocked: list[Names] = []
        """Paths whose locks end with this: what they protected was moved or removed."""

    def apply(self, operation: Operation) -> None:
        """Carry the operation out.

        Raises:
            NotFoundError, AlreadyExistsError, ConflictError, PreconditionError, LockedError: it
                cannot be done; the tree may have changed and must be taken back to its mark.
        """
        self._METHODS[type(operation)](self, operation)

    def _put(self, operation: Put) -> None:
        old = self._expected(operation.path, operation.expect)
        if old is not None and not old.is_file:
            raise ConflictError(f"{_shown(operation.path)} is not a file")
        content = operation.content
        base = old or Entry(EntryKind.EMPTY_FILE, 0, 0, FILE_MODE, b"", created_ns=self._time_ns)
        new = msgspec.structs.replace(
            self._with_attributes(base, operation.attributes, self._time_ns),
            kind=content.kind,
            size=content.size,
            content=content.id,
        )
        self._set(Action.PUT, operation.path, new)

    def _put_record(self, operation: PutRecord) -> None:
        old = self._expected(operation.path, operation.expect)
        if old is not None and old.kind is not EntryKind.RECORD:
            raise ConflictError(f"{_shown(operation.path)} is not a record")
        new = Entry(EntryKind.RECORD, 0, self._time_ns, 0o600, operation.record)
        self._set(Action.PUT, operation.path, new)

    def _put_folder(self, operation: PutFolder) -> None:
        old = self._expected(operation.path, operation.expect)
        if old is not None and not old.is_directory:
            raise ConflictError(f"{_shown(operation.path)} is not a folder")
        self._check_target(operation.path, overwrite=True)
        self._set(Action.PUT, operation.path, operation.entry)

    def _make_directory(self, operation: MakeDirectory) -> None:
        path = operation.path
        if operation.parents:
            for depth in range(1, len(path)):
                if self._tree.kind(path[:depth]) is None:
                    self._make_directory(MakeDirectory(path[:depth]))
        kind = self._tree.kind(path)
        if kind is not None:
            if operation.parents and kind is EntryKind.DIRECTORY:
                return
            raise AlreadyExistsError(f"{_shown(path)} exists already")
        empty = Entry(EntryKind.DIRECTORY, 0, 0, DIRECTORY_MODE, b"", created_ns=self._time_ns)
        new = self._with_attributes(empty, operation.attributes, self._time_ns)
        self._set(Action.MAKE_DIRECTORY, path, new)

    def _make_symlink(self, operation: MakeSymlink) -> None:
        if self._tree.kind(operation.path) is EntryKind.DIRECTORY:
            raise ConflictError(f"{_shown(operation.path)} is a folder")
        size = len(operation.target)
        link = Entry(EntryKind.SYMLINK, size, 0, SYMLINK_MODE, operation.target)
        new = self._with_attributes(link, operation.attributes, self._time_ns)
        self._set(Action.PUT, operation.path, new)

    def _remove(self, operation: Remove) -> None:
        if not operation.path:
            raise ConflictError("a volume's root cannot be removed; delete the volume")
        if self._expected(operation.path, operation.expect) is None:
            raise NotFoundError(f"{_shown(operation.path)} does not exist")
        self._check_locks_of_tree(operation.path)
        self.unlocked.append(operation.path)
        self._set(Action.REMOVE, operation.path, None)

    def _move(self, operation: Move) -> None:
        source, path = operation.source, operation.path
        entry = self._source(source)
        if source == path:
            raise ConflictError(f"{_shown(source)} cannot be moved onto itself")
        self._check_apart(source, path)
        self._check_target(path, overwrite=operation.overwrite)
        self._check_locks_of_tree(source)
        self.unlocked.append(source)
        self._tree.set(source, None, self._time_ns)
        self._set(Action.MOVE, path, entry, source=source)

    def _copy(self, operation: Copy) -> None:
        source, path = operation.source, operation.path
        entry = self._source(source)
        if source == path:
            raise ConflictError(f"{_shown(source)} cannot be copied onto itself")
        if operation.recursive or not entry.is_directory or _is_below(source, path):
            self._check_apart(source, path)
        self._check_target(path, overwrite=operation.overwrite)
        if entry.is_directory and not operation.recursive:
            entry = msgspec.structs.replace(entry, content=b"", size=0, files=0, folders=0)
        entry = msgspec.structs.replace(entry, created_ns=self._time_ns)
        self._set(Action.COPY, path, entry, source=source)

    def _attach(self, operation: Attach) -> None:
        self._check_target(operation.path, overwrite=operation.overwrite)
        self._set(
            Action.COPY,
            operation.path,
            operation.entry,
            source=operation.source,
            source_volume=operation.source_volume,
        )

    def _replace_root(self, operation: ReplaceRoot) -> None:
        old = self._expected((), operation.expect)
        self._check_locks_of_tree(())
        self.unlocked.append(())
        self._tree.replace_root(operation.entry)
        self._note(
            Action.COPY,
            (),
            old,
            operation.entry,
            source=operation.source,
            source_volume=operation.source_volume,
        )

    def _set_properties(self, operation: SetProperties) -> None:
        old = self._expected(operation.path, operation.expect)
        if old is None:
            raise NotFoundError(f"{_shown(operation.path)} does not exist")
        new = self._with_attributes(old, operation.attributes, old.mtime_ns)
        self._set(Action.SET_PROPERTIES, operation.path, new)

    def _put_snapshot(self, operation: PutSnapshot) -> None:
        old = self._snapshots.get(operation.path)
        self._check_expected(operation.path, operation.expect, old)
        created_ns = self._time_ns if operation.created_ns is None else operation.created_ns
        entry = Entry(EntryKind.RECORD, 0, created_ns, 0o600, operation.record)
        self._set_snapshot(operation.path, entry)

    def _remove_snapshot(self, operation: RemoveSnapshot) -> None:
        old = self._snapshots.get(operation.path)
        self._check_expected(operation.path, operation.expect, old)
        if old is None:
            raise NotFoundError(f"there is no snapshot {_shown(operation.path)}")
        self._set_snapshot(operation.path, None)

    def _set_snapshot(self, path: Names, new: Entry | None) -> None:
        old = self._snapshots.set(path, new, self._time_ns)
        self._note(Action.SNAPSHOT, path, old, new)

    # A table, as functools.singledispatchmethod makes a new function for every call.
    _METHODS: ClassVar[dict[type[Operation], Callable[[Applier, Any], None]]] = {
        Put: _put,
        PutFolder: _put_folder,
        PutRecord: _put_record,
        MakeDirectory: _make_directory,
        MakeSymlink: _make_symlink,
        Remove: _remove,
        Move: _move,
        Copy: _copy,
        Attach: _attach,
        ReplaceRoot: _replace_root,
        PutSnapshot: _put_snapshot,
        RemoveSnapshot: _remove_snapshot,
        SetProperties: _set_properties,
    }

    def _set(
        self,
        action: Action,
        path: Names,
        new: Entry | None,
        *,
        source: Names = (),
        source_volume: bytes = b"",
    ) -> None:
        if path:
            self._check_parent(path)
            self._check_locks(path, is_member_change=new is None or self._tree.kind(path) is None)
            old = self._tree.set(path, new, self._time_ns)
        else:
            self._check_locks(path, is_member_change=False)
            old = self._tree.get(())
            if new is not None:
                self._tree.set_root(new)
        self._note(action, path, old, new, source=source, source_volume=source_volume)

    def _note(
        self,
        action: Action,
        path: Names,
        old: Entry | None,
        new: Entry | None,
        *,
        source: Names = (),
        source_volume: bytes = b"",
    ) -> None:
        self.changes.append(
            Change(
                action,
                b"/".join(path),
                old,
                new,
                self._author,
                self._device,
                self._time_ns,
                b"/".join(source),
                source_volume,
                self._key,
            )
        )

    def _with_attributes(self, entry: Entry, attributes: Attributes, mtime_ns: int) -> Entry:
        properties = attributes.properties
        if properties is None:
            properties = Properties(entry.properties, entry.properties_id)
        mode, created_ns = attributes.mode, attributes.created_ns
        content_type = attributes.content_type
        return msgspec.structs.replace(
            entry,
            mtime_ns=mtime_ns if attributes.mtime_ns is None else attributes.mtime_ns,
            mode=entry.mode if mode is None else mode & MODE_BITS,
            created_ns=entry.created_ns if created_ns is None else created_ns,
            content_type=entry.content_type if content_type is None else content_type,
            properties=properties.inline,
            properties_id=properties.id,
        )

    def _expected(self, path: Names, expect: Expectation | None) -> Entry | None:
        entry = self._tree.get(path)
        self._check_expected(path, expect, entry)
        return entry

    def _check_expected(self, path: Names, expect: Expectation | None, entry: Entry | None) -> None:
        if expect is not None and not self._holds(expect, entry):
            raise PreconditionError(f"{_shown(path)} is not as expected: {expect}")

    def _holds(self, expect: Expectation, entry: Entry | None) -> bool:
        match expect:
            case Absent():
                return entry is None
            case Exists():
                return entry is not None
            case ContentIs(content):
                return entry is not None and entry.content == content
            case EntryIs(expected):
                return entry is not None and entry_id(self._identifier, entry) == expected

    def _source(self, path: Names) -> Entry:
        if not path:
            raise ConflictError("a volume's root cannot be moved or copied within it")
        entry = self._tree.get(path)
        if entry is None:
            raise NotFoundError(f"{_shown(path)} does not exist")
        return entry

    def _check_apart(self, source: Names, path: Names) -> None:
        if _is_below(source, path) or _is_below(path, source):
            raise ConflictError(f"of {_shown(source)} and {_shown(path)} one lies in the other")

    def _check_target(self, path: Names, *, overwrite: bool) -> None:
        if not path:
            raise ConflictError("a volume's root cannot be replaced")
        if self._tree.kind(path) is None:
            return
        if not overwrite:
            raise PreconditionError(f"{_shown(path)} exists already")
        self._check_locks_of_tree(path)
        # A lock on the name itself holds for what comes there; those of its members end with them.
        below = (split_path(lock.path) for lock in self._locks.below_names(path))
        self.unlocked += [names for names in below if names != path]

    def _check_parent(self, path: Names) -> None:
        if self._tree.kind(path[:-1]) is not EntryKind.DIRECTORY:
            raise ConflictError(f"{_shown(path[:-1])} is not a folder")

    def _check_locks(self, path: Names, *, is_member_change: bool) -> None:
        self._check_tokens(self._covering(path, is_member_change=is_member_change))

    def _check_locks_of_tree(self, path: Names) -> None:
        locks = self._covering(path, is_member_change=True) + self._locks.below_names(path)
        self._check_tokens(list({lock.token: lock for lock in locks}.values()))

    def _covering(self, path: Names, *, is_member_change: bool) -> list[Lock]:
        locks = self._locks.covering_names(path)
        if is_member_change and path:
            locks += self._locks.covering_names(path[:-1])
        return locks

    def _check_tokens(self, locks: list[Lock]) -> None:
        if locks:
            forbidden = blocking(locks, self._tokens)
            if forbidden:
                raise ConflictingLocksError(forbidden)


def _is_below(path: Names, ancestor: Names) -> bool:
    return len(path) > len(ancestor) and path[: len(ancestor)] == ancestor


def _shown(path: Names) -> str:
    return repr(join_names(path)) if path else "the volume's root"
