"""Making good what a process left behind when it died.

Its open packs are cut at the last sound record and sealed; journal records that reached the disk
but not the catalog are replayed. This happens under the catalog's write lock, before the next
commit of any process, so that two records can never compete for one place in the journal. The
work is bounded by the size of two packs, whatever the size of the store.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from cas.catalog import PackRow, PackState, WriteTransaction
from cas.compression import decompress
from cas.disk import StoreErrors, sync_directory
from cas.errors import CasError, IntegrityError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.ids import Identifier, Kind
from cas.journal import JournalRecord
from cas.journal_replay import FoundPack, JournalEntry, JournalReplay
from cas.nodes import NodeStore
from cas.objects import decode
from cas.pack_reader import pack_blob_name
from cas.packfile import (
    HEADER_SIZE,
    Footer,
    PackKind,
    RecordPlace,
    decode_header,
    encode_footer,
    encode_header,
    read_footer,
    scan,
)
from cas.packs import locations_of, open_pack_name, open_pack_pattern
from cas.processes import Process
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
        found = [pack for process_id, _ in dead for pack in self._find(transaction, process_id)]
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
            ),
        )
        transaction.put_locations(locations_of(ordinal, places))

    def read_pack(self, path: Path, pack_id: bytes, after: int) -> FoundPack:
        """Return what a pack file holds: by its footer, or by its records where that is damaged.

        Of the journal, only what is beyond record number `after`: nobody needs the rest again,
        so damage to it does no harm.

        Raises:
            FormatError: a newer program wrote it.
        """
        with StoreErrors(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            descriptor = file.fileno()

            def read_at(offset: int, length: int) -> bytes:
                return os.pread(descriptor, length, offset)

            try:
                footer = read_footer(read_at, size)
                is_sealed = True
            except IntegrityError:
                scanned = scan(read_at, size, pack_id)
                footer = Footer([p for p, stored in scanned if self._is_genuine(p, stored)])
                is_sealed = False
            try:
                kind, _ = decode_header(read_at(0, HEADER_SIZE))
            except IntegrityError:
                kind = _kind_of(footer.places)
                _logger.exception("the header of %s is damaged; its records are used", path)
            journal: list[JournalEntry] = []
            is_whole = True
            for place in footer.places if footer.last_journal > after or not is_sealed else ():
                if place.kind is Kind.JOURNAL:
                    stored = read_at(place.end - place.stored_size, place.stored_size)
                    try:
                        journal.append(self._journal_entry(place, stored))
                    except IntegrityError:
                        is_whole = False
                        _logger.exception("a journal record in %s is damaged", path)
        if not is_sealed:
            numbers = [entry.record.number for entry in journal]
            footer = Footer(footer.places, min(numbers, default=0), max(numbers, default=0))
        needed = [entry for entry in journal if entry.record.number > after]
        return FoundPack(pack_id, kind, size, footer, needed, is_whole, is_sealed)

    def seal_file(self, path: Path, after: int) -> FoundPack | None:
        """Seal an open pack whose process is gone, where it is; None, and no file, if empty.

        What is behind the last sound record goes: it was never synced, so nobody was told that
        it is stored. What is there is synced, a footer of the dead process too: others will
        lean on it. Of the journal, what is beyond record number `after` is returned.
        """
        found = self.read_pack(path, bytes.fromhex(path.stem.partition("-")[2]), after)
        if not found.footer.places:
            path.unlink()
            return None
        footer = encode_footer(found.footer)
        with StoreErrors(), path.open("r+b") as file:
            if not found.is_sealed:
                file.write(encode_header(found.kind, found.id))
                file.truncate(found.end)
                file.seek(found.end)
                file.write(footer)
                file.flush()
            os.fsync(file.fileno())
            sync_directory(path.parent)
        if found.is_sealed:
            return found
        return found._replace(size=found.end + len(footer), is_sealed=True)

    def _find(self, transaction: WriteTransaction, process_id: bytes) -> list[FoundPack]:
        """Seal and enter the packs of a dead process, wherever it left them."""
        packs = []
        known, _ = transaction.journal_end()
        for path in sorted(self._directory.glob(open_pack_pattern(process_id))):
            pack = self.seal_file(path, known)
            if pack is not None:
                self.enter(transaction, pack, process_id)
                packs.append(pack)
        seen = {pack.id for pack in packs}
        for _, row in list(transaction.packs()):
            if row.state is PackState.OPEN and row.process == process_id and row.id not in seen:
                packs += self._find_moved(transaction, row)
        return packs

    def _find_moved(self, transaction: WriteTransaction, row: PackRow) -> list[FoundPack]:
        """Enter a pack that its process moved to the blob store, but could not say so."""
        path = self._store.local_path(pack_blob_name(row.id))
        if path is None or not path.exists():
            _logger.error("pack %s of a process that died is missing", row.id.hex())
            return []
        found = self.read_pack(path, row.id, transaction.journal_end()[0])
        self.enter(transaction, found)
        return [found]

    def _is_genuine(self, place: RecordPlace, stored: bytes) -> bool:
        """Whether a record that a scan found is what its id says."""
        try:
            plaintext = decompress(place.codec, stored, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        except CasError:
            return False
        return self._identifier.identify(place.kind, plaintext) == place.id

    def _journal_entry(self, place: RecordPlace, stored: bytes) -> JournalEntry:
        encoded = decompress(place.codec, stored, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        if self._identifier.identify(Kind.JOURNAL, encoded) != place.id:
            message = f"journal record {place.id.hex()} is damaged"
            raise IntegrityError(message)
        return JournalEntry(place.id, encoded, decode(encoded, JournalRecord))


def _kind_of(places: list[RecordPlace]) -> PackKind:
    in_data = {Kind.CHUNK, Kind.JOURNAL}
    return PackKind.DATA if any(place.kind in in_data for place in places) else PackKind.TREE
