"""Replaying journal records that packs hold and the catalog lacks.

The records follow from each other by number and id, and what each leads to is proven by the root
that it names: a replay knows whether it has all, and cannot go astray in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cas.catalog import WriteTransaction
from cas.done import note_replayed
from cas.errors import REPAIR_HINT, CasError, IntegrityError, MissingObjectError
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import Batch, JournalRecord
from cas.nodes import CommitNodes, NodeStore
from cas.objects import TreeNode, decode
from cas.pack_reader import PackFile, StoredPack, pack_blob_name, sealed_pack
from cas.packfile import HEADER_SIZE, RECORD_OVERHEAD, Footer, PackKind
from cas.packs import open_pack_name
from cas.records import open_record
from cas.registry import head_of
from cas.replaying import replay
from cas.sealing import PackSeal
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


class Loss(NamedTuple):
    """What a rebuild had to give up; `volume_id` is empty where it is not known whose it was."""

    volume_id: bytes
    message: str


class FoundPack(NamedTuple):
    """What a pack file holds; `is_sealed` says that it has a footer already.

    `journal` are those journal records that were asked for; `is_journal_whole` is False if one
    of them is damaged, and is not among them. `torn_at` is where, before the newest journal
    record, bytes are missing that a power cut may have left out; None is the rule. `seal` opens
    what is encrypted.
    """

    id: bytes
    kind: PackKind
    size: int
    footer: Footer
    journal: list[JournalEntry]
    is_journal_whole: bool
    is_sealed: bool
    torn_at: int | None = None
    seal: PackSeal | None = None

    @property
    def key_number(self) -> int:
        """The number of the key that encrypts it, 0 where none does."""
        return 0 if self.seal is None else self.seal.key_number

    @property
    def end(self) -> int:
        """Offset of the first byte behind the records."""
        return self.footer.places[-1].end if self.footer.places else HEADER_SIZE


class JournalReplay:
    """Replays journal records inside a transaction that has entered their packs."""

    def __init__(
        self,
        store: BlobStore,
        nodes: NodeStore,
        shape: TreeShape,
        identifier: Identifier,
        open_directory: Path,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._shape = shape
        self._identifier = identifier
        self._directory = open_directory

    def all(self, transaction: WriteTransaction, packs: Sequence[FoundPack]) -> None:
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
                message = (
                    f"the journal is broken between records {number} and {record.number}, where "
                    f"a pack is missing: {REPAIR_HINT}"
                )
                raise IntegrityError(message)
            self._replay(transaction, record)
            transaction.put_journal(record.number, entry.id, entry.encoded)
            _logger.info("replayed journal record %d", record.number)
        number, _ = transaction.journal_end()
        for pack in packs:
            if not pack.is_journal_whole and pack.footer.last_journal > number:
                message = (
                    f"pack {pack.id.hex()} is damaged where it has the newest changes, up to "
                    f"journal record {pack.footer.last_journal}: {REPAIR_HINT}"
                )
                raise IntegrityError(message)

    def rest(
        self, transaction: WriteTransaction, packs: Sequence[FoundPack]
    ) -> tuple[list[Batch], list[Loss]]:
        """Apply what can be applied of a journal that is damaged; return that, and what cannot be.

        Each volume goes on as long as its changes follow each other. What came of them is proven
        by the root that each batch names. The caller enters the batches in a new journal.
        """
        applied: list[Batch] = []
        losses: dict[bytes, Loss] = {}
        for entry in _in_force([entry for pack in packs for entry in pack.journal]):
            for batch in entry.record.batches:
                volume_id = batch.volume_id
                sequence = head_of(transaction, volume_id).sequence
                if volume_id in losses or batch.sequence <= sequence:
                    continue
                try:
                    if batch.sequence != sequence + 1:
                        raise IntegrityError("those before them cannot be read")
                    self._replay_batch(transaction, batch)
                except CasError as error:
                    message = f"all changes from number {sequence + 1} on are lost: {error}"
                    losses[volume_id] = Loss(volume_id, message)
                else:
                    applied.append(batch)
        return applied, list(losses.values())

    def _replay(self, transaction: WriteTransaction, record: JournalRecord) -> None:
        for batch in record.batches:
            if batch.sequence > head_of(transaction, batch.volume_id).sequence:
                self._replay_batch(transaction, batch)
            # else a commit that the rebuild found holds these changes already

    def _replay_batch(self, transaction: WriteTransaction, batch: Batch) -> None:
        head = head_of(transaction, batch.volume_id)
        nodes = self._nodes_within(transaction)
        tree = WorkingTree(nodes, self._shape, head.root)
        snapshots = snapshot_tree(nodes, self._shape, head)
        for change in batch.changes:
            replay(tree, snapshots, change)
        root = tree.flush()
        if root != batch.root:
            message = f"the changes from number {batch.sequence} on do not lead where they did"
            raise IntegrityError(message)
        sequence = head.sequence + len(batch.changes)
        new = msgspec.structs.replace(
            head, root=root, sequence=sequence, snapshots=snapshots.flush().content
        )
        transaction.put_head(batch.volume_id, new)
        note_replayed(transaction, batch)

    def _nodes_within(self, transaction: WriteTransaction) -> _AdoptedNodes:
        def read(object_id: bytes) -> bytes | None:
            location = transaction.location(object_id)
            pack = None if location is None else transaction.pack(location.pack)
            if location is None or pack is None:
                return None
            source: PackFile | StoredPack
            if pack.process:
                source = PackFile(self._directory / open_pack_name(pack.process, pack.id))
            else:
                source = sealed_pack(self._store, pack_blob_name(pack.id), pack.size)
            stored = source.read_at(location.offset + RECORD_OVERHEAD, location.stored_size)
            sealing = self._identifier.sealing
            seal = None if sealing is None else sealing.pack(pack.id, pack.key_number)
            return bytes(
                open_record(self._identifier, Kind.TREE_NODE, object_id, location, stored, seal)
            )

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
