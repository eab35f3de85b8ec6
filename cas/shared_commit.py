"""Group commits of a gateway: one pack and one moved ref for all edits of a volume that wait.

The order is what makes it safe. In the machine's turn: look at the refs; apply the group to the
heads, in memory alone; store one pack with the chunks that are left, the new nodes, the changes
and the commits; then move each ref, if nobody else has. Who loses applies the same edits to the
newer head. Only then does the catalog learn of it, and the edits are answered.

Every request is about one volume, so a ref for each volume is enough: what a group does to one
volume stands or falls by itself.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from cas.catalog import COMMIT_RESERVE, Catalog, ReadTransaction, WriteTransaction
from cas.change_list import named_roots, write_changes
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.disk import file_lock
from cas.done import find_done, note_done
from cas.errors import CasError, StoreError
from cas.formats import REGISTRY_ID
from cas.gateway import Gateway, KnownRef, newest_packs, set_head
from cas.group import ChangedVolume, GroupApplier, Request
from cas.group_queue import GroupQueue
from cas.ids import Kind, ObjectId
from cas.journal import Commit
from cas.locks import Locks
from cas.nodes import MemoryNodes, NodeStore
from cas.objects import encode
from cas.pack_index import NamedPack
from cas.packs import OpenPack
from cas.paths import Names
from cas.processes import Process
from cas.refs import SharedRef
from cas.registry import Registry
from cas.reliance import Reliance
from cas.rescuing import Rescue
from cas.shared_packs import SharedPacks
from cas.trees import TreeShape

_TRIES: Final = 512
"""How often a group is applied to a newer head before it is given up: others never let it pass."""
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.1
"""So short that who has lost often does not try the less for it: one rival always wins."""
_logger = logging.getLogger(__name__)


class LateEffects:
    """Effects that wait until the refs have moved."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self._transaction = transaction
        self._done: dict[tuple[bytes, str, str], Request] = {}
        self._unlocked: list[tuple[bytes, Names]] = []

    def find_done(self, request: Request, now_ns: int) -> tuple[int, int] | None:
        """Return the numbers of a request's changes if it was carried out before."""
        twin = self._done.get((request.volume_id, request.author, request.key))
        if twin is not None:
            return twin.sequence_before, twin.sequence
        return find_done(self._transaction, request.volume_id, request.author, request.key, now_ns)

    def note_done(self, request: Request, now_ns: int) -> None:
        """Remember that a request was carried out."""
        self._done[request.volume_id, request.author, request.key] = request

    def drop_locks(self, volume_id: bytes, names: Names) -> None:
        """End the locks at a path and below it."""
        self._unlocked.append((volume_id, names))

    def write(self, transaction: WriteTransaction, volume_id: bytes, now_ns: int) -> None:
        """Remember which of one volume's edits were carried out."""
        for (done_in, author, key), request in self._done.items():
            if done_in == volume_id:
                done = request.sequence_before, request.sequence
                note_done(transaction, volume_id, author, key, done, now_ns)

    def unlock(self, volume_id: bytes, locks: Locks) -> None:
        """End the locks that one volume's edits have ended.

        The edits are there whatever comes of it: a lock that stays ends with its time.
        """
        gone = [names for locked_in, names in self._unlocked if locked_in == volume_id]
        if not gone:
            return
        try:
            locks.drop(volume_id, gone)
        except StoreError as error:
            _logger.warning("locks on what is gone stay until their time is up: %s", error)


class _Made(NamedTuple):
    """A commit that is about to be named by a ref."""

    volume: ChangedVolume
    known: KnownRef
    commit_id: ObjectId
    commit: Commit
    pack: OpenPack


class SharedCommitter:
    """Commits edits to a blob store that gateways share. Shared by threads, one per process."""

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
        gateway: Gateway,
        lock_path: Path,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`pause` waits for so many seconds, where another gateway was faster."""
        self._catalog = catalog
        self._chunks = chunks
        packs = chunks.open_packs
        if not isinstance(packs, SharedPacks):
            raise TypeError("these packs are of this machine alone")
        self._packs = packs
        self._nodes = nodes
        self._rescue = Rescue(catalog, chunks, nodes)
        self._locks = locks
        self._process = process
        self._clock = clock
        self._gateway = gateway
        self._lock_path = lock_path
        self.pause = pause
        self._applier = GroupApplier(
            chunks, shape, locks, registry, clock, lambda content_id, _: chunks.finds(content_id)
        )
        self.queue = GroupQueue(self._commit_group)
        self.has_committed = False
        """Whether this process has changed anything."""

    def commit(self, request: Request) -> None:
        """Return once the request's operations are in the blob store and visible to all.

        Raises:
            CasError: they were not carried out; none of them is visible. After a StoreError
                nobody can tell: the blob store did not answer.
        """
        for _ in range(_TRIES):
            self.queue.commit(request)
            if not request.is_condemned:
                return
            # Here, where nobody waits for it: it may be much.
            self._rescue.run(request.operations, request.relies)
            _reset(request)
            request.is_done = False
        raise StoreError("what is to be put is collected all the time", transient=True)

    def _commit_group(self, group: list[Request]) -> None:
        try:
            self._packs.refill_ordinals()
            with file_lock(self._lock_path, wait=True):
                self._commit_all(group)
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

    def _commit_all(self, group: list[Request]) -> None:
        """Apply the group, and what lost against another gateway again, until all is done."""
        waiting = group
        for number in range(_TRIES):
            waiting = self._try(waiting)
            if not waiting:
                return
            for request in waiting:
                _reset(request)
            longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**number)
            self.pause(random.uniform(0, longest))  # noqa: S311 - so that rivals part
        raise StoreError("other gateways write to this volume all the time", transient=True)

    def _try(self, group: list[Request]) -> list[Request]:
        """Commit what can be committed now; return the requests that another was faster than."""
        volume_ids = dict.fromkeys([REGISTRY_ID, *(request.volume_id for request in group)])
        for volume_id in volume_ids:
            self._gateway.freshen(volume_id)
        known = {volume_id: self._gateway.known(volume_id) for volume_id in volume_ids}
        if not all(each.commit for each in known.values()):
            # A ref that no collection may have fenced: what is condemned by now counts for it.
            self._gateway.learn_epoch()
        with self._catalog.read() as transaction:
            epoch = transaction.epoch()
            if any(each.ref and each.ref.min_epoch > epoch for each in known.values()):
                return group  # fenced since it was asked for
            nodes = MemoryNodes(self._nodes)
            effects = LateEffects(transaction)
            for request in group:
                request.is_condemned = bool(request.relies.unfit(transaction))
            fit = [request for request in group if not request.is_condemned]
            volumes = self._applier.apply(transaction, nodes, effects, fit)
        changed = {key: volume for key, volume in volumes.items() if volume.changes}
        lost: list[Request] = []
        for key, volume in list(changed.items()):
            if known[key].ref is None:
                self._gateway.open_ref(key)
            if known[key].ref is None or known[key].commit != volume.head.commit:
                lost += volume.requests  # another process of this machine was faster
                del changed[key]
        if changed:
            lost += self._store(changed, known, nodes, effects, epoch)
        return lost

    def _store(
        self,
        volumes: dict[bytes, ChangedVolume],
        known: dict[bytes, KnownRef],
        nodes: MemoryNodes,
        effects: LateEffects,
        epoch: int,
    ) -> list[Request]:
        """Store what is new and move the refs; return the requests of those that had moved."""
        relies = Reliance(self._process.rely())
        made = [
            self._make(volume_id, volume, known[volume_id], nodes, relies)
            for volume_id, volume in sorted(volumes.items())
        ]
        packs = set(relies.packs)
        for volume in volumes.values():
            for request in volume.requests:
                if request.error is None:
                    packs |= request.relies.packs
        self._packs.store(packs)
        lost: list[Request] = []
        for each in made:
            # Who took a lock meanwhile must not see this edit come behind it.
            if self._locks.is_current(each.volume.locks) and self._move(each, packs, epoch):
                self._enter(each, effects)
            else:
                lost += each.volume.requests
        return lost

    def _make(
        self,
        volume_id: bytes,
        volume: ChangedVolume,
        known: KnownRef,
        nodes: MemoryNodes,
        relies: Reliance,
    ) -> _Made:
        """Write what a volume's new commit names, and the commit, to the open pack."""
        head = volume.head
        root, snapshots = volume.tree.flush(), volume.snapshots.flush().content
        nodes.settle([snapshots, *named_roots(root, volume.changes)], relies)
        commit = Commit(
            volume_id,
            head.commit,
            root,
            snapshots,
            head.sequence + 1,
            head.sequence + len(volume.changes),
            max(self._clock.now_ns(), head.commit_time_ns),
            write_changes(self._chunks, volume.changes, relies),
            0,
        )
        own = Reliance()
        commit_id = self._chunks.put_anew(Kind.COMMIT, encode(commit), own)
        relies.include(own)
        return _Made(volume, known, commit_id, commit, next(iter(own.packs)))

    def _move(self, made: _Made, packs: set[OpenPack], epoch: int) -> bool:
        """Move the ref; whoever moves it next knows the epoch in which this was looked up."""
        ref = made.known.ref
        # The commit's own comes last: no other commit of this volume has it.
        brought = [*(packs - {made.pack}), made.pack]
        stored = [NamedPack(pack.id, pack.size) for pack in brought]
        moved = SharedRef(
            made.commit.volume_id,
            made.commit_id,
            made.commit.last_sequence,
            0,
            b"",
            secrets.token_bytes(16),
            epoch if ref is None else max(ref.min_epoch, epoch),
            newest_packs(ref, stored),
        )
        return self._gateway.move(moved, made.known.token)

    def _enter(self, made: _Made, effects: LateEffects) -> None:
        """Tell the catalog of a commit, which is there whatever happens from now on."""
        self.has_committed = True
        volume_id = made.commit.volume_id
        now_ns = self._clock.now_ns()
        with self._catalog.write(reserve=COMMIT_RESERVE) as transaction:
            effects.write(transaction, volume_id, now_ns)
            head = transaction.head(volume_id)
            if head is None or head.commit_sequence < made.commit.last_sequence:
                set_head(transaction, made.commit_id, made.commit)
            self._process.advance(transaction)
        effects.unlock(volume_id, self._locks)
        self._gateway.tell(volume_id)


def _reset(request: Request) -> None:
    """Forget what came of a request on a head that is not the newest any more."""
    request.error = None
    request.outcome.clear()
    request.was_done = request.is_condemned = False
    request.failed = None
    request.sequence = request.sequence_before = 0
