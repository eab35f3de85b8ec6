"""Learning where things lie from the packs that other gateways have stored.

The footer of a pack tells what is in it, and index objects tell of many packs at once. A ref
names the packs of its last commits. So a gateway with an empty catalog can begin at once: it
looks for each object that it needs, and learns the rest behind its work.

A pack counts as known when all its records are in the catalog: nothing is known by halves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from cas.catalog import Catalog, Location, PackRow, PackState, ReadTransaction
from cas.errors import IntegrityError, NotFoundError
from cas.index_format import IndexedPack, PackTable
from cas.index_objects import IndexObjects
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind, read_footer
from cas.packs import locations_of
from cas.sealing import PackSeal, Sealing
from cas.stores.base import BlobStore, ByteRange
from cas.workers import waiting_map

_END_SIZE: Final = 64 * 1024
"""Bytes at a pack's end that are asked for at once: most footers fit."""
_READ_AT_ONCE: Final = 256
_ENTERED_AT_ONCE: Final = 50_000
"""Rows that go into one transaction, while which no other write of this machine does."""
_logger = logging.getLogger(__name__)


class NamedPack(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pack in the blob store: its id, and its size in bytes."""

    id: bytes
    size: int


class Unknown(NamedTuple):
    """What the catalog does not know of what is stored: packs of index objects, and others."""

    indexed: frozenset[bytes]
    others: list[NamedPack]


class PackIndex:
    """Enters packs of the blob store in the catalog. Shared by threads."""

    def __init__(self, catalog: Catalog, store: BlobStore, sealing: Sealing | None) -> None:
        self._catalog = catalog
        self._store = store
        self._sealing = sealing
        self.objects = IndexObjects(store, sealing)
        self._finding = threading.Lock()
        self._has_looked = False
        self.before_missing: Callable[[], object] = lambda: None
        """Called before an object counts as missing: it may have been dropped meanwhile."""

    def learn(self, packs: Iterable[NamedPack]) -> bool:
        """Enter those packs that the catalog does not know; return whether there were any.

        A pack whose footer is damaged or that is gone is left out, with a word in the log.
        """
        entered = False
        since = self._epoch()
        for tables in self.read_tables(self._unknown(packs)):
            self._enter(tables, since)
            entered = True
        return entered

    def find(self, object_id: bytes) -> bool:
        """Enter a pack that has this object; False if none is found in all that is stored.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        with self._finding:  # others that look for something are likely to look for the same
            if self._is_known(object_id):
                return True
            if not self._has_looked:
                self.objects.refresh()
                self._has_looked = True
            if self._find_indexed(object_id):
                return True
            since = self._epoch()
            for tables in self.read_tables(self.unknown().others):
                self._enter(tables, since)
                if self._is_known(object_id):
                    return True
            if self._find_indexed(object_id) or self._find_again(object_id):
                return True
            self.before_missing()
            return False

    def lose(self, ordinal: int) -> None:
        """Learn that a pack is not in the blob store any more; what it had is found elsewhere."""
        with self._catalog.write() as transaction:
            transaction.note_gone(ordinal)

    def look_for_new(self) -> bool:
        """List the packs and enter all that the catalog does not know; True if any.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        entered = False
        for _ in self.learn_all():
            entered = True
        return entered

    def learn_all(self) -> Iterator[None]:
        """Enter all packs that the catalog does not know; yields after each part of that.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        since = self._epoch()
        unknown = self.unknown()
        if self.learn(unknown.others):
            yield
        missing = unknown.indexed
        for index in self.objects.known():
            wanted = missing & index.packs
            if wanted:
                self._enter_all(self.objects.load(index, wanted), since)
                missing -= wanted
                yield

    def unknown(self) -> Unknown:
        """Return what is stored and the catalog does not know, by a listing.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        listed = self.listed()
        indexed = frozenset[bytes]().union(*(each.packs for each in self.objects.refresh()))
        self._has_looked = True
        unknown = self._unknown(listed)
        return Unknown(
            frozenset(pack.id for pack in unknown if pack.id in indexed),
            [pack for pack in unknown if pack.id not in indexed],
        )

    def listed(self) -> list[NamedPack]:
        """Return all packs of the blob store."""
        listed = self._store.list("packs")
        return [NamedPack(bytes.fromhex(name.rpartition("/")[2]), size) for name, size in listed]

    def condemned(self) -> set[bytes]:
        """Return the ids of the packs that are about to be deleted, as far as the catalog knows."""
        with self._catalog.read() as transaction:
            rows = (transaction.pack(ordinal) for ordinal in transaction.condemned())
            return {row.id for row in rows if row is not None}

    def read_tables(self, packs: Sequence[NamedPack]) -> Iterator[list[PackTable]]:
        """Yield what the footers of these packs tell, of some at a time."""
        remaining = iter(packs)
        while some := list(islice(remaining, _READ_AT_ONCE)):
            found = [table for table in waiting_map(self._read, some) if table is not None]
            if found:
                yield found

    def _unknown(self, packs: Iterable[NamedPack]) -> list[NamedPack]:
        with self._catalog.read() as transaction:
            return [pack for pack in packs if transaction.pack_ordinal(pack.id) is None]

    def _is_known(self, object_id: bytes) -> bool:
        with self._catalog.read() as transaction:
            return is_found(transaction, object_id)

    def _epoch(self) -> int:
        with self._catalog.read() as transaction:
            return transaction.epoch()

    def _find_indexed(self, object_id: bytes) -> bool:
        packs = [NamedPack(pack.id, pack.size) for pack in self._told(object_id)]
        return self.learn(packs) and self._is_known(object_id)

    def _find_again(self, object_id: bytes) -> bool:
        """Look in packs that are known: the catalog has one place of what lies in several.

        So that is not found which lay in a pack that is gone now, and lies in another as well.
        """
        told = {pack.id: NamedPack(pack.id, pack.size) for pack in self._told(object_id)}
        indexed = frozenset[bytes]().union(*(each.packs for each in self.objects.known()))
        others = [pack for pack in self.listed() if pack.id not in indexed]
        for tables in self.read_tables([*told.values(), *others]):
            self._enter_missing(tables)
            if self._is_known(object_id):
                return True
        return False

    def _told(self, object_id: bytes) -> list[IndexedPack]:
        return self.objects.packs_with(object_id)

    def _enter_missing(self, tables: Sequence[PackTable]) -> None:
        """Enter what known packs have and the catalog does not find."""
        with self._catalog.write() as transaction:
            for pack, places in tables:
                ordinal = transaction.pack_ordinal(pack.id)
                row = None if ordinal is None else transaction.pack(ordinal)
                if ordinal is None or row is None or row.state is PackState.REMOVED:
                    continue
                found = locations_of(ordinal, places)
                condemned = transaction.condemned()
                transaction.put_locations(
                    each for each in found if not is_found(transaction, each[0], condemned)
                )

    def _read(self, pack: NamedPack) -> PackTable | None:
        name = pack_blob_name(pack.id)
        start = max(0, pack.size - _END_SIZE)
        try:
            end = self._store.get(name, ByteRange(start, pack.size))

            def read_at(offset: int, size: int) -> bytes:
                if offset < start:
                    return self._store.get(name, ByteRange(offset, offset + size))
                return end[offset - start : offset - start + size]

            for seal in self._seals(pack.id):
                try:
                    footer = read_footer(read_at, pack.size, seal)
                except IntegrityError:
                    continue
                key_number = 0 if seal is None else seal.key_number
                return PackTable(IndexedPack(pack.id, pack.size, key_number), footer.places)
        except NotFoundError:
            _logger.info("%s is gone already", name)
            return None
        _logger.error("the footer of %s is damaged: what it holds is not found here", name)
        return None

    def _seals(self, pack_id: bytes) -> Iterable[PackSeal | None]:
        return [None] if self._sealing is None else list(self._sealing.candidates(pack_id))

    def _enter_all(self, tables: list[PackTable], since: int) -> None:
        some: list[PackTable] = []
        rows = 0
        for table in tables:
            some.append(table)
            rows += len(table.places)
            if rows >= _ENTERED_AT_ONCE:
                self._enter(some, since)
                some, rows = [], 0
        self._enter(some, since)

    def _enter(self, tables: Sequence[PackTable], since: int) -> None:
        """Enter packs that were there at a moment of the epoch `since`."""
        with self._catalog.write() as transaction:
            if transaction.known_epoch().forgotten > since:
                return  # some may be gone, and nobody can tell: they are found another time
            for pack, places in tables:
                if transaction.pack_ordinal(pack.id) is not None:
                    continue
                ordinal = transaction.reserve_ordinals(1)
                row = PackRow(
                    pack.id,
                    PackKind.MIXED,
                    PackState.SEALED,
                    b"",
                    pack.size,
                    len(places),
                    pack.key_number,
                )
                if not transaction.enter_pack(ordinal, row):
                    continue
                found: Iterable[tuple[bytes, Location]] = locations_of(ordinal, places)
                condemned = transaction.condemned()
                if ordinal in condemned:  # what lies elsewhere too is found there
                    found = [f for f in found if not is_found(transaction, f[0], condemned)]
                transaction.put_locations(found)


def is_found(
    transaction: ReadTransaction, object_id: bytes, condemned: frozenset[int] | None = None
) -> bool:
    """Whether the catalog leads to an object, in a pack that is not gone as far as it knows.

    `condemned` are the transaction's, for who asks often.
    """
    pack = transaction.pack_of(object_id)
    if pack is None:
        return False
    if pack not in (transaction.condemned() if condemned is None else condemned):
        return True
    row = transaction.pack(pack)
    return row is not None and row.state is not PackState.REMOVED
