"""Group commit: operations of many requests, one journal record, one sync, one transaction.

Requests queue; whoever gets the lock first commits all that wait and answers them. The order is
what makes it safe: apply to the head, append the journal record behind the chunks it tells of,
sync the packs, commit the catalog, answer. A crash before the sync loses nothing that was
answered; a crash after it is made good by replaying the record.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from cas.applying import Applier
from cas.catalog import COMMIT_RESERVE, Catalog, Head, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.done import find_done, note_done
from cas.errors import CasError, ExpiredError, InvalidError, NotFoundError, QuotaError, StoreError
from cas.formats import PLAIN_SIZE_LIMIT
from cas.journal import Batch, Change, JournalRecord
from cas.locks import LockTable, LockView
from cas.nodes import CommitNodes, NodeStore
from cas.objects import Entry, encode
from cas.operations import Applied, Attach, Operation, Put, PutFolder, ReplaceRoot
from cas.paths import join_names, split_path
from cas.processes import Process
from cas.registry import Registry, VolumeInfo, head_of
from cas.reliance import Reliance
from cas.snapshots import snapshot_tree
from cas.trees import TreeShape
from cas.working_tree import WorkingTree

_GROUP_OPERATIONS: Final = 2000
_logger = logging.getLogger(__name__)


class TreeState:
    """A volume as an edit finds it inside the commit; what an edit's checks look at."""

    def __init__(self, tree: WorkingTree, locks: LockView) -> None:
        self._tree = tree
        self.locks = locks

    def get(self, path: str) -> Entry | None:
        """Return the entry at the path, or None."""
        return self._tree.get(split_path(path))

    def entry(self, path: str) -> Entry:
        """Return the entry at the path.

        Raises:
            NotFoundError: there is none.
        """
        entry = self.get(path)
        if entry is None:
            message = f"{path!r} does not exist"
            raise NotFoundError(message)
        return entry

    def list(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield names and entries of a folder, in order."""
        for name, entry in self._tree.children(split_path(path)):
            yield join_names((name,)), entry


Check = Callable[[TreeState], None]
"""Looks at the state that an edit is about to change; raises to refuse the edit."""


@dataclass(slots=True, eq=False)
class Request:
    """An edit that waits to be committed, and then what came of it."""

    volume_id: bytes
    operations: Sequence[Operation]
    author: str = ""
    device: str = ""
    lock_tokens: frozenset[str] = frozenset()
    key: str = ""
    checks: Sequence[Check] = ()
    relies: Reliance = field(default_factory=Reliance)
    is_done: bool = False
    error: BaseException | None = None
    outcome: list[Applied] = field(default_factory=list)
    sequence_before: int = 0
    sequence: int = 0
    was_done: bool = False
    failed: int | None = None
    """The index of the operation that could not be carried out."""


class _TooLargeError(InvalidError):
    """The changes of a group do not fit in one journal record."""


class _Volume:
    """One volume while a group is applied to it; `info` is None once it has been deleted."""

    def __init__(
        self,
        head: Head,
        tree: WorkingTree,
        snapshots: WorkingTree,
        locks: LockView,
        info: VolumeInfo | None,
    ) -> None:
        self.head = head
        self.tree = tree
        self.snapshots = snapshots
        self.locks = locks
        self.info = info
        self.changes: list[Change] = []


class Committer:
    """Commits edits to the heads of a repository. Shared by threads, one per process."""

    def __init__(
        self,
        catalog: Catalog,
        chunks: ChunkStore,
        nodes: NodeStore,
        shape: TreeShape,
        locks: LockTable,
        registry: Registry,
        process: Process,
        clock: Clock,
        recover: Callable[[WriteTransaction], None],
    ) -> None:
        self._catalog = catalog
        self._chunks = chunks
        self._nodes = nodes
        self._shape = shape
        self._locks = locks
        self._registry = registry
        self._process = process
        self._clock = clock
        self._recover = recover
        self._queue: list[Request] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()
        self._given_up: JournalRecord | None = None
        self.has_committed = False
        """Whether this process has changed anything."""

    def commit(self, request: Request) -> None:
        """Return once the request's operations are durable and visible.

        Raises:
            CasError: they were not carried out; none of them is visible.
        """
        with self._queue_lock:
            self._queue.append(request)
        with self._commit_lock:
            while not request.is_done:
                self._commit_group(self._take_group())
        if request.error is not None:
            raise request.error

    def _take_group(self) -> list[Request]:
        """Take what waits, as far as one journal record should hold it."""
        with self._queue_lock:
            size = count = 0
            while count < len(self._queue) and (not count or size < _GROUP_OPERATIONS):
                size += len(self._queue[count].operations)
                count += 1
            group, self._queue = self._queue[:count], self._queue[count:]
        if not group:
            raise StoreError("a commit was interrupted; it may have happened", transient=True)
        return group

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
                volumes = self._apply_group(transaction, group)
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

    def _apply_group(
        self, transaction: WriteTransaction, group: list[Request]
    ) -> dict[bytes, _Volume]:
        """Apply what can be applied; return the volumes that changed, their heads written."""
        volumes: dict[bytes, _Volume] = {}
        for request in group:
            volume = volumes.get(request.volume_id)
            if volume is None:
                volume = volumes[request.volume_id] = self._open(transaction, request.volume_id)
            try:
                self._apply(transaction, volume, request)
            except Exception as error:  # noqa: BLE001 - a check may raise anything; its caller gets it
                request.error = error
        return {volume_id: volume for volume_id, volume in volumes.items() if volume.changes}

    def _open(self, transaction: WriteTransaction, volume_id: bytes) -> _Volume:
        head = head_of(transaction, volume_id)
        nodes = CommitNodes(self._nodes, transaction)
        return _Volume(
            head,
            WorkingTree(nodes, self._shape, head.root),
            snapshot_tree(nodes, self._shape, head),
            self._locks.view(transaction, volume_id),
            self._registry.volume(transaction, volume_id),
        )

    def _apply(self, transaction: WriteTransaction, volume: _Volume, request: Request) -> None:
        """Apply one request wholly or not at all."""
        if volume.info is None:
            raise NotFoundError("this volume has been deleted")
        if self._find_done(transaction, request):
            return
        request.relies.check(transaction.epoch())
        mark, snapshots_mark = volume.tree.mark(), volume.snapshots.mark()
        size = volume.tree.size
        applier = Applier(
            volume.tree,
            volume.snapshots,
            self._chunks.identifier,
            author=request.author,
            device=request.device,
            time_ns=self._clock.now_ns(),
            locks=volume.locks,
            lock_tokens=request.lock_tokens,
            key=request.key,
        )
        try:
            state = TreeState(volume.tree, volume.locks)
            for check in request.checks:
                check(state)
            for index, operation in enumerate(request.operations):
                request.failed = index
                self._check_content(transaction, operation)
                made = len(applier.changes)
                applier.apply(operation)
                request.outcome.append(_applied(operation, applier.changes[made:], volume.tree))
            request.failed = None
            _check_quota(volume, size)
        except BaseException:
            volume.tree.undo_to(mark)
            volume.snapshots.undo_to(snapshots_mark)
            request.outcome.clear()
            raise
        for names in applier.unlocked:
            self._locks.drop_below(transaction, request.volume_id, names)
        request.sequence_before = volume.head.sequence + len(volume.changes)
        volume.changes += applier.changes
        request.sequence = volume.head.sequence + len(volume.changes)
        if request.key:
            done = request.sequence_before, request.sequence
            now_ns = self._clock.now_ns()
            note_done(transaction, request.volume_id, request.author, request.key, done, now_ns)

    def _find_done(self, transaction: WriteTransaction, request: Request) -> bool:
        """Return whether the same request was carried out before; tell it what came of that."""
        if not request.key:
            return False
        found = find_done(
            transaction, request.volume_id, request.author, request.key, self._clock.now_ns()
        )
        if found is not None:
            request.sequence_before, request.sequence = found
            request.was_done = True
        return found is not None

    def _check_content(self, transaction: WriteTransaction, operation: Operation) -> None:
        """Raise where an operation puts what is not, or not any more, stored here."""
        if isinstance(operation, Put):
            content_id = operation.content.id
        elif isinstance(operation, PutFolder | Attach | ReplaceRoot):
            entry = operation.entry
            content_id = entry.content if entry.is_directory or entry.is_file else b""
        else:
            return
        if content_id and not self._chunks.contains(content_id, transaction):
            if isinstance(operation, Attach | ReplaceRoot):
                raise ExpiredError("the content of this version is not kept any more")
            raise StoreError("the content is not stored here: send the data again", transient=True)

    def _make_record(
        self, transaction: WriteTransaction, volumes: dict[bytes, _Volume]
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


def _applied(operation: Operation, changes: list[Change], tree: WorkingTree) -> Applied:
    path = join_names(operation.path)
    if not changes:  # a directory that was to be made with its parents was there already
        entry = tree.get(operation.path)
        return Applied(operation, path, entry, entry)
    return Applied(operation, path, changes[-1].old, changes[-1].new)


def _check_quota(volume: _Volume, size_before: int) -> None:
    size = volume.tree.size
    quota = volume.info.quota if volume.info else None
    if quota is not None and size > quota and size > size_before:
        message = f"the quota of {quota} bytes is too small for {size} bytes"
        raise QuotaError(message)
