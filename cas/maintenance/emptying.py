"""Emptying condemned packs: what is live is copied, the rest forgotten, then the file deleted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from cas.catalog import Location, PackRow, PackState, ReadTransaction
from cas.engine import Engine
from cas.errors import IntegrityError, NotFoundError
from cas.formats import MiB
from cas.ids import ObjectId
from cas.maintenance.liveness import Liveness
from cas.pack_reader import StoredPack, pack_blob_name
from cas.packfile import RECORD_OVERHEAD, PackKind, Record, RecordPlace, read_footer
from cas.records import open_record, unsealed
from cas.sealing import PackSeal
from cas.stores.base import ByteRange

_COPIED_AT_ONCE: Final = 8 * MiB
_LOOKED_UP_AT_ONCE: Final = 1024
_logger = logging.getLogger(__name__)


class Emptying:
    """Takes packs that nothing can come to lean on any more apart. For one thread."""

    def __init__(self, engine: Engine, liveness: Liveness) -> None:
        self.copied_size = 0
        self.damaged: list[str] = []
        self._catalog = engine.catalog
        self._store = engine.store
        self._identifier = engine.chunks.identifier
        self._open_packs = engine.chunks.open_packs
        self._chunks = engine.chunks
        self._liveness = liveness

    def empty(self, ordinal: int) -> bool:
        """Copy what is live in a pack to others, and forget the pack; False if that cannot be.

        It cannot where something live is damaged: the pack stays, and is named in `damaged`.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; the pack is as it was.
        """
        with self._catalog.read() as transaction:
            row = transaction.pack(ordinal)
        if row is None:
            return False
        try:
            places = self._places(row)
            self._copy_live(ordinal, row, places)
            self._forget(ordinal, places)
        except IntegrityError:
            _logger.exception("pack %s holds something live that is damaged", row.id.hex())
            self.damaged.append(row.id.hex())
            return False
        return True

    def delete_removed(self) -> None:
        """Delete the files of packs that are forgotten.

        First the catalog must be synced: after a power cut it would name what is not there.
        """
        with self._catalog.read() as transaction:
            removed = [(o, row) for o, row in transaction.packs() if row.state is PackState.REMOVED]
        if not removed:
            return
        self._catalog.sync()
        for _, row in removed:
            self._store.delete(pack_blob_name(row.id))
        with self._catalog.write() as transaction:
            for ordinal, _ in removed:
                transaction.forget_pack(ordinal)
        self._chunks.let_go_of_removed()

    def _places(self, row: PackRow) -> list[RecordPlace]:
        """Return where the pack's records lie.

        Raises:
            IntegrityError: the footer is damaged; a scan might not find all.
        """
        name = pack_blob_name(row.id)
        try:
            seal = self._seal(row)
            return read_footer(StoredPack(self._store, name).read_at, row.size, seal).places
        except NotFoundError as error:
            message = f"{name} is missing"
            raise IntegrityError(message) from error

    def _copy_live(self, ordinal: int, row: PackRow, places: list[RecordPlace]) -> None:
        """Write the live records that are found here to open packs, as they are.

        All that are sound, before it is told of one that is not.

        Raises:
            IntegrityError: one is damaged.
        """
        damage: IntegrityError | None = None
        seal = self._seal(row)
        for batch in self._live(ordinal, places):
            start = batch[0][1].offset
            last = batch[-1][1]
            end = last.offset + RECORD_OVERHEAD + last.stored_size
            region = memoryview(self._store.get(pack_blob_name(row.id), ByteRange(start, end)))
            records = []
            for object_id, location in batch:
                at = location.offset - start + RECORD_OVERHEAD
                stored: bytes | memoryview = region[at : at + location.stored_size]
                try:
                    stored = unsealed(location.kind, object_id, location, stored, seal)
                    open_record(self._identifier, location.kind, object_id, location, stored, None)
                except IntegrityError as error:
                    damage = error
                    continue
                records.append(_record(object_id, location, stored))
            if records:
                self._write(PackKind(row.kind), records)
                self.copied_size += sum(RECORD_OVERHEAD + len(each.stored) for each in records)
        if damage is not None:
            raise damage

    def _write(self, kind: PackKind, records: list[Record]) -> None:
        """Write records that are live elsewhere."""
        self._open_packs.write(kind, records)

    def _seal(self, row: PackRow) -> PackSeal | None:
        sealing = self._identifier.sealing
        return None if sealing is None else sealing.pack(row.id, row.key_number)

    def _live(
        self, ordinal: int, places: list[RecordPlace]
    ) -> Iterator[list[tuple[ObjectId, Location]]]:
        """Yield the live objects that lie here, as many at a time as are copied at once."""
        remaining = iter(places)
        while some := list(islice(remaining, _LOOKED_UP_AT_ONCE)):
            with self._catalog.read() as transaction:
                here = self._found_here(transaction, ordinal, some)
            batch: list[tuple[ObjectId, Location]] = []
            size = 0
            for object_id, location in here:
                if self._liveness.has(location):
                    batch.append((object_id, location))
                    size += location.stored_size
                if size >= _COPIED_AT_ONCE:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch

    def _forget(self, ordinal: int, places: list[RecordPlace]) -> None:
        """Forget the pack and what is dead in it.

        Raises:
            IntegrityError: something live is still here; nothing is forgotten.
        """
        with self._catalog.write() as transaction:
            here = self._found_here(transaction, ordinal, places)
            for object_id, location in here:
                if self._liveness.has(location):
                    message = f"object {object_id.hex()} is live and could not be copied"
                    raise IntegrityError(message)
                transaction.delete_location(object_id)
            transaction.remove_pack(ordinal)

    def _found_here(
        self, transaction: ReadTransaction, ordinal: int, places: Iterable[RecordPlace]
    ) -> list[tuple[ObjectId, Location]]:
        """Return the objects that the catalog finds in this pack, in the order of its records."""
        found = []
        for place in places:
            location = transaction.location(place.id)
            if location is not None and (location.pack, location.offset) == (ordinal, place.offset):
                found.append((place.id, location))
        return found


def _record(object_id: ObjectId, location: Location, stored: bytes | memoryview) -> Record:
    return Record(location.kind, object_id, location.plain_size, location.codec, stored)
