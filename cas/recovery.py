"""Making good what a process left behind when it died.

Its open packs are cut at the last sound record and sealed; journal records that reached the disk
but not the catalog are replayed. This happens under the catalog's write lock, before the next
commit of any process, so that two records can never compete for one place in the journal. The
work is bounded by the size of two packs, whatever the size of the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cas.catalog import PackRow, PackState, WriteTransaction
from cas.compression import decompress
from cas.disk import StoreErrors, sync_directory
from cas.errors import CasError, IntegrityError, MissingObjectError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import JournalRecord
from cas.nodes import CommitNodes, NodeStore
from cas.objects import TreeNode, decode
from cas.pack_reader import pack_blob_name
from cas.packfile import (
    HEADER_SIZE,
    RECORD_OVERHEAD,
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
from cas.records import open_record
from cas.registry import head_of
from cas.replaying import replay
from cas.snapshots import snapshot_tree
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
    """What a pack file holds; `is_sealed` says that it has a footer already.

    `journal` are those journal records that were asked for; `is_journal_whole` is False if one
    of them is damaged, and is not among them.
    """

    id: bytes
    kind: PackKind
    size: int
    footer: Footer
    journal: list[JournalEntry]
    is_journal_whole: bool
    is_sealed: bool

    @property
    def end(self) -> int:
        """Offset of the first byte behind the records."""
        return self.footer.places[-1].end if self.footer.places else HEADER_SIZE


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
        self.replay_all(transaction, found)
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

    def replay_all(self, transaction: WriteTransaction, packs: Sequence[FoundPack]) -> None:
        """Apply the packs' journal records that the catalog lacks, in the order of their numbers.

        Raises:
            IntegrityError: one does not follow from the one before it, or is damaged.
        """
        for entry in _in_force([entry for pack in packs for entry in pack.journal]):
            number, previous = transaction.journal_end()
            record = entry.record
            if record.number <= number:
                continue
            if record.number != number + 1 or record.previous != previous:
                message = f"the journal is broken between records {number} and {record.number}"
                raise IntegrityError(message)
            self._replay(transaction, record)
            transaction.put_journal(record.number, entry.id, entry.encoded)
            _logger.info("replayed journal record %d", record.number)
        number, _ = transaction.journal_end()
        for pack in packs:
            if not pack.is_journal_whole and pack.footer.last_journal > number:
                message = (
                    f"pack {pack.id.hex()} is damaged where it has the newest changes, up to "
                    f"journal record {pack.footer.last_journal}: bring it back from a copy"
                )
                raise IntegrityError(message)

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

    def _replay(self, transaction: WriteTransaction, record: JournalRecord) -> None:
        for batch in record.batches:
            head = head_of(transaction, batch.volume_id)
            if batch.sequence <= head.sequence:
                continue  # a commit that the rebuild found holds these changes already
            nodes = self._nodes_within(transaction)
            tree = WorkingTree(nodes, self._shape, head.root)
            snapshots = snapshot_tree(nodes, self._shape, head)
            for change in batch.changes:
                replay(tree, snapshots, change)
            root = tree.flush()
            if root != batch.root:
                message = f"journal record {record.number} does not lead where it did"
                raise IntegrityError(message)
            sequence = head.sequence + len(batch.changes)
            new = msgspec.structs.replace(
                head, root=root, sequence=sequence, snapshots=snapshots.flush().content
            )
            transaction.put_head(batch.volume_id, new)

    def _nodes_within(self, transaction: WriteTransaction) -> _AdoptedNodes:
        def read(object_id: bytes) -> bytes | None:
            location = transaction.location(object_id)
            pack = None if location is None else transaction.pack(location.pack)
            if location is None or pack is None:
                return None
            path = self._store.local_path(pack_blob_name(pack.id))
            if pack.process:
                path = self._directory / open_pack_name(pack.process, pack.id)
            if path is None:
                return None
            with StoreErrors(), path.open("rb") as file:
                file.seek(location.offset + RECORD_OVERHEAD)
                stored = file.read(location.stored_size)
            return bytes(open_record(self._identifier, Kind.TREE_NODE, object_id, location, stored))

        return _AdoptedNodes(CommitNodes(self._nodes, transaction), read)


class _AdoptedNodes:
    """The tree nodes as a replay sees and makes them, inside its transaction.

    Other reads do not see yet what packs the transaction has entered.
    """

    def __init__(self, nodes: CommitNodes, read: Callable[[bytes], bytes | None]) -> None:
        self._nodes = nodes
        self._read = read

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        try:
            return self._nodes.load_tree_node(node_id)
        except MissingObjectError:
            encoded = self._read(node_id)
            if encoded is None:
                raise
            return decode(encoded, TreeNode)

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node and return its id."""
        return self._nodes.save_tree_node(node)


def _in_force(entries: list[JournalEntry]) -> list[JournalEntry]:
    """Return the records that hold, by number: of two with one number only one does.

    That happens when a process dies between giving a record up and saying so. The one that a
    later record follows from holds, else the one that was written last, by its time.
    """
    voided = {entry.record.voids for entry in entries}
    followed = {entry.record.previous for entry in entries}
    chosen: dict[int, JournalEntry] = {}
    for entry in entries:
        rival = chosen.get(entry.record.number)
        holds = entry.id in followed or entry.id not in voided
        if entry.record.voids or not holds or (rival is not None and rival.id in followed):
            continue
        if rival is None or entry.id in followed or entry.record.time_ns >= rival.record.time_ns:
            chosen[entry.record.number] = entry
    return [entry for _, entry in sorted(chosen.items())]


def _kind_of(places: list[RecordPlace]) -> PackKind:
    in_data = {Kind.CHUNK, Kind.JOURNAL}
    return PackKind.DATA if any(place.kind in in_data for place in places) else PackKind.TREE
