"""This process's open packs: what is appended, synced, entered in the catalog, and sealed.

New objects are appended at once. Where they lie is known to this process only (`pending`) until a
commit or the sealing of their pack has synced them and told the catalog.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cas.catalog import Catalog, Location, PackRow, PackState, WriteTransaction
from cas.errors import CasError, StoreError
from cas.ids import ObjectId
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind, Record
from cas.packs import OpenPack, PackWriter, locations_of, open_pack_pattern
from cas.reliance import Reliance
from cas.sealing import Sealing
from cas.stores.base import BlobStore

_ORDINALS_KEPT: Final = 64
_Place = tuple[Location, OpenPack]


@dataclass(slots=True)
class Flushed:
    """What a commit made durable and wrote into its transaction."""

    packs: set[OpenPack]
    pending: dict[ObjectId, _Place]


class OpenPacks:
    """The packs that this process appends to, one of each kind at a time. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        directory: Path,
        process_id: bytes,
        expect: Callable[[int, PackRow], None],
        sealing: Sealing | None = None,
    ) -> None:
        """`expect` is told of a new pack, by its ordinal, before the catalog is."""
        self._catalog = catalog
        self._store = store
        self._directory = directory
        self._process_id = process_id
        self._expect = expect
        self._sealing = sealing
        self._lock = threading.Lock()
        self._pending: dict[ObjectId, _Place] = {}
        self._to_seal: list[OpenPack] = []
        self._ordinals: list[int] = []
        self._writers = self._make_writers()

    @property
    def leaves_packs(self) -> bool:
        """Whether packs of this process are among the open ones; once closed, failed ones."""
        return any(self._directory.glob(open_pack_pattern(self._process_id)))

    def pending(self, object_id: bytes) -> _Place | None:
        """Return where an object lies that the catalog need not know of yet."""
        return self._pending.get(ObjectId(object_id))

    def append(self, kind: PackKind, records: list[Record], relies: Reliance) -> None:
        """Append objects to the open pack of this kind, and seal what gets full.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; nothing refers to what was
                written.
        """
        self.refill_ordinals()
        written, full = self._writers[kind].append(records)
        locations = ((pack, location) for pack, batch in written for location in batch)
        with self._lock:
            for record, (pack, location) in zip(records, locations, strict=True):
                relies.packs.add(pack)
                self._pending[record.id] = (location, pack)
        self._seal_all(full)

    def write(self, kind: PackKind, records: list[Record]) -> None:
        """Append objects and return once they are durable and the catalog finds them here.

        For upkeep that moves what is stored: a write leaves both to its commit.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; the catalog is as it was.
        """
        relies = Reliance()
        self.append(kind, records, relies)
        self.sync(relies)  # not while all commits wait
        with self._catalog.write() as transaction:
            flushed = self.flush(transaction, [relies])
        self.confirm(flushed)

    def append_journal(
        self, number: int, record: Record, relies: Reliance, names: Iterable[Reliance] = ()
    ) -> None:
        """Append the journal record of this number to the open data pack, behind the chunks.

        It may be on the disk at any moment afterwards, and must not be there without what it
        `names`. So all of that is synced before, but for what lies in the same pack: recovery
        sees what is missing there. If the pack gets full meanwhile, it is one of the others.

        Raises:
            StoreError, StoreFullError: a sync failed, or the append.
        """
        writer = self._writers[PackKind.DATA]
        named = {pack for reliance in names for pack in reliance.packs}
        appended = None
        while appended is None:
            current = writer.current
            for pack in named - {current}:
                self._sync(pack)
            appended = writer.append_to(current, record, number)
        pack, full = appended
        relies.packs.add(pack)
        # Sealing needs a transaction of its own and the caller has one open: `confirm` does it.
        with self._lock:
            self._to_seal += full

    def sync(self, relies: Reliance) -> None:
        """Return once all that the reliance names would survive a power cut.

        Raises:
            StoreError: it may not.
        """
        for pack in relies.packs:
            self._sync(pack)

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
                row = self._open_row(pack)
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

    def _make_writers(self) -> dict[PackKind, PackWriter]:
        return {
            kind: PackWriter(lambda kind=kind: self._make_pack(kind))  # type: ignore[misc]
            for kind in (PackKind.DATA, PackKind.TREE)
        }

    def _announce_sealed(self, pack: OpenPack) -> None:
        """Tell the catalog of the pack and of the records that no commit has entered.

        The file is still where it was.
        """
        size, records = pack.size, len(pack.places)
        state = PackState.SEALED
        row = PackRow(pack.id, pack.kind, state, self._process_id, size, records, pack.key_number)
        with self._catalog.write() as transaction:
            transaction.put_pack(pack.ordinal, row)
            transaction.put_locations(locations_of(pack.ordinal, pack.places, pack.entered))

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
        pack = OpenPack(self._directory, self._process_id, kind, ordinal, self._sealing)
        self._expect(ordinal, self._open_row(pack))
        return pack

    def _open_row(self, pack: OpenPack) -> PackRow:
        state = PackState.OPEN
        return PackRow(pack.id, pack.kind, state, self._process_id, key_number=pack.key_number)
