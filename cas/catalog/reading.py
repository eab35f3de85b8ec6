"""Typed reading of the catalog's tables inside one transaction."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from cas.catalog.history import HistoryTables
from cas.catalog.rows import (
    Head,
    KnownEpoch,
    Location,
    PackRow,
    ProcessRow,
    decode_location,
    decode_row,
    pack_of_location,
)
from cas.catalog.sealed_rows import HEADS, JOURNAL, LOCKS, NURSERY, SealedRows
from cas.catalog.tables import TABLE_NAMES, Tables
from cas.sealing import Sealing

if TYPE_CHECKING:
    from lmdb import Transaction, _Database

NUMBER: Final = struct.Struct(">Q")
JOURNAL_END: Final = b"journal end"
GENERATION: Final = b"generation"
GENERATION_START: Final = b"generation start"
IDENTITY: Final = b"identity"
NEXT_ORDINAL: Final = b"next ordinal"
EPOCH: Final = b"epoch"
CONDEMNED: Final = b"condemned"
SEALING: Final = b"sealing"
KNOWN_EPOCH: Final = b"known epoch"


class ReadTransaction:
    """One state of the catalog; valid inside the `with` block that made it."""

    def __init__(
        self,
        transaction: Transaction[bytes],
        tables: Tables,
        sealing: Sealing | None = None,
    ) -> None:
        self._sealed = SealedRows(sealing)
        self._transaction = transaction
        self._tables = tables
        self._generation: int | None = None  # asked for with every node that is kept

    def location(self, object_id: bytes) -> Location | None:
        """Return where the object lies, or None."""
        row = self._transaction.get(object_id, db=self._tables.locations)
        return None if row is None else decode_location(row)

    def pack_of(self, object_id: bytes) -> int | None:
        """Return the ordinal of the pack in which the object lies, or None."""
        row = self._transaction.get(object_id, db=self._tables.locations)
        return None if row is None else pack_of_location(row)

    def locations(self, prefix: bytes) -> Iterator[tuple[bytes, Location]]:
        """Yield the objects whose id begins with these bytes, and where they lie."""
        for key, row in self._rows(self._tables.locations, start=prefix):
            if not key.startswith(prefix):
                return
            yield key, decode_location(row)

    def location_bytes(self, ids: Iterable[bytes]) -> list[bytes | None]:
        """Return the bytes that say where each object lies, as `Location.encode` makes them."""
        get, table = self._transaction.get, self._tables.locations
        return [get(object_id, db=table) for object_id in ids]

    def location_rows(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` ids beyond `after`, in order, and those bytes."""
        rows = self._rows(self._tables.locations, start=after)
        return list(islice((row for row in rows if row[0] != after), limit))

    def young_node(self, node_id: bytes) -> bytes | None:
        """Return the bytes of a tree node that is in the nursery, or None."""
        get = self._transaction.get
        node = get(node_id, db=self._tables.nursery_even)
        if node is None:
            node = get(node_id, db=self._tables.nursery_odd)
        return None if node is None else self._sealed.open(NURSERY + node_id, node)

    def generation(self) -> int:
        """Return the number of the nursery's current generation."""
        if self._generation is None:
            self._generation = self._number(GENERATION)
        return self._generation

    def generation_start(self) -> int:
        """Return the number of the newest journal record when the generation was opened."""
        return self._number(GENERATION_START)

    def epoch(self) -> int:
        """Return how often packs have been condemned."""
        return self._number(EPOCH)

    def sealing(self) -> int:
        """Return how often all processes were asked to seal their open packs."""
        return self._number(SEALING)

    def condemned(self) -> frozenset[int]:
        """Return the ordinals of the packs in which nothing is to be found any more."""
        row = self._transaction.get(CONDEMNED, db=self._tables.meta)
        return frozenset() if row is None else frozenset(decode_row(row, list[int]))

    def known_epoch(self) -> KnownEpoch:
        """Return what is known of the newest epoch that several gateways have."""
        row = self._transaction.get(KNOWN_EPOCH, db=self._tables.meta)
        return KnownEpoch() if row is None else decode_row(row, KnownEpoch)

    def identity(self) -> bytes | None:
        """Return the id of the repository whose catalog this is, None while it is not complete."""
        return self._transaction.get(IDENTITY, db=self._tables.meta)

    def nursery_is_empty(self, generation: int) -> bool:
        """Return whether this generation of the nursery holds no node."""
        return self._entries(self._nursery(generation)) == 0

    def nursery_size(self) -> int:
        """Return the bytes of the pages that the nursery takes."""
        size = 0
        for table in (self._tables.nursery_even, self._tables.nursery_odd):
            stat = self._transaction.stat(table)
            pages = stat["leaf_pages"] + stat["overflow_pages"] + stat["branch_pages"]
            size += pages * stat["psize"]
        return size

    def head(self, volume_id: bytes) -> Head | None:
        """Return the volume's newest state, or None where there is no such volume."""
        row = self.head_row(volume_id)
        return None if row is None else self._head(volume_id, row)

    def head_row(self, volume_id: bytes) -> bytes | None:
        """Return what stands for the volume's newest state: other bytes after every change."""
        return self._transaction.get(volume_id, db=self._tables.heads)

    def heads(self) -> list[tuple[bytes, Head]]:
        """Return the newest state of every volume, by volume id."""
        return [(key, self._head(key, row)) for key, row in self._rows(self._tables.heads)]

    def history(self) -> HistoryTables:
        """Return the tables that find changes."""
        return HistoryTables(self._transaction, *self._history_tables())

    def pack(self, ordinal: int) -> PackRow | None:
        """Return the pack of this ordinal, or None."""
        row = self._transaction.get(NUMBER.pack(ordinal), db=self._tables.packs)
        return None if row is None else decode_row(row, PackRow)

    def packs(self) -> Iterator[tuple[int, PackRow]]:
        """Yield every pack with its ordinal."""
        for key, row in self._rows(self._tables.packs):
            yield NUMBER.unpack(key)[0], decode_row(row, PackRow)

    def pack_ordinal(self, pack_id: bytes) -> int | None:
        """Return the ordinal of the pack with this id, or None."""
        row = self._transaction.get(pack_id, db=self._tables.pack_ordinals)
        return None if row is None else int(NUMBER.unpack(row)[0])

    def journal_end(self) -> tuple[int, bytes]:
        """Return number and id of the newest journal record; (0, b"") before the first."""
        row = self._transaction.get(JOURNAL_END, db=self._tables.meta)
        return (0, b"") if row is None else decode_row(row, tuple[int, bytes])

    def journal(self, after: int = 0) -> Iterator[bytes]:
        """Yield the journal records beyond number `after` that no commit holds yet."""
        for key, row in self._rows(self._tables.journal, start=NUMBER.pack(after + 1)):
            yield self._sealed.open(JOURNAL + key, row)

    def first_journal(self) -> int | None:
        """Return the number of the oldest journal record that no commit holds, if there is one."""
        with self._transaction.cursor(db=self._tables.journal) as cursor:
            return int(NUMBER.unpack(cursor.key())[0]) if cursor.first() else None

    def process(self, process_id: bytes) -> ProcessRow | None:
        """Return what is known of a process, or None."""
        row = self._transaction.get(process_id, db=self._tables.processes)
        return None if row is None else decode_row(row, ProcessRow)

    def processes(self) -> list[tuple[bytes, ProcessRow]]:
        """Return the processes that are, or were when they died, at work."""
        rows = self._rows(self._tables.processes)
        return [(key, decode_row(row, ProcessRow)) for key, row in rows]

    def process_count(self) -> int:
        """Return how many processes there are; much cheaper than to look at them."""
        return self._entries(self._tables.processes)

    def lock(self, key: bytes) -> bytes | None:
        """Return the lock record under this path key, or None."""
        record = self._transaction.get(key, db=self._tables.locks)
        return None if record is None else self._sealed.open(LOCKS + key, record)

    def locks(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the lock records whose key begins with the prefix, with their keys."""
        for key, row in self._rows(self._tables.locks, start=prefix):
            if not key.startswith(prefix):
                return
            yield key, self._sealed.open(LOCKS + key, row)

    def has_locks(self) -> bool:
        """Return whether there is any lock at all."""
        return self._entries(self._tables.locks) > 0

    def lock_key(self, token: bytes) -> bytes | None:
        """Return the path key of the lock with this token, or None."""
        return self._transaction.get(self._sealed.token_key(token), db=self._tables.lock_tokens)

    def scratch(self, key: bytes) -> bytes | None:
        """Return the scratch value under this key, or None."""
        return self._sealed.open_scratch(
            key, self._transaction.get(self._sealed.scratch_key(key), db=self._tables.scratch)
        )

    def scratch_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows as they are kept; their first 8 bytes are as they were put."""
        return self._rows(self._tables.scratch)

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return {
            name.decode(): self._entries(table)
            for name, table in zip(TABLE_NAMES, self._tables, strict=True)
        }

    def _head(self, volume_id: bytes, row: bytes) -> Head:
        return decode_row(self._sealed.open(HEADS + volume_id, row), Head)

    def _rows(self, table: _Database, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        with self._transaction.cursor(db=table) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                yield from cursor.iternext()

    def _history_tables(self) -> tuple[_Database, _Database, _Database]:
        return self._tables.meta, self._tables.changes, self._tables.changed_paths

    def _entries(self, table: _Database) -> int:
        return int(self._transaction.stat(table)["entries"])

    def _number(self, key: bytes) -> int:
        row = self._transaction.get(key, db=self._tables.meta)
        return 0 if row is None else int(NUMBER.unpack(row)[0])

    def _nursery(self, generation: int) -> _Database:
        return self._tables.nursery_odd if generation % 2 else self._tables.nursery_even
