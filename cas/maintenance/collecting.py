"""Collecting garbage beside writers that never stop.

1. Mark what heads, snapshots and kept versions reach.
2. Condemn packs in one transaction, which begins an epoch: from then on nothing that is about to
   be stored is found in them.
3. Wait until no write leans on what it found in an earlier epoch. What a view of an earlier epoch
   showed cannot be put any more (`Reliance.take_over`).
4. Mark again: every state that there has been since. After that, nothing can come to lean on a
   condemned pack.
5. Copy what is live to new packs, forget the rest, and only then delete files.

A pack stays condemned until it is gone, so a collection that was killed goes on where it was. No
clock is needed for safety; the grace period only spares what was just written a second writing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from cas.catalog import Head, PackRow, PackState, ProcessRow
from cas.errors import ConflictError
from cas.formats import REGISTRY_ID
from cas.group import TreeState
from cas.journal import Change, JournalRecord
from cas.kept import EVERYTHING, KeptStates, encode_kept, kept_path, kept_states
from cas.maintenance.dropping import Dropping
from cas.maintenance.emptying import Emptying
from cas.maintenance.forgetting import forget_before
from cas.maintenance.giving_up import forget_lost
from cas.maintenance.keeping import Keeping, commit_marks
from cas.maintenance.marking import Marking
from cas.maintenance.packing import PackUse, packs_to_empty
from cas.maintenance.policies import policies, policy_in, policy_path
from cas.maintenance.policy import VersionPolicy, decide
from cas.maintenance.watching import Patience, WaitedFor, Watcher
from cas.objects import decode
from cas.pack_reader import pack_blob_name
from cas.paths import join_names
from cas.purged import Purged, purged_from
from cas.repository import Repository

_PACKS_AT_ONCE: Final = 8


class CollectionReport(NamedTuple):
    """What a collection did, or would do. Sizes are bytes of packs.

    `condemned_size` is that of the packs to be emptied, of which `live_size` is copied.
    `removed_packs` of `condemned_packs` are gone, and have freed `freed_size`; the others are
    for the next collection. Of those `damaged_packs` hold something live that cannot be read.
    `dropped_volumes` had been deleted, and are not kept any more. `young_packs` are not among the
    `packs`: they were left alone. `dropped_commits` are older than the audit period, with all that
    was changed by them.
    """

    packs: int
    size: int
    condemned_packs: int
    condemned_size: int
    live_size: int
    removed_packs: int
    freed_size: int
    damaged_packs: list[str]
    is_dry_run: bool
    dropped_volumes: int = 0
    young_packs: int = 0
    dropped_commits: int = 0


class Collection:
    """One collection, for one thread: `run` it."""

    def __init__(
        self,
        repository: Repository,
        policy: VersionPolicy,
        now_ns: int,
        watcher: Watcher,
        deadline: float | None,
    ) -> None:
        self._repository = repository
        self._engine = repository.engine
        self._policy = policy
        self._policies: dict[bytes, VersionPolicy] = {}  # of volumes with their own
        self._now_ns = now_ns
        self._watcher = watcher
        self._deadline = deadline
        self._marking = Marking(repository.engine, watcher.advance)
        self._emptying = self._make_emptying()
        self._volumes: dict[bytes, Keeping] = {}
        self._dropping = Dropping(repository, self._marking, policy)
        self._dropped: set[bytes] = set()
        self._young = 0
        self._dropped_commits = 0

    def run(self, grace_seconds: float, *, is_dry_run: bool) -> CollectionReport:
        """Collect, and return what came of it."""
        self._begin(is_dry_run=is_dry_run)
        # Their journal records are in commits after the checkpoint: they are needed no more.
        packs = self._sealed(grace_seconds)
        self._engine.checkpointer.checkpoint(wait=True)
        self._decide(is_dry_run=is_dry_run)
        self._mark("looking at what is kept")
        if not is_dry_run:
            forget_lost(self._repository, self._marking.met_lost)
        sealing = self._engine.chunks.identifier.sealing
        key = 0 if sealing is None else sealing.current
        live_size = self._marking.liveness.size
        uses = [
            PackUse(ordinal, row.kind, row.size, live_size(ordinal), row.key_number < key)
            for ordinal, row in packs
        ]
        condemned = {o for o, row in packs if row.state is PackState.CONDEMNED}
        chosen = packs_to_empty(uses, condemned)
        removed: list[PackUse] = []
        if not is_dry_run:
            if not chosen:
                self._dropping.drop_alone()
            elif self._condemn(chosen):
                removed = self._empty(chosen)
        return CollectionReport(
            len(packs),
            sum(row.size for _, row in packs),
            len(chosen),
            sum(use.size for use in chosen),
            sum(use.live_size for use in chosen),
            len(removed),
            sum(use.size for use in removed) - self._emptying.copied_size,
            self._emptying.damaged,
            is_dry_run,
            self._dropping.count,
            self._young,
            self._dropped_commits,
        )

    def _make_emptying(self) -> Emptying:
        return Emptying(self._engine, self._marking.liveness)

    def _begin(self, *, is_dry_run: bool) -> None:
        """Finish what an earlier collection left."""
        if not is_dry_run:
            self._emptying.delete_removed()

    def _sealed(self, grace_seconds: float) -> list[tuple[int, PackRow]]:
        """Return the packs that may be condemned, or are."""
        with self._engine.catalog.read() as transaction:
            packs = list(transaction.packs())
        condemned = [each for each in packs if each[1].state is PackState.CONDEMNED]
        sealed = [each for each in packs if each[1].state is PackState.SEALED]
        is_old = self._old_packs(grace_seconds) if grace_seconds else lambda _: True
        old = [each for each in sealed if is_old(each[1])]
        self._young = len(sealed) - len(old)
        return sorted(condemned + old)

    def _old_packs(self, grace_seconds: float) -> Callable[[PackRow], bool]:
        """Return how to tell packs that are older; what is missing is not: `check` tells of it."""
        now = time.time()
        dated = self._engine.store.list_dated("packs")
        # A time so far ahead is of a clock that was wrong: it must not keep the pack for years.
        names = {name for name, _, written in dated if abs(now - written) >= grace_seconds}
        return lambda row: pack_blob_name(row.id) in names

    def _decide(self, *, is_dry_run: bool) -> None:
        """Decide what of each volume's history stays, and write that down before it is done."""
        with self._engine.catalog.read() as transaction:
            heads = dict(transaction.heads())
            before = {v: kept_states(self._engine.nodes, transaction, v) for v in heads}
            purged = {v: purged_from(self._engine.nodes, transaction, v) for v in heads}
            self._policies = policies(self._engine.nodes, transaction)
        decided: dict[bytes, KeptStates] = {}
        if REGISTRY_ID in heads:  # first: by what is kept of it, deleted volumes are dropped
            decided[REGISTRY_ID] = self._decision(
                REGISTRY_ID, heads[REGISTRY_ID], before[REGISTRY_ID]
            )
            self._dropped = self._dropping.decide(decided[REGISTRY_ID], is_dry_run=is_dry_run)
        for volume_id in heads.keys() - self._dropped - decided.keys():
            decided[volume_id] = self._decision(volume_id, heads[volume_id], before[volume_id])
        for volume_id, kept in decided.items():
            self._keeping(volume_id, kept, purged[volume_id])
        changed = {v: kept for v, kept in decided.items() if kept != before[v]}
        if changed and not is_dry_run:
            with self._repository.registry.edit(author="gc") as edit:
                for volume_id, kept in changed.items():
                    folder, name = kept_path(volume_id)
                    edit.require(_still(join_names((folder, name)), before[volume_id]))
                    edit.require(self._still_policy(volume_id))
                    edit.make_directory(join_names((folder,)), parents=True)
                    edit.put_record(join_names((folder, name)), encode_kept(kept))
        if not is_dry_run:
            for volume_id, kept in decided.items():
                forget_before(self._engine.catalog, volume_id, kept.first)

    def _decision(self, volume_id: bytes, head: Head, before: KeptStates) -> KeptStates:
        marks = commit_marks(self._engine, head.commit, before)
        policy = self._policies.get(volume_id, self._policy)
        further = decide(marks, policy, self._now_ns)
        kept = before.thinned(further, (mark.last_sequence for mark in marks))
        self._dropped_commits += sum(mark.last_sequence < kept.first for mark in marks)
        return kept

    def _still_policy(self, volume_id: bytes) -> Callable[[TreeState], None]:
        """Return a check that nobody has given the volume other rules meanwhile."""
        path, policy = join_names(policy_path(volume_id)), self._policies.get(volume_id)

        def check(state: TreeState) -> None:
            entry = state.get(path)
            if (None if entry is None else policy_in(entry)) != policy:
                raise ConflictError("a volume was given other rules of what is kept: try again")

        return check

    def _mark(self, stage: str) -> None:
        """Mark all that is kept, or of that what has come since the last time."""
        self._watcher.stage(stage, None)
        for volume_id, head, changes in self._present():
            keeping = self._keeping(volume_id, EVERYTHING)
            keeping.mark(head)
            keeping.mark_changes(changes)

    def _condemn(self, chosen: list[PackUse]) -> bool:
        """Let nothing be found in the packs any more; return whether nothing leans on them now.

        It may not be so within the budget: then they stay condemned until the next time.
        """
        with self._engine.catalog.write() as transaction:
            transaction.condemn(use.ordinal for use in chosen)
            epoch = transaction.epoch()
            self._dropping.drop(transaction)
        self._dropping.finish()
        self._watcher.stage("waiting for writes that began before", None)
        patience = Patience(self._watcher)
        while behind := self._behind(epoch):
            if self._is_late():
                return False
            patience.wait_for(map(self._waited_for, behind))
        self._marking.resolve_young()
        self._mark("looking at what has come meanwhile")
        return True

    def _waited_for(self, row: ProcessRow) -> WaitedFor:
        with self._engine.catalog.read() as transaction:
            volumes = self._engine.registry.volumes(transaction).values()
        names = (info.name for info in volumes if info.id == row.volume_id)
        return WaitedFor(row.pid, row.since_ns, next(names, ""))

    def _behind(self, epoch: int) -> list[ProcessRow]:
        """Return the processes that may lean on what they found before this epoch."""
        process = self._engine.process
        process.keep_up()
        with self._engine.catalog.read() as transaction:
            rows = transaction.processes()
        behind = [(key, row) for key, row in rows if row.epoch < epoch and not row.is_adopted]
        if not all(key == process.id or process.is_alive(key) for key, _ in behind):
            with self._engine.catalog.write() as transaction:
                self._engine.recover(transaction)  # what the dead had acknowledged is replayed
        return [row for _, row in behind]

    def _empty(self, chosen: list[PackUse]) -> list[PackUse]:
        """Copy what is live out of the packs and delete them, as many as there is time for."""
        self._watcher.stage("rewriting packs", len(chosen))
        removed: list[PackUse] = []
        for use in chosen:
            if self._is_late():
                break
            if self._emptying.empty(use.ordinal):
                removed.append(use)
            if len(removed) % _PACKS_AT_ONCE == 0:
                self._emptying.delete_removed()
            self._watcher.advance(1)
        self._emptying.delete_removed()
        return removed

    def _present(self) -> Iterator[tuple[bytes, Head, list[Change]]]:
        """Yield the volumes with their heads and the changes that no commit holds yet."""
        process = self._engine.process
        (heads, records), pin = process.pin(lambda seen: (seen.heads(), list(seen.journal())))
        try:
            changes: dict[bytes, list[Change]] = {volume_id: [] for volume_id, _ in heads}
            for record in records:
                for batch in decode(record, JournalRecord).batches:
                    changes.setdefault(batch.volume_id, []).extend(batch.changes)
            for volume_id, head in heads:
                if volume_id not in self._dropped:
                    yield volume_id, head, changes[volume_id]
        finally:
            process.unpin(pin)

    def _keeping(self, volume_id: bytes, kept: KeptStates, purged: Purged | None = None) -> Keeping:
        """Return what is kept of a volume; of one that is new, everything."""
        if volume_id not in self._volumes:
            policy = self._policies.get(volume_id, self._policy)
            keeping = Keeping(self._engine, self._marking, policy, kept, purged)
            self._volumes[volume_id] = keeping
        return self._volumes[volume_id]

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline


def _still(path: str, kept: KeptStates) -> Callable[[TreeState], None]:
    """Return a check that nobody has decided otherwise: what is dropped never comes back."""

    def check(state: TreeState) -> None:
        entry = state.get(path)
        if (EVERYTHING if entry is None else decode(entry.content, KeptStates)) != kept:
            raise ConflictError("another gc has decided meanwhile what is kept: try again")

    return check
