"""Making good what a process left behind when it died.

Its open packs are cut at the last sound record and sealed; journal records that reached the disk
but not the catalog are replayed. This happens under the catalog's write lock, before the next
commit of any process, so that two records can never compete for one place in the journal. The
work is bounded by the size of two packs, whatever the size of the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from cas.catalog import Location, PackRow, PackState, WriteTransaction
from cas.compression import decompress
from cas.disk import StoreErrors, sync_directory
from cas.errors import CasError, IntegrityError, NotFoundError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import JournalRecord
from cas.journal_replay import FoundPack, JournalEntry, JournalReplay
from cas.nodes import NodeStore
from cas.objects import decode
from cas.pack_reader import PackFile, StoredPack, pack_blob_name, sealed_pack
from cas.packfile import (
    HEADER_SIZE,
    Footer,
    PackHeader,
    PackKind,
    ReadAt,
    RecordPlace,
    decode_header,
    encode_footer,
    encode_header,
    read_footer,
    scan,
    torn_at,
    unseal,
)
from cas.packs import locations_of, open_pack_name, open_pack_pattern
from cas.processes import Process
from cas.sealing import PackSeal
from cas.stores.base import BlobStore
from cas.trees import TreeShape

_logger = logging.getLogger(__name__)


class Recovery:
    """Adopts the packs of dead processes and replays their journal records."""

    def __init__(
        self,
        store: BlobStore,
        nodes: NodeStore,
        shape: TreeShape,
        identifier: Identifier,
        process: Process,
        open_directory: Path,
    ) -> None:
        self._store = store
        self.replay = JournalReplay(store, nodes, shape, identifier, open_directory)
        self._identifier = identifier
        self._process = process
        self._directory = open_directory

    def adopt_dead(self, transaction: WriteTransaction) -> None:
        """Enter what every process that has died left behind, and replay its journal records.

        All of them together, since each may hold the record that another's follows from. Their
        packs are sealed where they are; `move_adopted` moves them once this is committed.

        Raises:
            IntegrityError: the journal does not continue what the catalog holds.
        """
        dead = [
            (process_id, row)
            for process_id, row in self._process.others(transaction)
            if not row.is_adopted and not self._process.is_alive(process_id)
        ]
        if not dead:
            return
        _logger.warning("recovering from %d processes that ended without closing", len(dead))
        found = self._find(transaction, {process_id for process_id, _ in dead})
        self.replay.all(transaction, found)
        for process_id, row in dead:
            transaction.put_process(process_id, msgspec.structs.replace(row, is_adopted=True))

    def move_adopted(self, transaction: WriteTransaction) -> None:
        """Move the packs of adopted processes to the blob store and forget the processes."""
        adopted = {p for p, row in self._process.others(transaction) if row.is_adopted}
        if not adopted:
            return
        for ordinal, pack in list(transaction.packs()):
            if pack.state is PackState.OPEN and pack.process in adopted:
                path = self._directory / open_pack_name(pack.process, pack.id)
                if path.exists():
                    self._store.put_file(pack_blob_name(pack.id), path)
                transaction.put_pack(
                    ordinal, msgspec.structs.replace(pack, state=PackState.SEALED, process=b"")
                )
        for process_id in adopted:
            self._process.forget(transaction, process_id)

    def enter(self, transaction: WriteTransaction, pack: FoundPack, process: bytes = b"") -> None:
        """Tell the catalog of a sealed pack and where its records lie.

        `process` is that of the pack's open file, where it is still there.
        """
        transaction.put_locations(self._enter(transaction, pack, process))

    def enter_all(self, transaction: WriteTransaction, packs: Sequence[FoundPack]) -> None:
        """Do what `enter` does for sealed packs, in the order of the ids: several times as fast."""
        rows: list[tuple[ObjectId, Location]] = []
        for pack in packs:
            rows += self._enter(transaction, pack, b"")
        transaction.put_locations(sorted(rows, key=lambda row: row[0]))

    def _enter(
        self, transaction: WriteTransaction, pack: FoundPack, process: bytes
    ) -> list[tuple[ObjectId, Location]]:
        """Tell the catalog of a pack; return where its records lie."""
        ordinal = transaction.pack_ordinal(pack.id)
        if ordinal is None:
            ordinal = transaction.reserve_ordinals(1)
        places = pack.footer.places
        transaction.put_pack(
            ordinal,
            PackRow(
                pack.id,
                pack.kind,
                PackState.OPEN if process else PackState.SEALED,
                process,
                pack.size,
                len(places),
                pack.key_number,
            ),
        )
        return locations_of(ordinal, places)

    def read_pack(self, source: PackFile | StoredPack, pack_id: bytes, after: int) -> FoundPack:
        """Return what a sealed pack holds: by its footer, or by its records if that is damaged.

        Of the journal, only what is beyond record number `after`: nobody needs the rest again,
        so damage to it does no harm.

        Raises:
            FormatError: a newer program wrote it.
        """
        return self._read_pack(source, pack_id, after, is_open=False)

    def seal_files(
        self, paths: Sequence[Path], after: int, newest_elsewhere: Callable[[], int]
    ) -> list[tuple[Path, FoundPack]]:
        """Seal the open packs of all processes that are gone, where they are; an empty one goes.

        What is behind the last sound record goes: it was never synced, so nobody was told that
        it is stored. The same holds for the newest journal record if something before it was
        torn out, and no other record follows from it: `newest_elsewhere` gives the highest number
        of those that are not in these packs. What is there is synced, a footer of the dead
        process too: others will lean on it. Of the journal, what is beyond record number `after`
        is returned.
        """
        found = [
            (path, self._read_pack(PackFile(path), _id_of(path), after, is_open=True))
            for path in paths
        ]
        newest = max((pack.footer.last_journal for _, pack in found), default=0)
        sealed = []
        for path, pack in found:
            is_newest = pack.footer.last_journal == newest
            if pack.torn_at is not None and is_newest and newest > newest_elsewhere():
                _logger.warning(
                    "journal record %d in %s was never acknowledged: what was written before it "
                    "is not on the disk; it is given up",
                    newest,
                    path,
                )
                _cut(path, pack.torn_at)
                file = PackFile(path)
                pack = self._read_pack(file, pack.id, after, is_open=True)  # noqa: PLW2901
            if pack.footer.places:
                sealed.append((path, _seal(path, pack)))
            else:
                path.unlink()
        return sealed

    def _read_pack(
        self, source: PackFile | StoredPack, pack_id: bytes, after: int, *, is_open: bool
    ) -> FoundPack:
        size, read_at = source.size(), source.read_at
        # Far away each look takes time, and the footer says what the header does but for the key.
        is_needed = is_open or self._identifier.sealing is not None
        header = self._header(read_at, pack_id) if is_needed else None
        seal, footer, is_sealed = self._footer(read_at, size, pack_id, header, is_open=is_open)
        kind = _kind_of(footer.places) if header is None else header.kind
        journal: list[tuple[int, JournalEntry]] = []
        is_whole = True
        is_asked_for = footer.last_journal > after or not is_sealed
        for index, place in enumerate(footer.places if is_asked_for else ()):
            if place.kind is Kind.JOURNAL:
                stored = read_at(place.end - place.stored_size, place.stored_size)
                try:
                    journal.append((index, self._journal_entry(place, stored, seal)))
                except IntegrityError:
                    is_whole = False
                    _logger.exception("a journal record in pack %s is damaged", pack_id.hex())
        torn_at = None
        if not is_sealed:
            numbers = [entry.record.number for _, entry in journal]
            footer = Footer(footer.places, min(numbers, default=0), max(numbers, default=0))
            torn_at = _torn_at(read_at, footer, journal) if is_open else None
        needed = [entry for _, entry in journal if entry.record.number > after]
        return FoundPack(pack_id, kind, size, footer, needed, is_whole, is_sealed, torn_at, seal)

    def _header(self, read_at: ReadAt, pack_id: bytes) -> PackHeader | None:
        is_sealed = self._identifier.sealing is not None
        try:
            return decode_header(read_at(0, HEADER_SIZE), is_sealed=is_sealed)
        except IntegrityError:
            _logger.exception(
                "the header of pack %s is damaged; its records are used", pack_id.hex()
            )
            return None

    def _footer(
        self,
        read_at: ReadAt,
        size: int,
        pack_id: bytes,
        header: PackHeader | None,
        *,
        is_open: bool,
    ) -> tuple[PackSeal | None, Footer, bool]:
        """Return what seals a pack, what it holds, and whether it has a footer that says so.

        That of an open pack may be on the disk while what it tells of is not: it was not synced.
        Where the header does not tell the key, or tells a wrong one, it is the one that opens
        something.
        """
        for seal in self._seals(pack_id, header):
            try:
                footer = read_footer(read_at, size, seal)
            except IntegrityError:
                footer = None
            if footer is not None and not is_open:
                return seal, footer, True
            scanned = scan(read_at, size, pack_id, seal)
            places = [place for place, stored in scanned if self._is_genuine(place, stored, seal)]
            if footer is not None and footer.places == places:
                return seal, footer, True
            if places or seal is None:
                return seal, Footer(places), False
        return next(self._seals(pack_id, header)), Footer([]), False

    def _seals(self, pack_id: bytes, header: PackHeader | None) -> Iterator[PackSeal | None]:
        """Yield what may open a pack, the likeliest first; None where nothing is encrypted."""
        sealing = self._identifier.sealing
        if sealing is None:
            yield None
            return
        number = 0 if header is None else header.key_number
        seals = list(sealing.candidates(pack_id))
        yield from sorted(seals, key=lambda seal: seal.key_number != number)

    def _find(self, transaction: WriteTransaction, dead: AbstractSet[bytes]) -> list[FoundPack]:
        """Seal and enter the packs of dead processes, wherever they left them."""
        known, _ = transaction.journal_end()
        paths = {
            path: process_id
            for process_id in sorted(dead)
            for path in sorted(self._directory.glob(open_pack_pattern(process_id)))
        }
        packs = []
        for path, pack in self.seal_files(list(paths), known, lambda: known):
            self.enter(transaction, pack, paths[path])
            packs.append(pack)
        seen = {pack.id for pack in packs}
        for _, row in list(transaction.packs()):
            if row.state is PackState.OPEN and row.process in dead and row.id not in seen:
                packs += self._find_moved(transaction, row)
        return packs

    def _find_moved(self, transaction: WriteTransaction, row: PackRow) -> list[FoundPack]:
        """Enter a pack that its process moved to the blob store, but could not say so."""
        name = pack_blob_name(row.id)
        try:
            source = sealed_pack(self._store, name, self._store.size(name))
        except NotFoundError:
            _logger.error("pack %s of a process that died is missing", row.id.hex())  # noqa: TRY400
            return []
        found = self.read_pack(source, row.id, transaction.journal_end()[0])
        self.enter(transaction, found)
        return [found]

    def _is_genuine(self, place: RecordPlace, stored: bytes, seal: PackSeal | None) -> bool:
        """Whether a record that a scan found is what its id says."""
        try:
            opened = unseal(seal, place, stored)
            plaintext = decompress(place.codec, opened, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        except CasError:
            return False
        return self._identifier.identify(place.kind, plaintext) == place.id

    def _journal_entry(
        self, place: RecordPlace, stored: bytes, seal: PackSeal | None
    ) -> JournalEntry:
        opened = unseal(seal, place, stored)
        encoded = decompress(place.codec, opened, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        if self._identifier.identify(Kind.JOURNAL, encoded) != place.id:
            message = f"journal record {place.id.hex()} is damaged"
            raise IntegrityError(message)
        return JournalEntry(place.id, encoded, decode(encoded, JournalRecord))


def _kind_of(places: list[RecordPlace]) -> PackKind:
    in_data = {Kind.CHUNK, Kind.JOURNAL}
    return PackKind.DATA if any(place.kind in in_data for place in places) else PackKind.TREE


def _id_of(path: Path) -> bytes:
    return bytes.fromhex(path.stem.partition("-")[2])


def _torn_at(
    read_at: ReadAt, footer: Footer, journal: Sequence[tuple[int, JournalEntry]]
) -> int | None:
    """Return where bytes are missing that a power cut may have left out before the newest record.

    Everything up to the journal record before that was synced when it was written.
    """
    newest = [
        index
        for index, entry in journal
        if entry.record.number == footer.last_journal and not entry.record.voids
    ]
    if not newest:
        return None
    last = newest[-1]
    first = max((index + 1 for index, _ in journal if index < last), default=0)
    return torn_at(read_at, footer.places[: last + 1], first)


def _cut(path: Path, size: int) -> None:
    """Make a file shorter for good, before anything else is written where it ended.

    What would be written there must not make good what was torn out, as seen after another crash.
    """
    with StoreErrors(), path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _seal(path: Path, pack: FoundPack) -> FoundPack:
    """Make a pack of what is sound in an open pack's file, and sync it."""
    footer = encode_footer(pack.footer, pack.seal)
    with StoreErrors(), path.open("r+b") as file:
        if not pack.is_sealed:
            file.write(encode_header(pack.kind, pack.id, pack.key_number))
            file.truncate(pack.end)
            file.seek(pack.end)
            file.write(footer)
            file.flush()
        os.fsync(file.fileno())
        sync_directory(path.parent)
    if pack.is_sealed:
        return pack
    return pack._replace(size=pack.end + len(footer), is_sealed=True)
