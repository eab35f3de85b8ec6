"""Objects by id: dedup look-up, pack assembly, durability, verified reads.

New objects are appended to this process's open packs at once. Where they lie is known to this
process only (`pending`) until a commit or the sealing of the pack has synced them and told the
catalog. Every read is checked against the id; nothing that fails the check is returned.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cas.catalog import (
    Catalog,
    Location,
    PackRow,
    PackState,
    ReadTransaction,
    WriteTransaction,
)
from cas.compression import Codec, compress
from cas.disk import require_free_space
from cas.errors import CasError, IntegrityError, InvalidError, StoreError
from cas.formats import PLAIN_SIZE_LIMIT, MiB
from cas.ids import Identifier, Kind, ObjectId
from cas.pack_reader import PackReader, pack_blob_name
from cas.packfile import RECORD_OVERHEAD, PackKind, Record
from cas.packs import OpenPack, PackWriter, locations_of, open_pack_pattern
from cas.records import open_record, run_end
from cas.reliance import Reliance
from cas.stores.base import BlobStore

_ORDINALS_KEPT: Final = 64
_SHORT_RECORD: Final = 1024
"""Bytes of a journal record up to which compression saves less than its time is worth."""
UPLOAD_RESERVE: Final = 32 * MiB
"""Bytes of the disk that uploads leave free, so that on a full disk one can still look, remove
and restart."""


@dataclass(slots=True)
class Flushed:
    """What a commit made durable and wrote into its transaction."""

    packs: set[OpenPack]
    pending: dict[ObjectId, tuple[Location, OpenPack]]


class ChunkStore:
    """All objects of a repository, seen by one process. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        identifier: Identifier,
        open_directory: Path,
        process_id: bytes,
    ) -> None:
        self.identifier = identifier
        self._catalog = catalog
        self._store = store
        self._directory = open_directory
        self._process_id = process_id
        self._reader = PackReader(catalog, store, open_directory)
        self._lock = threading.Lock()
        self._pending: dict[ObjectId, tuple[Location, OpenPack]] = {}
        self._damaged: set[bytes] = set()  # found so by a read: stored anew when they come again
        self._to_seal: list[OpenPack] = []
        self._ordinals: list[int] = []
        self._writers = {
            kind: PackWriter(lambda kind=kind: self._make_pack(kind))  # type: ignore[misc]
            for kind in (PackKind.DATA, PackKind.TREE)
        }

    @property
    def leaves_packs(self) -> bool:
        """Whether packs of this process are among the open ones; once closed, failed ones."""
        return any(self._directory.glob(open_pack_pattern(self._process_id)))

    def put_chunks(self, pieces: Sequence[bytes | memoryview], relies: Reliance) -> list[ObjectId]:
        """Store the pieces that are not here yet; return the ids of all, in order.

        They are durable, and known to other processes, once a commit has been made.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; nothing refers to what was
                written.
        """
        identify = self.identifier.chunk
        ids = [identify(piece) for piece in pieces]
        new = self._unknown(ids, relies)
        if new:
            unique = {ids[index]: pieces[index] for index in reversed(new)}
            records = [
                Record(Kind.CHUNK, object_id, len(piece), *compress(piece))
                for object_id, piece in unique.items()
            ]
            stored_size = sum(len(record.stored) for record in records)
            require_free_space(self._directory, stored_size, UPLOAD_RESERVE)
            self._append(PackKind.DATA, records, relies)
        return ids

    def put_node(self, kind: Kind, plaintext: bytes, relies: Reliance) -> ObjectId:
        """Store an object other than a chunk, which goes to a tree pack; return its id.

        Raises:
            InvalidError: it is larger than a reader accepts.
        """
        return self.put_nodes(kind, [plaintext], relies)[0]

    def put_nodes(
        self, kind: Kind, plaintexts: Sequence[bytes], relies: Reliance
    ) -> list[ObjectId]:
        """Store objects as `put_node` does, all of them different; return their ids in order."""
        largest = max(map(len, plaintexts), default=0)
        if largest > PLAIN_SIZE_LIMIT:
            message = f"an object of {largest} bytes is too large"
            raise InvalidError(message)
        ids = [self.identifier.identify(kind, plaintext) for plaintext in plaintexts]
        records = [
            Record(kind, ids[index], len(plaintexts[index]), *compress(plaintexts[index]))
            for index in self._unknown(ids, relies)
        ]
        if records:
            self._append(PackKind.TREE, records, relies)
        return ids

    def append_journal(self, number: int, plaintext: bytes, relies: Reliance) -> ObjectId:
        """Append a journal record to the open data pack, behind the chunks; return its id."""
        record_id = self.journal_id(plaintext)
        packed = compress(plaintext) if len(plaintext) > _SHORT_RECORD else (Codec.RAW, plaintext)
        record = Record(Kind.JOURNAL, record_id, len(plaintext), *packed)
        written, full = self._writers[PackKind.DATA].append([record], number)
        relies.packs.update(pack for pack, _ in written)
        # Sealing needs a transaction of its own and the caller has one open: `confirm` does it.
        with self._lock:
            self._to_seal += full
        return record_id

    def journal_id(self, plaintext: bytes) -> ObjectId:
        """Return the id of a journal record."""
        return self.identifier.identify(Kind.JOURNAL, plaintext)

    def sync(self, relies: Reliance) -> None:
        """Return once all that the reliance names would survive a power cut.

        Raises:
            StoreError: it may not.
        """
        for pack in relies.packs:
            self._sync(pack)

    def get(self, kind: Kind, object_id: bytes) -> bytes:
        """Return an object's plaintext, checked.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        location = self.locate([object_id])[0]
        with self._noting_damage([object_id]):
            stored = self._reader.read(
                location.pack, location.offset + RECORD_OVERHEAD, location.stored_size
            )
            return bytes(open_record(self.identifier, kind, object_id, location, stored))

    def get_chunks(self, ids: Sequence[bytes]) -> Iterator[bytes | memoryview]:
        """Yield the plaintext of these chunks in order, checked; neighbours are read at once.

        Raises:
            IntegrityError: a chunk is missing or damaged.
        """
        return self.read_chunks(ids, self.locate(ids))

    def read_chunks(
        self, ids: Sequence[bytes], locations: Sequence[Location]
    ) -> Iterator[bytes | memoryview]:
        """As `get_chunks`, where `locate` was asked already."""
        start = 0
        while start < len(locations):
            stop = run_end(locations, start)
            first = locations[start]
            begin = first.offset
            end = locations[stop - 1].offset + RECORD_OVERHEAD + locations[stop - 1].stored_size
            with self._noting_damage(ids[start:stop]):
                region = memoryview(self._reader.read(first.pack, begin, end - begin))
            for index in range(start, stop):
                location = locations[index]
                at = location.offset - begin + RECORD_OVERHEAD
                stored = region[at : at + location.stored_size]
                try:
                    piece = open_record(self.identifier, Kind.CHUNK, ids[index], location, stored)
                except IntegrityError:
                    self._damaged.add(ids[index])
                    raise
                yield piece
            start = stop

    def contains(self, object_id: bytes, transaction: ReadTransaction | None = None) -> bool:
        """Return whether the object is known, without reading it."""
        if ObjectId(object_id) in self._pending:  # first: a commit moves it to the catalog
            return True
        if transaction is not None:
            return transaction.location(object_id) is not None
        with self._catalog.read() as reading:
            return reading.location(object_id) is not None

    def flush(self, transaction: WriteTransaction, relies: Iterable[Reliance]) -> Flushed:
        """Sync all that was appended and write into the transaction where it lies.

        Call `confirm` with the result once the transaction is committed.

        Raises:
            StoreError: a sync failed; the transaction must be given up.
        """
        with self._lock:
            pending = dict(self._pending)
            packs = {pack for _, pack in pending.values()}
        for reliance in relies:
            packs |= reliance.packs
        for pack in packs:
            self._sync(pack)
        for pack in packs:
            if not pack.entered and transaction.pack(pack.ordinal) is None:
                row = PackRow(pack.id, pack.kind, PackState.OPEN, self._process_id)
                transaction.put_pack(pack.ordinal, row)
        rows = sorted((object_id, location) for object_id, (location, _) in pending.items())
        transaction.put_locations(rows)
        return Flushed(packs, pending)

    def confirm(self, flushed: Flushed) -> None:
        """Forget what the catalog now knows, and seal packs that are full."""
        with self._lock:
            for object_id, place in flushed.pending.items():
                if self._pending.get(object_id) == place:
                    del self._pending[object_id]
                location, pack = place
                pack.entered.add(location.number)
            to_seal = [pack for pack in self._to_seal if pack in flushed.packs]
            self._to_seal = [pack for pack in self._to_seal if pack not in flushed.packs]
        self._seal_all(to_seal)
        self.refill_ordinals()

    def seal_current(self) -> None:
        """Seal the packs that are being filled; the next append begins new ones."""
        with self._lock:
            ended, self._to_seal = self._to_seal, []
        for writer in self._writers.values():
            ended += writer.take_ended()
            pack = writer.take_current()
            if pack is not None:
                ended.append(pack)
        self._seal_all(ended)

    def seal(self, pack: OpenPack) -> None:
        """Finish a pack that nobody appends to any more and hand it to the blob store.

        The catalog learns of it first. Its transaction comes after those of all commits whose
        journal records are in the pack, and it is there for good before the file is moved away:
        recovery looks for such records in open packs only.
        """
        try:
            if not pack.failed:
                pack.finish()
                self._announce_sealed(pack)
                self._catalog.sync()
                self._store.put_file(pack_blob_name(pack.id), pack.path)
        except CasError:
            pack.failed = True
            raise
        finally:
            self._drop_pending(pack)
            pack.abandon()
        self.refill_ordinals()

    def refill_ordinals(self) -> None:
        """Set ordinals aside, so that a pack can be begun without a transaction.

        Only once they are reserved for good: those of a transaction that is given up would be
        reserved by others too.
        """
        with self._lock:
            missing = _ORDINALS_KEPT - len(self._ordinals)
        if missing > _ORDINALS_KEPT // 2:
            with self._catalog.write() as transaction:
                first = transaction.reserve_ordinals(missing)
            with self._lock:
                self._ordinals += range(first, first + missing)

    def close(self) -> None:
        """Seal what is open and close the files."""
        try:
            self.seal_current()
        finally:
            self._reader.close()

    def _announce_sealed(self, pack: OpenPack) -> None:
        """Tell the catalog of the pack and of the records that no commit has entered.

        The file is still where it was.
        """
        size, records = pack.size, len(pack.places)
        row = PackRow(pack.id, pack.kind, PackState.SEALED, self._process_id, size, records)
        with self._catalog.write() as transaction:
            transaction.put_pack(pack.ordinal, row)
            transaction.put_locations(locations_of(pack.ordinal, pack.places, pack.entered))

    def _unknown(self, ids: Sequence[ObjectId], relies: Reliance) -> list[int]:
        """Return the indices of the ids that are not stored yet."""
        new = []
        with self._catalog.read() as transaction:
            for index, object_id in enumerate(ids):
                held = self._pending.get(object_id)
                if held is not None and not held[1].failed:
                    relies.packs.add(held[1])
                elif object_id in self._damaged or transaction.location(object_id) is None:
                    new.append(index)
        return new

    def _append(self, kind: PackKind, records: list[Record], relies: Reliance) -> None:
        self.refill_ordinals()
        written, full = self._writers[kind].append(records)
        locations = ((pack, location) for pack, batch in written for location in batch)
        with self._lock:
            for record, (pack, location) in zip(records, locations, strict=True):
                relies.packs.add(pack)
                self._pending[record.id] = (location, pack)
                self._damaged.discard(record.id)
        self._seal_all(full)

    def _seal_all(self, packs: Iterable[OpenPack]) -> None:
        """Seal each of the packs, whether or not another one can be."""
        errors = []
        for pack in packs:
            try:
                self.seal(pack)
            except CasError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _sync(self, pack: OpenPack) -> None:
        try:
            pack.sync()
        except StoreError:
            self._drop_pending(pack)
            raise

    def _drop_pending(self, pack: OpenPack) -> None:
        with self._lock:
            gone = [object_id for object_id, (_, held) in self._pending.items() if held is pack]
            for object_id in gone:
                del self._pending[object_id]

    def _make_pack(self, kind: PackKind) -> OpenPack:
        with self._lock:
            if not self._ordinals:
                raise StoreError("too many packs begun without a commit", transient=True)
            ordinal = self._ordinals.pop(0)
        pack = OpenPack(self._directory, self._process_id, kind, ordinal)
        self._reader.expect(ordinal, PackRow(pack.id, kind, PackState.OPEN, self._process_id))
        return pack

    def locate(self, ids: Sequence[bytes]) -> list[Location]:
        """Return where the objects lie; IntegrityError where one is missing."""
        # First what is pending: it goes from there when it is in the catalog already.
        pending = [self._pending.get(ObjectId(object_id)) for object_id in ids]
        locations = []
        with self._catalog.read() as transaction:
            for object_id, held in zip(ids, pending, strict=True):
                location = transaction.location(object_id)
                if location is None:
                    if held is None:
                        message = f"object {object_id.hex()} is missing: no pack has it"
                        raise IntegrityError(message)
                    location = held[0]
                locations.append(location)
        return locations

    @contextmanager
    def _noting_damage(self, ids: Sequence[bytes]) -> Iterator[None]:
        """Remember objects that cannot be read, so that they are stored when they come again."""
        try:
            yield
        except IntegrityError:
            self._damaged.update(ids)
            raise
