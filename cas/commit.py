"""Group commit: operations of many requests, one journal record, one sync, one transaction.

Requests queue; whoever gets the lock first commits all that wait and answers them. The order is
what makes it safe: apply to the head, append the journal record behind the chunks it tells of,
sync the packs, commit the catalog, answer. A crash before the sync loses nothing that was
answered; a crash after it is made good by replaying the record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from cas.catalog import COMMIT_RESERVE, Catalog, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.errors import CasError, InvalidError, StoreError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.group import ChangedVolume, DirectEffects, GroupApplier, Request
from cas.group_queue import GroupQueue
from cas.journal import Batch, JournalRecord
from cas.locks import Locks
from cas.nodes import CommitNodes, NodeStore
from cas.objects import encode
from cas.processes import Process
from cas.registry import Registry
from cas.reliance import Reliance
from cas.trees import TreeShape

_logger = logging.getLogger(__name__)


class _TooLargeError(InvalidError):
    """The changes of a group do not fit in one journal record."""


class Committer:
    """Commits edits to the heads of a repository. Shared by threads, one per process."""

    def __init__(
        self,
        catalog: Catalog,
        chunks: ChunkStore,
        nodes: NodeStore,
        shape: TreeShape,
        locks: Locks,
        registry: Registry,
        process: Process,
        clock: Clock,
        recover: Callable[[WriteTransaction], None],
    ) -> None:
        self._catalog = catalog
        self._chunks = chunks
        self._nodes = nodes
        self._locks = locks
        self._applier = GroupApplier(chunks, shape, locks, registry, clock, chunks.contains)
        self._process = process
        self._clock = clock
        self._recover = recover
        self.queue = GroupQueue(self._commit_group)
        self._given_up: JournalRecord | None = None
        self.has_committed = False
        """Whether this process has changed anything."""

    def commit(self, request: Request) -> None:
        """Return once the request's operations are durable and visible.

        Raises:
            CasError: they were not carried out; none of them is visible.
        """
        self.queue.commit(request)

    def _commit_group(self, group: list[Request]) -> None:
        try:
            self._chunks.open_packs.refill_ordinals()
            self._void_given_up()
            try:
                self._write_group(group)
            except _TooLargeError:
                if len(group) == 1:
                    raise
                self._commit_apart(group)
        except BaseException as error:
            for request in group:
                if not request.is_done:
                    request.error = request.error or error
                    request.outcome.clear()
            if not isinstance(error, CasError):
                raise
        finally:
            for request in group:
                request.is_done = True

    def _commit_apart(self, group: list[Request]) -> None:
        """Commit each by itself: one that is too large must not take its neighbours along."""
        for request in group:
            request.error = None
            request.outcome.clear()
            self._commit_group([request])

    def _write_group(self, group: list[Request]) -> None:
        record: JournalRecord | None = None
        try:
            with self._catalog.write(reserve=COMMIT_RESERVE) as transaction:
                self._recover(transaction)
                nodes = CommitNodes(self._nodes, transaction)
                effects = DirectEffects(transaction, self._locks)
                applied = self._applier.apply(transaction, nodes, effects, group)
                volumes = {key: volume for key, volume in applied.items() if volume.changes}
                if not volumes:
                    return
                made = self._make_record(transaction, volumes)
                relies = Reliance()
                encoded = _encoded(made)
                reliances = [request.relies for request in group if request.error is None]
                record = made  # from here on it may be on the disk
                record_id = self._chunks.append_journal(record.number, encoded, relies, reliances)
                flushed = self._chunks.open_packs.flush(transaction, [relies, *reliances])
                transaction.put_journal(record.number, record_id, encoded)
        except BaseException:
            self._given_up = record
            self._try_to_void()
            raise
        self.has_committed = True
        try:
            self._chunks.open_packs.confirm(flushed)
        except CasError:
            # What was committed is durable; only a full pack could not be sealed. It is when
            # this process ends, or by the next one.
            _logger.warning("a full pack could not be sealed", exc_info=True)

    def _make_record(
        self, transaction: WriteTransaction, volumes: dict[bytes, ChangedVolume]
    ) -> JournalRecord:
        number, previous = transaction.journal_end()
        batches = []
        for volume_id, volume in sorted(volumes.items()):
            root = volume.tree.flush()
            snapshots = volume.snapshots.flush().content
            head = volume.head
            batches.append(Batch(volume_id, head.sequence + 1, volume.changes, root))
            sequence = head.sequence + len(volume.changes)
            transaction.put_head(
                volume_id,
                msgspec.structs.replace(head, root=root, sequence=sequence, snapshots=snapshots),
            )
        self._process.advance(transaction)
        return JournalRecord(number + 1, previous, self._clock.now_ns(), batches)

    def _void_given_up(self) -> None:
        """Say in the journal that a record was given up, before its number is used again."""
        if self._given_up is not None:
            record_id = self._chunks.journal_id(encode(self._given_up))
            void = JournalRecord(
                self._given_up.number, b"", self._clock.now_ns(), [], voids=record_id
            )
            relies = Reliance()
            self._chunks.append_journal(void.number, encode(void), relies)
            self._chunks.open_packs.sync(relies)
            self._given_up = None

    def _try_to_void(self) -> None:
        try:
            self._void_given_up()
        except StoreError:
            return  # the disk is still full or broken; the next commit begins with it


def _encoded(record: JournalRecord) -> bytes:
    encoded = encode(record)
    if len(encoded) > PLAIN_SIZE_LIMIT:
        raise _TooLargeError("too many operations for one edit: make it several")
    return encoded
