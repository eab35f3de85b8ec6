"""Making good what a process left behind when it died.

Its open packs are cut at the last sound record and sealed; journal records that reached the disk
but not the catalog are replayed. This happens under the catalog's write lock, before the next
commit of any process, so that two records can never compete for one place in the journal. The
work is bounded by the size of two packs, whatever the size of the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from cas.applying import replay
from cas.catalog import Location, PackRow, PackState, WriteTransaction
from cas.compression import decompress
from cas.disk import StoreErrors, sync_directory
from cas.errors import FormatError, IntegrityError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import JournalRecord
from cas.nodes import CommitNodes, NodeStore
from cas.objects import decode
from cas.pack_reader import pack_blob_name
from cas.packfile import (
    HEADER_SIZE,
    Footer,
    PackKind,
    RecordPlace,
    decode_header,
    encode_footer,
    read_footer,
    scan,
)
from cas.processes import Process
from cas.registry import head_of
from cas.stores.base import BlobStore
from cas.trees import TreeShape
from cas.working_tree import WorkingTree

_logger = logging.getLogger(__name__)


class JournalEntry(NamedTuple):
    """A journal record that was found in a pack: its id, bytes and content."""

    id: ObjectId
    encoded: bytes
    record: JournalRecord


class FoundPack(NamedTuple):
    """What a pack file holds."""

    id: bytes
    kind: PackKind
    size: int
    places: list[RecordPlace]
    journal: list[JournalEntry]


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
        self._nodes = nodes
        self._shape = shape
        self._identifier = identifier
        self._process = process
        self._directory = open_directory

    def adopt_dead(self, transaction: WriteTransaction) -> None:
        """Tidy up after every registered process that has died.

        Raises:
            IntegrityError: the journal does not continue what the catalog holds.
        """
        for process_id, _ in self._process.others(transaction):
            if not self._process.is_alive(process_id):
                self._adopt(transaction, process_id)

    def adopt_files(self, transaction: WriteTransaction, paths: Iterable[Path]) -> None:
        """Seal open packs whose processes are gone, and replay their journal records."""
        found = [pack for path in paths if (pack := self.seal_file(path)) is not None]
        for pack in found:
            self.enter(transaction, pack)
        self.replay_all(transaction, [entry for pack in found for entry in pack.journal])

    def enter(self, transaction: WriteTransaction, pack: FoundPack) -> None:
        """Tell the catalog of a sealed pack and where its records lie."""
        ordinal = transaction.pack_ordinal(pack.id)
        if ordinal is None:
            ordinal = transaction.reserve_ordinals(1)
        records = len(pack.places)
        transaction.put_pack(
            ordinal,
            PackRow(pack.id, pack.kind, PackState.SEALED, size=pack.size, records=records),
        )
        rows = [
            (
                place.id,
                Location(
                    ordinal,
                    place.offset,
                    place.stored_size,
                    place.plain_size,
                    number,
                    place.kind,
                    place.codec,
                ),
            )
            for number, place in enumerate(pack.places)
            if place.kind is not Kind.JOURNAL
        ]
        transaction.put_locations(sorted(rows))

    def replay_all(self, transaction: WriteTransaction, entries: list[JournalEntry]) -> None:
        """Apply the journal records that the catalog lacks, in the order of their numbers.

        Raises:
            IntegrityError: one does not follow from the one before it.
        """
        voided = {entry.record.voids for entry in entries if entry.record.voids}
        for entry in sorted(entries, key=lambda entry: entry.record.number):
            number, previous = transaction.journal_end()
            record = entry.record
            if record.number <= number or record.voids or entry.id in voided:
                continue
            if record.number != number + 1 or record.previous != previous:
                message = f"the journal is broken between records {number} and {record.number}"
                raise IntegrityError(message)
            self._replay(transaction, record)
            transaction.put_journal(record.number, entry.id, entry.encoded)
            _logger.info("replayed journal record %d", record.number)

    def read_pack(self, path: Path) -> FoundPack | None:
        """Return what a pack file holds, by its footer if it has one; None if it is no pack."""
        with StoreErrors(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            descriptor = file.fileno()

            def read_at(offset: int, length: int) -> bytes:
                return os.pread(descriptor, length, offset)

            try:
                kind, pack_id = decode_header(read_at(0, HEADER_SIZE))
            except FormatError:
                return None
            try:
                places = read_footer(read_at, size).places
                is_sealed = True
            except IntegrityError:
                places = [place for place, _ in scan(read_at)]
                is_sealed = False
            journal = [
                self._journal_entry(
                    place, read_at(place.end - place.stored_size, place.stored_size)
                )
                for place in places
                if place.kind is Kind.JOURNAL
            ]
        if not is_sealed:
            size = _cut_and_end(path, places, journal)
        return FoundPack(pack_id, kind, size, places, journal)

    def _adopt(self, transaction: WriteTransaction, process_id: bytes) -> None:
        _logger.warning("a process ended without closing the repository: recovering")
        self.adopt_files(transaction, sorted(self._directory.glob(f"{process_id.hex()}-*.pack")))
        for ordinal, pack in list(transaction.packs()):
            if pack.state is PackState.OPEN and pack.process == process_id:
                self._enter_renamed(transaction, ordinal, pack)
        self._process.forget(transaction, process_id)

    def _enter_renamed(self, transaction: WriteTransaction, ordinal: int, pack: PackRow) -> None:
        """Enter a pack that its process sealed, but could not say so."""
        path = self._store.local_path(pack_blob_name(pack.id))
        found = self.read_pack(path) if path is not None and path.exists() else None
        if found is None:
            message = f"pack {pack.id.hex()} (number {ordinal}) of a dead process is missing"
            _logger.error(message)
            return
        self.enter(transaction, found)
        self.replay_all(transaction, found.journal)

    def seal_file(self, path: Path) -> FoundPack | None:
        """Seal an open pack whose process is gone; return what it holds, None if nothing."""
        found = self.read_pack(path)
        if found is None or not found.places:
            path.unlink()
            return None
        self._store.put_file(pack_blob_name(found.id), path)
        return found

    def _journal_entry(self, place: RecordPlace, stored: bytes) -> JournalEntry:
        encoded = decompress(place.codec, stored, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        if self._identifier.identify(Kind.JOURNAL, encoded) != place.id:
            message = f"journal record {place.id.hex()} is damaged"
            raise IntegrityError(message)
        return JournalEntry(place.id, encoded, decode(encoded, JournalRecord))

    def _replay(self, transaction: WriteTransaction, record: JournalRecord) -> None:
        for batch in record.batches:
            head = head_of(transaction, batch.volume_id)
            if batch.sequence <= head.sequence:
                continue  # a commit that the rebuild found holds these changes already
            tree = WorkingTree(CommitNodes(self._nodes, transaction), self._shape, head.root)
            for change in batch.changes:
                replay(tree, change)
            root = tree.flush()
            if root != batch.root:
                message = f"journal record {record.number} does not lead where it did"
                raise IntegrityError(message)
            sequence = head.sequence + len(batch.changes)
            transaction.put_head(
                batch.volume_id, msgspec.structs.replace(head, root=root, sequence=sequence)
            )


def _cut_and_end(path: Path, places: list[RecordPlace], journal: list[JournalEntry]) -> int:
    """Cut a pack behind its last sound record, write its footer, sync; return its size."""
    end = places[-1].end if places else HEADER_SIZE
    numbers = [entry.record.number for entry in journal]
    footer = encode_footer(Footer(places, min(numbers, default=0), max(numbers, default=0)))
    with StoreErrors(), path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(footer)
        file.flush()
        os.fsync(file.fileno())
        sync_directory(path.parent)
    return end + len(footer)
