"""Objects by id: stored once, found again, and checked whenever they are read.

Every read is checked against the id; nothing that fails the check is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cas.catalog import (
    Catalog,
    Location,
    ReadTransaction,
)
from cas.compression import Codec, compress
from cas.disk import require_free_space
from cas.errors import IntegrityError, InvalidError, MissingObjectError
from cas.formats import PLAIN_SIZE_LIMIT, MiB
from cas.ids import Identifier, Kind, ObjectId
from cas.open_packs import OpenPacks
from cas.pack_index import PackIndex, is_found
from cas.pack_reader import MissingPackError, PackReader
from cas.packfile import RECORD_OVERHEAD, PackKind, Record
from cas.records import open_packed, run_end
from cas.reliance import Reliance
from cas.sealing import PackSeal
from cas.shared_packs import SharedPacks
from cas.stores.base import BlobStore

_SHORT_RECORD: Final = 1024
"""Bytes of a journal record up to which compression saves less than its time is worth."""
UPLOAD_RESERVE: Final = 32 * MiB
"""Bytes of the disk that uploads leave free, so that on a full disk one can still look, remove
and restart."""


class ChunkStore:
    """All objects of a repository, seen by one process. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        identifier: Identifier,
        open_directory: Path,
        process_id: bytes,
        chunk_seed: int = 0,
        index: PackIndex | None = None,
    ) -> None:
        """`chunk_seed` decides with a file's content where it is cut, see `cas.chunking`.

        `index` learns of packs that others have stored, where gateways share the blob store.
        """
        self.identifier = identifier
        self.chunk_seed = chunk_seed
        self._catalog = catalog
        self._store = store
        self._directory = open_directory
        sealing = identifier.sealing
        self.reader = PackReader(catalog, store, open_directory, sealing)
        self._damaged: set[bytes] = set()  # found so by a read: stored anew when they come again
        expect = self.reader.expect
        self.index = index
        kind = OpenPacks if index is None else SharedPacks
        self.open_packs = kind(catalog, store, open_directory, process_id, expect, sealing)

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
            self.put_records(records, relies)
        return ids

    def put_packed(self, records: Sequence[Record], relies: Reliance) -> None:
        """Store objects that are not here yet, whose bytes are packed, and checked, already.

        Raises:
            StoreError, StoreFullError: as `put_chunks`.
        """
        new = self._unknown([record.id for record in records], relies)
        unique = {records[index].id: records[index] for index in new}
        if unique:
            self.put_records(list(unique.values()), relies)

    def put_records(self, records: list[Record], relies: Reliance) -> None:
        """Store objects whose bytes are packed already, wherever else they may lie.

        Raises:
            StoreError, StoreFullError: as `put_chunks`.
        """
        stored_size = sum(len(record.stored) for record in records)
        self._store.admit()
        require_free_space(self._directory, stored_size, UPLOAD_RESERVE)
        self._append(PackKind.DATA, records, relies)

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

    def put_anew(self, kind: Kind, plaintext: bytes, relies: Reliance) -> ObjectId:
        """Store an object as `put_node` does, even where it is stored already; return its id."""
        object_id = self.identifier.identify(kind, plaintext)
        record = Record(kind, object_id, len(plaintext), *compress(plaintext))
        self._append(PackKind.TREE, [record], relies)
        return object_id

    def append_journal(
        self, number: int, plaintext: bytes, relies: Reliance, names: Sequence[Reliance] = ()
    ) -> ObjectId:
        """Append a journal record to the open data pack, behind the chunks; return its id.

        What it `names` outside of that pack is synced before.
        """
        record_id = self.journal_id(plaintext)
        packed = compress(plaintext) if len(plaintext) > _SHORT_RECORD else (Codec.RAW, plaintext)
        record = Record(Kind.JOURNAL, record_id, len(plaintext), *packed)
        self.open_packs.append_journal(number, record, relies, names)
        return record_id

    def journal_id(self, plaintext: bytes) -> ObjectId:
        """Return the id of a journal record."""
        return self.identifier.identify(Kind.JOURNAL, plaintext)

    def get(self, kind: Kind, object_id: bytes) -> bytes:
        """Return an object's plaintext, checked.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        location = self.locate([object_id])[0]
        with self._noting_damage([object_id]):
            try:
                seal, stored = self._read_record(location)
            except MissingPackError:
                self.lose(location.pack)
                moved = self.locate([object_id])[0]
                if moved == location:
                    raise
                location = moved
                seal, stored = self._read_record(moved)
            return bytes(self._open(kind, object_id, location, stored, seal)[1])

    def get_chunks(self, ids: Sequence[bytes]) -> Iterator[bytes | memoryview]:
        """Yield the plaintext of these chunks in order, checked; neighbours are read at once.

        Raises:
            IntegrityError: a chunk is missing or damaged.
        """
        return self.read_chunks(ids, self.locate(ids))

    def get_packed(self, ids: Sequence[bytes]) -> Iterator[Record]:
        """Yield these chunks as they are stored, not encrypted, in order; all of them checked.

        Raises:
            IntegrityError: a chunk is missing or damaged.
        """
        found = self._opened_chunks(ids, self.locate(ids))
        for chunk_id, (location, packed, _) in zip(ids, found, strict=True):
            size, codec = location.plain_size, location.codec
            yield Record(Kind.CHUNK, ObjectId(chunk_id), size, codec, packed)

    def read_chunks(
        self, ids: Sequence[bytes], locations: Sequence[Location]
    ) -> Iterator[bytes | memoryview]:
        """As `get_chunks`, where `locate` was asked already."""
        return (plaintext for _, _, plaintext in self._opened_chunks(ids, locations))

    def _opened_chunks(
        self, ids: Sequence[bytes], locations: Sequence[Location]
    ) -> Iterator[tuple[Location, bytes | memoryview, bytes | memoryview]]:
        """Yield where each chunk lies, what the codec made of it, and its plaintext, checked."""
        start = 0
        while start < len(locations):
            stop = run_end(locations, start)
            first = locations[start]
            begin = first.offset
            end = locations[stop - 1].offset + RECORD_OVERHEAD + locations[stop - 1].stored_size
            with self._noting_damage(ids[start:stop]):
                try:
                    seal = self.reader.seal(first.pack)
                    region = memoryview(self.reader.read(first.pack, begin, end - begin))
                except MissingPackError:
                    self.lose(first.pack)
                    moved = self.locate(ids[start:stop])
                    if moved == locations[start:stop]:
                        raise
                    yield from self._opened_chunks(ids[start:stop], moved)
                    start = stop
                    continue
            for index in range(start, stop):
                location, chunk_id = locations[index], ids[index]
                at = location.offset - begin + RECORD_OVERHEAD
                stored = region[at : at + location.stored_size]
                try:
                    opened = self._open(Kind.CHUNK, chunk_id, location, stored, seal)
                except IntegrityError:
                    self._damaged.add(chunk_id)
                    raise
                yield location, *opened
            start = stop

    def contains(self, object_id: bytes, transaction: ReadTransaction | None = None) -> bool:
        """Return whether the object is known, without reading it."""
        # First what is pending: a commit moves it from there to the catalog.
        if self.open_packs.pending(object_id) is not None:
            return True
        if transaction is not None:
            return is_found(transaction, object_id)
        with self._catalog.read() as reading:
            return is_found(reading, object_id)

    def keeps(self, ids: Sequence[bytes], relies: Reliance | None = None) -> bool:
        """Return whether all objects are known, and none only in a pack that is to be deleted.

        What `relies` is given leans on them from then on.
        """
        with self._catalog.read() as transaction:
            condemned = transaction.condemned()
            for object_id in ids:
                if (held := self.open_packs.pending(object_id)) is not None:
                    if relies is not None:
                        relies.packs.add(held[1])
                    continue
                pack = transaction.pack_of(object_id)
                if pack is None or pack in condemned:
                    return False
                if relies is not None:
                    relies.found.add(pack)
        return True

    def stores(self, ids: Sequence[bytes]) -> bool:
        """Return what `keeps` does, where another gateway may have stored them.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        return self.keeps(ids) or (
            self.index is not None and all(map(self.index.find, ids)) and self.keeps(ids)
        )

    def finds(self, object_id: bytes) -> bool:
        """Return whether the object is stored, here or by another gateway.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        return self.contains(object_id) or (self.index is not None and self.index.find(object_id))

    def look_for_new(self) -> bool:
        """Learn of packs that other gateways have stored; return whether there were any.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        return self.index is not None and self.index.look_for_new()

    def epoch(self) -> int:
        """Return how often packs have been condemned."""
        with self._catalog.read() as transaction:
            return transaction.epoch()

    def let_go_of_removed(self) -> None:
        """Close the files of packs that were removed, so that the disk has their room again."""
        self.reader.let_go_of_removed()

    def lose(self, pack: int) -> None:
        """Learn that a pack is gone, where other gateways may have deleted it."""
        if self.index is not None:
            self.index.lose(pack)

    def close(self) -> None:
        """Seal what is open and close the files."""
        try:
            self.open_packs.seal_current()
        finally:
            self.reader.close()

    def _read_record(self, location: Location) -> tuple[PackSeal | None, bytes]:
        start = location.offset + RECORD_OVERHEAD
        seal = self.reader.seal(location.pack)
        return seal, self.reader.read(location.pack, start, location.stored_size)

    def _open(
        self,
        kind: Kind,
        object_id: bytes,
        location: Location,
        stored: bytes | memoryview,
        seal: PackSeal | None,
    ) -> tuple[bytes | memoryview, bytes | memoryview]:
        """Return what `open_packed` does; read anew where that may help."""
        try:
            return open_packed(self.identifier, kind, object_id, location, stored, seal)
        except IntegrityError:
            if not self.reader.doubt(location.pack):
                raise
            seal, stored = self._read_record(location)
            return open_packed(self.identifier, kind, object_id, location, stored, seal)

    def _append(self, kind: PackKind, records: list[Record], relies: Reliance) -> None:
        self.open_packs.append(kind, records, relies)
        self._damaged.difference_update(record.id for record in records)

    def _unknown(self, ids: Sequence[ObjectId], relies: Reliance) -> list[int]:
        """Return the indices of the ids that are not stored yet, or not for long."""
        new = []
        with self._catalog.read() as transaction:
            condemned = transaction.condemned()
            for index, object_id in enumerate(ids):
                held = self.open_packs.pending(object_id)
                if held is not None and not held[1].failed:
                    relies.packs.add(held[1])
                elif object_id in self._damaged or (
                    (pack := transaction.pack_of(object_id)) is None or pack in condemned
                ):
                    new.append(index)
                else:
                    relies.found.add(pack)
        return new

    def locate(self, ids: Sequence[bytes]) -> list[Location]:
        """Return where the objects lie; IntegrityError where one is missing."""
        while True:
            locations = self._known_locations(ids)
            if len(locations) == len(ids):
                return locations
            missing = ids[len(locations)]
            if self.index is None or not self.index.find(missing):
                message = f"object {missing.hex()} is missing: no pack has it"
                raise MissingObjectError(message)

    def _known_locations(self, ids: Sequence[bytes]) -> list[Location]:
        """Return where the objects lie, up to the first that is not known."""
        # First what is pending: it goes from there when it is in the catalog already.
        pending = [self.open_packs.pending(object_id) for object_id in ids]
        locations = []
        with self._catalog.read() as transaction:
            condemned = transaction.condemned()
            for object_id, held in zip(ids, pending, strict=True):
                location = transaction.location(object_id)
                if condemned and not is_found(transaction, object_id, condemned):
                    location = None
                if location is None:
                    if held is None:
                        break
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
