"""Applying the edits of a group to volumes, each wholly or not at all.

What is common to both kinds of commit: into the journal of a store that this machine has for
itself, and to refs that several gateways move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cas.applying import Applier
from cas.catalog import Head, ReadTransaction, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.done import find_done, note_done
from cas.errors import ExpiredError, NotFoundError, QuotaError, StoreError
from cas.journal import Change
from cas.locks import HeldLocks, Locks
from cas.objects import Entry
from cas.operations import Applied, Attach, Operation, Put, PutFolder, ReplaceRoot
from cas.paths import Names, join_names, split_path
from cas.registry import Registry, VolumeInfo, head_of
from cas.reliance import Reliance
from cas.snapshots import snapshot_tree
from cas.trees import TreeNodes, TreeShape
from cas.working_tree import WorkingTree


class TreeState:
    """A volume as an edit finds it inside the commit; what an edit's checks look at."""

    def __init__(self, tree: WorkingTree, locks: HeldLocks) -> None:
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
    is_condemned: bool = False
    """Nothing came of it: some of what it leans on is in packs that are about to be deleted."""


@dataclass(slots=True, eq=False)
class ChangedVolume:
    """One volume while a group is applied to it; `info` is None once it has been deleted."""

    head: Head
    tree: WorkingTree
    snapshots: WorkingTree
    locks: HeldLocks
    info: VolumeInfo | None
    changes: list[Change] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


class Effects(Protocol):
    """What a request does to the catalog beside its changes."""

    def find_done(self, request: Request, now_ns: int) -> tuple[int, int] | None:
        """Return the numbers of a request's changes if it was carried out before."""

    def note_done(self, request: Request, now_ns: int) -> None:
        """Remember that a request was carried out."""

    def drop_locks(self, volume_id: bytes, names: Names) -> None:
        """End the locks at a path and below it."""


class DirectEffects:
    """Effects that take place at once, in the transaction that moves the heads."""

    def __init__(self, transaction: WriteTransaction, locks: Locks) -> None:
        self._transaction = transaction
        self._locks = locks

    def find_done(self, request: Request, now_ns: int) -> tuple[int, int] | None:
        """Return the numbers of a request's changes if it was carried out before."""
        return find_done(self._transaction, request.volume_id, request.author, request.key, now_ns)

    def note_done(self, request: Request, now_ns: int) -> None:
        """Remember that a request was carried out."""
        done = request.sequence_before, request.sequence
        note_done(self._transaction, request.volume_id, request.author, request.key, done, now_ns)

    def drop_locks(self, volume_id: bytes, names: Names) -> None:
        """End the locks at a path and below it."""
        self._locks.drop_below(self._transaction, volume_id, names)


class GroupApplier:
    """Applies requests to the heads that a transaction sees. Shared by threads."""

    def __init__(
        self,
        chunks: ChunkStore,
        shape: TreeShape,
        locks: Locks,
        registry: Registry,
        clock: Clock,
        has_content: Callable[[bytes, ReadTransaction], bool],
    ) -> None:
        """`has_content` says whether an object that an operation puts is stored."""
        self._chunks = chunks
        self._shape = shape
        self._locks = locks
        self._registry = registry
        self._clock = clock
        self._has_content = has_content

    def apply(
        self,
        transaction: ReadTransaction,
        nodes: TreeNodes,
        effects: Effects,
        group: Iterable[Request],
    ) -> dict[bytes, ChangedVolume]:
        """Apply what can be applied; return the volumes, of which some may not have changed.

        What cannot be has its error in the request.
        """
        volumes: dict[bytes, ChangedVolume] = {}
        for request in group:
            volume = volumes.get(request.volume_id)
            if volume is None:
                volume = self._open(transaction, nodes, request.volume_id)
                volumes[request.volume_id] = volume
            volume.requests.append(request)
            try:
                self._apply(transaction, volume, effects, request)
            except Exception as error:  # noqa: BLE001 - a check may raise anything; its caller gets it
                request.error = error
        return volumes

    def _open(
        self, transaction: ReadTransaction, nodes: TreeNodes, volume_id: bytes
    ) -> ChangedVolume:
        head = head_of(transaction, volume_id)
        return ChangedVolume(
            head,
            WorkingTree(nodes, self._shape, head.root),
            snapshot_tree(nodes, self._shape, head),
            self._locks.view(transaction, volume_id),
            self._registry.volume(transaction, volume_id),
        )

    def _apply(
        self,
        transaction: ReadTransaction,
        volume: ChangedVolume,
        effects: Effects,
        request: Request,
    ) -> None:
        """Apply one request wholly or not at all."""
        if volume.info is None:
            raise NotFoundError("this volume has been deleted")
        if self._find_done(effects, request):
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
            effects.drop_locks(request.volume_id, names)
        request.sequence_before = volume.head.sequence + len(volume.changes)
        volume.changes += applier.changes
        request.sequence = volume.head.sequence + len(volume.changes)
        if request.key:
            effects.note_done(request, self._clock.now_ns())

    def _find_done(self, effects: Effects, request: Request) -> bool:
        """Return whether the same request was carried out before; tell it what came of that."""
        if not request.key:
            return False
        found = effects.find_done(request, self._clock.now_ns())
        if found is not None:
            request.sequence_before, request.sequence = found
            request.was_done = True
        return found is not None

    def _check_content(self, transaction: ReadTransaction, operation: Operation) -> None:
        """Raise where an operation puts what is not, or not any more, stored here."""
        if isinstance(operation, Put):
            content_id = operation.content.id
        elif isinstance(operation, PutFolder | Attach | ReplaceRoot):
            entry = operation.entry
            content_id = entry.content if entry.is_directory or entry.is_file else b""
        else:
            return
        if content_id and not self._has_content(content_id, transaction):
            if isinstance(operation, Attach | ReplaceRoot):
                raise ExpiredError("the content of this version is not kept any more")
            raise StoreError("the content is not stored here: send the data again", transient=True)


def _applied(operation: Operation, changes: list[Change], tree: WorkingTree) -> Applied:
    path = join_names(operation.path)
    if not changes:  # a directory that was to be made with its parents was there already
        entry = tree.get(operation.path)
        return Applied(operation, path, entry, entry)
    return Applied(operation, path, changes[-1].old, changes[-1].new)


def _check_quota(volume: ChangedVolume, size_before: int) -> None:
    size = volume.tree.size
    quota = volume.info.quota if volume.info else None
    if quota is not None and size > quota and size > size_before:
        message = f"the quota of {quota} bytes is too small for {size} bytes"
        raise QuotaError(message)
