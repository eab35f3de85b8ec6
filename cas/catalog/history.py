"""The tables that find changes: runs of changes by sequence number, and changes by path.

Their keys begin with the volume's id, so that each volume's rows are together, and end with a
sequence number, so that neighbours in history are neighbours in the table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from cas.catalog.rows import ChangesRow, HistoryMark, decode_row, encode_row

if TYPE_CHECKING:
    from lmdb import Transaction, _Database

_SEQUENCE: Final = struct.Struct(">Q")
_MARK: Final = b"history "


class HistoryTables:
    """The history of all volumes as one transaction sees it."""

    def __init__(
        self,
        transaction: Transaction[bytes],
        meta: _Database,
        changes: _Database,
        changed_paths: _Database,
    ) -> None:
        self._transaction = transaction
        self._meta = meta
        self._changes = changes
        self._changed_paths = changed_paths

    def mark(self, volume_id: bytes) -> HistoryMark:
        """Return how far the volume's history is indexed."""
        row = self._transaction.get(_MARK + volume_id, db=self._meta)
        return HistoryMark() if row is None else decode_row(row, HistoryMark)

    def run(self, volume_id: bytes, sequence: int) -> tuple[int, ChangesRow] | None:
        """Return the run of changes that holds this number, or else the next: its last, its row."""
        with self._transaction.cursor(db=self._changes) as cursor:
            found = cursor.set_range(volume_id + _SEQUENCE.pack(sequence))
            key = cursor.key() if found else b""
            if not key.startswith(volume_id):
                return None
            return _SEQUENCE.unpack(key[len(volume_id) :])[0], decode_row(
                cursor.value(), ChangesRow
            )

    def run_before(self, volume_id: bytes, sequence: int) -> int:
        """Return the last number of the newest run that ends before a number; 0 for none."""
        with self._transaction.cursor(db=self._changes) as cursor:
            is_there = cursor.set_range(volume_id + _SEQUENCE.pack(sequence))
            is_there = cursor.prev() if is_there else cursor.last()
            if not is_there or not cursor.key().startswith(volume_id):
                return 0
            return int(_SEQUENCE.unpack(cursor.key()[len(volume_id) :])[0])

    def has_any(self, volume_id: bytes) -> bool:
        """Return whether there is a mark or any row of the volume."""
        if self._transaction.get(_MARK + volume_id, db=self._meta) is not None:
            return True
        for table in (self._changes, self._changed_paths):
            with self._transaction.cursor(db=table) as cursor:
                if cursor.set_range(volume_id) and cursor.key().startswith(volume_id):
                    return True
        return False

    def changes_below(self, prefix: bytes) -> list[int]:
        """Return the numbers of the changes at all paths whose keys begin so, as the keys lie."""
        numbers: list[int] = []
        with self._transaction.cursor(db=self._changed_paths) as cursor:
            is_there = cursor.set_range(prefix)
            while is_there and cursor.key().startswith(prefix):
                numbers.append(_SEQUENCE.unpack(cursor.key()[-_SEQUENCE.size :])[0])
                is_there = cursor.next()
        return numbers

    def paths_from(
        self, volume_id: bytes, start: bytes, limit: int
    ) -> tuple[list[tuple[bytes, int]], bytes]:
        """Return up to so many keys of changes at paths, each with its number; and where to go on.

        `start` is where, empty for the volume's first; so is what is returned at the end.
        """
        found: list[tuple[bytes, int]] = []
        with self._transaction.cursor(db=self._changed_paths) as cursor:
            is_there = cursor.set_range(start or volume_id)
            while is_there and cursor.key().startswith(volume_id):
                key = cursor.key()
                if len(found) == limit:
                    return found, key
                found.append((key, _SEQUENCE.unpack(key[-_SEQUENCE.size :])[0]))
                is_there = cursor.next()
        return found, b""

    def changes_of(self, path_key: bytes, before: int, limit: int) -> list[int]:
        """Return the numbers of changes at a path below `before`, the newest first."""
        numbers: list[int] = []
        with self._transaction.cursor(db=self._changed_paths) as cursor:
            is_there = cursor.set_range(path_key + _SEQUENCE.pack(before))
            is_there = cursor.prev() if is_there else cursor.last()
            while is_there and len(numbers) < limit:
                key = cursor.key()
                if not key.startswith(path_key):
                    break
                numbers.append(_SEQUENCE.unpack(key[len(path_key) :])[0])
                is_there = cursor.prev()
        return numbers


class WritableHistoryTables(HistoryTables):
    """The tables inside a transaction that changes them."""

    def clear(self) -> None:
        """Forget all rows and marks; they are made anew from the commits."""
        for table in (self._changes, self._changed_paths):
            self._transaction.drop(table, delete=False)
        with self._transaction.cursor(db=self._meta) as cursor:
            while cursor.set_range(_MARK) and cursor.key().startswith(_MARK):
                cursor.delete()

    def forget(self, volume_id: bytes, limit: int) -> None:
        """Forget a volume's mark, and up to so many of its rows."""
        self._transaction.delete(_MARK + volume_id, db=self._meta)
        for table in (self._changes, self._changed_paths):
            with self._transaction.cursor(db=table) as cursor:
                while limit and cursor.set_range(volume_id):
                    if not cursor.key().startswith(volume_id):
                        break
                    cursor.delete()
                    limit -= 1

    def forget_paths(self, keys: Iterable[bytes]) -> None:
        """Forget changes at paths, by their keys."""
        for key in keys:
            self._transaction.delete(key, db=self._changed_paths)

    def forget_runs(self, volume_id: bytes, before: int, limit: int) -> bool:
        """Forget up to so many runs of changes below a number; return whether none is left."""
        with self._transaction.cursor(db=self._changes) as cursor:
            while cursor.set_range(volume_id) and cursor.key() < volume_id + _SEQUENCE.pack(before):
                if not limit:
                    return False
                cursor.delete()
                limit -= 1
        return True

    def put_mark(self, volume_id: bytes, mark: HistoryMark) -> None:
        """Say how far the volume's history is indexed."""
        self._transaction.put(_MARK + volume_id, encode_row(mark), db=self._meta)

    def put_runs(self, volume_id: bytes, runs: Iterable[tuple[int, ChangesRow]]) -> None:
        """Keep runs of changes, each with the number of its last change."""
        for last, row in runs:
            key = volume_id + _SEQUENCE.pack(last)
            self._transaction.put(key, encode_row(row), db=self._changes)

    def put_changes(self, changes: Iterable[tuple[bytes, int]]) -> None:
        """Keep path keys with the numbers of changes there."""
        keys = sorted(path_key + _SEQUENCE.pack(number) for path_key, number in changes)
        for key in keys:  # in order: neighbours share LMDB's pages
            self._transaction.put(key, b"", db=self._changed_paths)
