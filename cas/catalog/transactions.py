"""Typed access to the catalog's tables inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from cas.catalog.history import WritableHistoryTables
from cas.catalog.reading import (
    CONDEMNED,
    EPOCH,
    GENERATION,
    GENERATION_START,
    IDENTITY,
    JOURNAL_END,
    KNOWN_EPOCH,
    NEXT_ORDINAL,
    NUMBER,
    SEALING,
    ReadTransaction,
)
from cas.catalog.rows import Head, KnownEpoch, Location, PackRow, PackState, ProcessRow, encode_row
from cas.catalog.sealed_rows import HEADS, JOURNAL, LOCKS, NURSERY


class WriteTransaction(ReadTransaction):
    """A transaction that changes the catalog; all of it becomes visible at once, or nothing."""

    _unusable: tuple[frozenset[bytes], frozenset[bytes]] | None = None

    def put_locations(self, locations: Iterable[tuple[bytes, Location]]) -> None:
        """Say where objects lie; a newer place takes the older one's stead."""
        put, table = self._transaction.put, self._tables.locations
        for key, location in locations:
            put(key, location.encode(), db=table)

    def delete_location(self, object_id: bytes) -> None:
        """Forget where an object lies: it is not stored any more."""
        self._transaction.delete(object_id, db=self._tables.locations)

    def condemn(self, packs: Iterable[int]) -> None:
        """Let nothing be found in these packs any more, and begin a new epoch."""
        condemned = self.condemned().union(packs)
        for ordinal in condemned:
            self._set_state(ordinal, PackState.CONDEMNED)
        self._put_condemned(condemned)
        self._put_number(EPOCH, self.epoch() + 1)

    def adopt_epoch(self, number: int, known: KnownEpoch, gone: Iterable[bytes] = ()) -> None:
        """Learn of an epoch that another gateway has begun; `gone` are further removed packs.

        In what is condemned or gone nothing is found any more by whoever is about to store it.
        """
        unusable = set(self.condemned())
        for pack_id in known.condemned:
            unusable |= self._note(pack_id, PackState.CONDEMNED)
        for pack_id in {*known.removed, *gone}:
            unusable |= self._note(pack_id, PackState.REMOVED)
        self._put_condemned(unusable)
        self._transaction.put(KNOWN_EPOCH, encode_row(known), db=self._tables.meta)
        self._put_number(EPOCH, number)
        self._unusable = None

    def note_gone(self, ordinal: int) -> None:
        """Say that a pack is in the store no more; what leads there is swept later."""
        self._set_state(ordinal, PackState.REMOVED)
        self._put_condemned(self.condemned() | {ordinal})

    def enter_pack(self, ordinal: int, pack: PackRow) -> bool:
        """Enter a pack of the store as the known epoch has it; False where it is gone."""
        if self._unusable is None:
            known = self.known_epoch()
            self._unusable = frozenset(known.condemned), frozenset(known.removed)
        condemned, removed = self._unusable
        if pack.id in removed:
            return False
        if pack.id in condemned:
            pack = replace(pack, state=PackState.CONDEMNED)
            self._put_condemned(self.condemned() | {ordinal})
        self.put_pack(ordinal, pack)
        return True

    def forget_swept(self, ordinals: Iterable[int]) -> None:
        """Forget packs that are gone, to which nothing leads any more."""
        swept = frozenset(ordinals)
        for ordinal in swept:
            self.forget_pack(ordinal)
        self._put_condemned(self.condemned() - swept)

    def ask_for_sealing(self) -> int:
        """Ask all processes to seal their open packs; return the number of the request."""
        number = self.sealing() + 1
        self._put_number(SEALING, number)
        return number

    def remove_pack(self, ordinal: int) -> None:
        """Say that nothing lies in a condemned pack any more; its file may go once synced."""
        self._set_state(ordinal, PackState.REMOVED)
        self._put_condemned(self.condemned() - {ordinal})

    def forget_pack(self, ordinal: int) -> None:
        """Forget a removed pack, whose file is gone."""
        pack = self.pack(ordinal)
        if pack is not None:
            self._transaction.delete(NUMBER.pack(ordinal), db=self._tables.packs)
            self._transaction.delete(pack.id, db=self._tables.pack_ordinals)

    def put_young_node(self, node_id: bytes, node: bytes) -> None:
        """Keep a tree node in the current generation of the nursery."""
        row = self._sealed.seal(NURSERY + node_id, node)
        self._transaction.put(node_id, row, db=self._nursery(self.generation()))

    def open_generation(self) -> None:
        """Begin a new generation of the nursery; the one that takes its table must be empty."""
        self._put_number(GENERATION_START, self.journal_end()[0])
        self._generation = self.generation() + 1
        self._put_number(GENERATION, self._generation)

    def set_identity(self, identity: bytes) -> None:
        """Say that the catalog is complete, and whose it is."""
        self._transaction.put(IDENTITY, identity, db=self._tables.meta)

    def drop_old_generation(self) -> None:
        """Forget all nodes of the generation before the current one."""
        self._transaction.drop(self._nursery(self.generation() + 1), delete=False)

    def put_head(self, volume_id: bytes, head: Head) -> None:
        """Set a volume's newest state."""
        row = self._sealed.seal(HEADS + volume_id, encode_row(head))
        self._transaction.put(volume_id, row, db=self._tables.heads)

    def delete_head(self, volume_id: bytes) -> None:
        """Forget a volume's newest state; nothing happens where there is none."""
        self._transaction.delete(volume_id, db=self._tables.heads)

    def history(self) -> WritableHistoryTables:
        """Return the tables that find changes."""
        return WritableHistoryTables(self._transaction, *self._history_tables())

    def put_pack(self, ordinal: int, pack: PackRow) -> None:
        """Set what is known of a pack."""
        key = NUMBER.pack(ordinal)
        self._transaction.put(key, encode_row(pack), db=self._tables.packs)
        self._transaction.put(pack.id, key, db=self._tables.pack_ordinals)

    def reserve_ordinals(self, count: int) -> int:
        """Set pack ordinals aside for the caller and return the first; none is given twice."""
        first = self._number(NEXT_ORDINAL)
        self._put_number(NEXT_ORDINAL, first + count)
        return first

    def put_journal(self, number: int, record_id: bytes, record: bytes) -> None:
        """Append the journal record that becomes the newest."""
        key = NUMBER.pack(number)
        row = self._sealed.seal(JOURNAL + key, record)
        self._transaction.put(key, row, db=self._tables.journal, append=True)
        self.set_journal_end(number, record_id)

    def set_journal_end(self, number: int, record_id: bytes) -> None:
        """Say which journal record is the newest."""
        row = encode_row((number, record_id))
        self._transaction.put(JOURNAL_END, row, db=self._tables.meta)

    def delete_journal(self, upto: int) -> None:
        """Forget the journal records up to this number: commits hold their changes."""
        last = NUMBER.pack(upto)
        with self._transaction.cursor(db=self._tables.journal) as cursor:
            while cursor.first() and cursor.key() <= last:
                cursor.delete()

    def put_process(self, process_id: bytes, process: ProcessRow) -> None:
        """Register a process or renew what is known of it."""
        self._transaction.put(process_id, encode_row(process), db=self._tables.processes)

    def delete_process(self, process_id: bytes) -> None:
        """Forget a process that has ended."""
        self._transaction.delete(process_id, db=self._tables.processes)

    def put_lock(self, key: bytes, record: bytes, tokens: Iterable[bytes]) -> None:
        """Keep the lock record under its path key; the tokens find it."""
        self._transaction.put(key, self._sealed.seal(LOCKS + key, record), db=self._tables.locks)
        for token in tokens:
            self._transaction.put(self._sealed.token_key(token), key, db=self._tables.lock_tokens)

    def delete_lock(self, key: bytes) -> None:
        """Forget the lock record under this path key."""
        self._transaction.delete(key, db=self._tables.locks)

    def delete_lock_token(self, token: bytes) -> None:
        """Forget a lock token."""
        self._transaction.delete(self._sealed.token_key(token), db=self._tables.lock_tokens)

    def put_scratch(self, key: bytes, value: bytes) -> None:
        """Keep a scratch value."""
        kept = self._sealed.scratch_key(key)
        row = self._sealed.seal_scratch(key, value)
        self._transaction.put(kept, row, db=self._tables.scratch)

    def delete_scratch(self, key: bytes) -> None:
        """Forget a scratch value."""
        self._transaction.delete(self._sealed.scratch_key(key), db=self._tables.scratch)

    def delete_scratch_row(self, kept: bytes, row: bytes) -> None:
        """Forget a row that `scratch_rows` has shown, if it is still the same."""
        if self._transaction.get(kept, db=self._tables.scratch) == row:
            self._transaction.delete(kept, db=self._tables.scratch)

    def _set_state(self, ordinal: int, state: PackState) -> None:
        pack = self.pack(ordinal)
        if pack is not None:
            self.put_pack(ordinal, replace(pack, state=state))

    def _note(self, pack_id: bytes, state: PackState) -> set[int]:
        """Set the state of a pack that may not be known here, unless it is gone already."""
        ordinal = self.pack_ordinal(pack_id)
        pack = None if ordinal is None else self.pack(ordinal)
        if ordinal is None or pack is None or pack.state is PackState.REMOVED:
            return set()
        self.put_pack(ordinal, replace(pack, state=state))
        return {ordinal}

    def _put_condemned(self, ordinals: Iterable[int]) -> None:
        row = encode_row(sorted(ordinals))
        self._transaction.put(CONDEMNED, row, db=self._tables.meta)

    def _put_number(self, key: bytes, number: int) -> None:
        self._transaction.put(key, NUMBER.pack(number), db=self._tables.meta)
