"""Checkpoints: young tree nodes move from the catalog's nursery into a pack, changes into commits.

A checkpoint opens a new generation of the nursery, walks what the heads and the changes since the
last one reach in it, writes that to a tree pack, makes a commit per changed volume and moves its
ref. Roots that were superseded in between cost nothing. The old generation is dropped whole once
no live process leans on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from cas.catalog import Catalog, Head, ReadTransaction, WriteTransaction
from cas.change_list import named_roots, write_changes
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.disk import file_lock
from cas.errors import REBUILD_HINT, IntegrityError
from cas.formats import REGISTRY_ID
from cas.ids import Kind, ObjectId
from cas.journal import Change, Commit, JournalRecord
from cas.nodes import NodeStore
from cas.objects import decode, encode
from cas.processes import Process
from cas.refs import move_ref, new_ref
from cas.reliance import Reliance
from cas.seen import SeenStates
from cas.stores.base import BlobStore


class _Snapshot(NamedTuple):
    """What a checkpoint covers."""

    heads: list[tuple[bytes, Head]]
    changes: dict[bytes, list[Change]]
    number: int
    record_id: bytes


class Checkpointer:
    """Makes checkpoints; one at a time over all processes."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        chunks: ChunkStore,
        nodes: NodeStore,
        process: Process,
        clock: Clock,
        lock_path: Path,
        seen: SeenStates,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._chunks = chunks
        self._nodes = nodes
        self._process = process
        self._clock = clock
        self._lock_path = lock_path
        self._seen = seen

    def checkpoint(self, *, wait: bool = False) -> bool:
        """Write what is young to packs and refs; return False where there was nothing to do.

        Returns False as well while another process is at it, unless it is to `wait` for that
        one's end.

        Raises:
            StoreError: the disk failed or is full; the next checkpoint does it all.
            IntegrityError: the catalog is damaged; nothing has been moved on the strength of it.
        """
        with file_lock(self._lock_path, wait=wait) as is_mine:
            if not is_mine:
                return False
            is_made = self._checkpoint()
        if is_made and self._store.is_staging:  # the refs wait until what is open is sealed
            with self._catalog.write() as transaction:
                transaction.ask_for_sealing()
        return is_made

    def restore_refs(self) -> None:
        """Write the refs of all volumes anew, by what the catalog holds.

        Raises:
            StoreError: the disk failed or is full; call it again.
            IntegrityError: the catalog is damaged.
        """
        with file_lock(self._lock_path, wait=True):
            self._checkpoint()
            with self._catalog.read() as reading:
                heads = reading.heads()
                number, record_id = reading.journal_end()
                oldest = next(reading.journal(), None)
            is_covered = all(head.sequence == head.commit_sequence for _, head in heads)
            if oldest is not None and not is_covered:  # what the commits cover ends before it
                record = decode(oldest, JournalRecord)
                number, record_id = record.number - 1, record.previous
            heads.sort(key=lambda each: each[0] == REGISTRY_ID)  # whose ref moves last
            for volume_id, head in heads:
                if head.commit:
                    commit = ObjectId(head.commit)
                    ref = new_ref(volume_id, commit, head.commit_sequence, number, record_id)
                    move_ref(self._store, self._chunks.identifier, ref)

    def is_due(self, nursery_limit: int) -> bool:
        """Return whether the nursery takes more than `nursery_limit` bytes."""
        with self._catalog.read() as transaction:
            return transaction.nursery_size() > nursery_limit

    def _checkpoint(self) -> bool:
        snapshot = self._begin()
        if snapshot is None:
            return False
        relies = Reliance(self._process.rely())
        commits = self._write(snapshot, relies)
        self._finish(snapshot, commits, relies)
        return True

    def _begin(self) -> _Snapshot | None:
        with self._catalog.write() as transaction:
            self._process.advance(transaction)
            self._drop_if_free(transaction)
            heads = [
                (key, head)
                for key, head in transaction.heads()
                if head.sequence > head.commit_sequence
            ]
            if not heads:
                return None
            if transaction.nursery_is_empty(transaction.generation() + 1):
                transaction.open_generation()
            number, record_id = transaction.journal_end()
        changes: dict[bytes, list[Change]] = {key: [] for key, _ in heads}
        # After a rebuild the journal may hold what the commit of a volume's ref holds already.
        committed = {key: head.commit_sequence for key, head in heads}
        for record in self._journal(number, record_id):
            for batch in record.batches:
                if batch.sequence > committed.get(batch.volume_id, batch.sequence):
                    changes[batch.volume_id] += batch.changes
        return _Snapshot(heads, changes, number, record_id)

    def _journal(self, last: int, last_id: bytes) -> Iterator[JournalRecord]:
        """Yield the journal records up to the last, of which the id is known.

        Raises:
            IntegrityError: a record is not the one that the next one follows from.
        """
        previous = b""
        with self._catalog.read() as reading:
            for encoded in reading.journal():
                record = decode(encoded, JournalRecord)
                if record.number > last:
                    break
                if previous not in {b"", record.previous}:
                    raise _damaged_journal(record.number - 1)
                previous = self._chunks.journal_id(encoded)
                yield record
        if previous != last_id:
            raise _damaged_journal(last)

    def _write(self, snapshot: _Snapshot, relies: Reliance) -> dict[bytes, tuple[ObjectId, Commit]]:
        """Write nodes, change lists and commits to the open tree pack and make them durable."""
        commits: dict[bytes, tuple[ObjectId, Commit]] = {}
        written: set[bytes] = set()
        for volume_id, head in snapshot.heads:
            changes = snapshot.changes[volume_id]
            roots = [head.snapshots, *named_roots(head.root, changes)]
            self._nodes.settle(roots, relies, written)
            commit = Commit(
                volume_id,
                head.commit,
                head.root,
                head.snapshots,
                head.commit_sequence + 1,
                head.sequence,
                max(self._clock.now_ns(), head.commit_time_ns),
                write_changes(self._chunks, changes, relies),
                snapshot.number,
            )
            commit_id = self._chunks.put_node(Kind.COMMIT, encode(commit), relies)
            commits[volume_id] = (commit_id, commit)
        self._chunks.open_packs.sync(relies)
        return commits

    def _finish(
        self,
        snapshot: _Snapshot,
        commits: dict[bytes, tuple[ObjectId, Commit]],
        relies: Reliance,
    ) -> None:
        """Move the refs, the registry's last, then tell the catalog of the commits.

        In this order: what the catalog drops from its journal is in a ref's commit, whatever
        happens in between. A checkpoint that was cut off in between is made again.
        """
        with self._catalog.read() as reading:
            relies.check(reading.epoch())
        self._move_refs(snapshot, commits)
        with self._catalog.write() as transaction:
            flushed = self._chunks.open_packs.flush(transaction, [relies])
            for volume_id, (commit_id, commit) in commits.items():
                head = transaction.head(volume_id)
                if head is not None:
                    transaction.put_head(
                        volume_id,
                        msgspec.structs.replace(
                            head,
                            commit=commit_id,
                            commit_sequence=commit.last_sequence,
                            commit_time_ns=commit.time_ns,
                        ),
                    )
            transaction.delete_journal(snapshot.number)
        self._chunks.open_packs.confirm(flushed)
        with self._catalog.write() as transaction:
            self._drop_if_free(transaction)

    def _move_refs(
        self, snapshot: _Snapshot, commits: dict[bytes, tuple[ObjectId, Commit]]
    ) -> None:
        moves = {key: (commit_id, made.last_sequence) for key, (commit_id, made) in commits.items()}
        registry = moves.pop(REGISTRY_ID, None)
        if registry is None:
            with self._catalog.read() as transaction:
                head = transaction.head(REGISTRY_ID)
            if head is not None and head.commit:
                registry = ObjectId(head.commit), head.commit_sequence
        if registry is not None:
            moves[REGISTRY_ID] = registry
        for volume_id, (commit_id, sequence) in moves.items():
            ref = new_ref(volume_id, commit_id, sequence, snapshot.number, snapshot.record_id)
            move_ref(self._store, self._chunks.identifier, ref)
        self._seen.note({volume_id: sequence for volume_id, (_, sequence) in moves.items()})

    def _drop_if_free(self, transaction: WriteTransaction) -> None:
        """Drop the old generation if its nodes are in packs and nobody leans on it."""
        generation = transaction.generation()
        if transaction.nursery_is_empty(generation + 1) or self._is_unwritten(transaction):
            return
        for process_id, row in self._process.others(transaction):
            if row.generation < generation and self._process.is_alive(process_id):
                return
        if self._process.generation >= generation:
            transaction.drop_old_generation()

    def _is_unwritten(self, transaction: ReadTransaction) -> bool:
        """Whether a checkpoint was begun and its journal records are still there."""
        first = transaction.first_journal()
        return first is not None and first <= transaction.generation_start()


def _damaged_journal(number: int) -> IntegrityError:
    message = f"journal record {number} is damaged in the catalog: {REBUILD_HINT}"
    return IntegrityError(message)
