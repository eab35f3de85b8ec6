"""Collecting garbage in a blob store that several gateways share, beside all their writers.

1. Mark what refs, snapshots and kept versions name, as the newest refs have it.
2. Condemn packs in the object `epoch`, whose number grows: who learns of it finds nothing to lean
   on in them, and has the registry as it was then, with all that retention has dropped.
3. Fence every ref with that number: who moves it from then on has learned of the epoch.
4. Mark again: every state that there has been since.
5. Copy what is live to new packs and store these. Is one of the condemned packs gone that was
   not deleted here, another collection is at work, and this one ends.
6. Delete, and then say in `epoch` that these packs are gone.

Two collections at once are safe, and a waste: the record names the one that is at work. One that
has died, or sleeps, is overtaken after a while; whatever it does when it wakes up does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from cas.catalog import PackState
from cas.consolidation import publish_without
from cas.epochs import EpochRecord, read_epoch, update_epoch
from cas.errors import LockedError
from cas.gateway import Gateway
from cas.index_upkeep import sweep
from cas.maintenance.claims import Claim
from cas.maintenance.collecting import Collection, CollectionReport
from cas.maintenance.emptying import Emptying
from cas.maintenance.packing import PackUse
from cas.maintenance.shared_emptying import SharedEmptying
from cas.pack_index import NamedPack, PackIndex
from cas.repository import Repository

_PACKS_AT_ONCE: Final = 32


class SharedCollection(Collection):
    """One collection, for one thread: `run` it."""

    def run(self, grace_seconds: float, *, is_dry_run: bool) -> CollectionReport:
        """Collect, and return what came of it."""
        if is_dry_run:
            return super().run(grace_seconds, is_dry_run=True)
        with Claim(self._engine) as claim:
            try:
                report = super().run(grace_seconds, is_dry_run=False)
                self._say_removed()
            finally:
                self._shared_emptying.close()
            left = report.condemned_packs - report.removed_packs - len(report.damaged_packs)
            claim.has_collected = not left
        return report

    def _make_emptying(self) -> Emptying:
        self._shared_emptying = SharedEmptying(self._engine, self._marking.liveness)
        self._ids: dict[int, bytes] = {}
        self._gone: set[bytes] = set()
        return self._shared_emptying

    def _begin(self, *, is_dry_run: bool) -> None:
        """Learn of all that others did, and of what an earlier collection left."""
        sweep(self._engine.catalog)
        self._gateway.catch_up()
        self._started = self._read()
        listed = {pack.id: pack for pack in self._index.listed()}
        self._gone = set(self._started.condemned) - listed.keys()
        condemned = [listed[key] for key in self._started.condemned if key in listed]
        self._forget_gone(condemned)
        self._index.learn(condemned)
        sweep(self._engine.catalog)

    def _forget_gone(self, there: Iterable[NamedPack]) -> None:
        """Let nothing lead to packs that are gone, and what is there after all be learned anew."""
        with self._engine.catalog.write() as transaction:
            for pack_id in self._gone:
                ordinal = transaction.pack_ordinal(pack_id)
                if ordinal is not None:
                    transaction.note_gone(ordinal)
            for pack in there:  # a collection died here before it could delete them
                ordinal = transaction.pack_ordinal(pack.id)
                row = None if ordinal is None else transaction.pack(ordinal)
                if ordinal is not None and row is not None and row.state is PackState.REMOVED:
                    transaction.forget_pack(ordinal)

    def _condemn(self, chosen: list[PackUse]) -> bool:
        """Let nothing be found in the packs any more, and nobody commit who does not know."""
        with self._engine.catalog.read() as transaction:
            rows = {use.ordinal: transaction.pack(use.ordinal) for use in chosen}
        self._ids = {ordinal: row.id for ordinal, row in rows.items() if row is not None}
        before = self._started.condemned

        def condemn(record: EpochRecord) -> EpochRecord:
            if record.condemned != before:
                raise LockedError("a gc on another gateway has condemned packs meanwhile")
            return record.condemning(self._ids.values())

        number = self._update(condemn).number
        self._gateway.learn_epoch()
        with self._engine.catalog.write() as transaction:
            self._dropping.drop(transaction)
        self._dropping.finish()
        self._watcher.stage("fencing the refs of all volumes", None)
        self._gateway.fence(number)
        self._gateway.catch_up()
        self._mark("looking at what has come meanwhile")
        return True

    def _empty(self, chosen: list[PackUse]) -> list[PackUse]:
        """Copy what is live out of the packs and delete them, as many as there is time for."""
        publish_without(self._index, self._ids.values())
        self._watcher.stage("rewriting packs", len(chosen))
        removed: list[PackUse] = []
        remaining = iter(chosen)
        while not self._is_late() and (some := list(islice(remaining, _PACKS_AT_ONCE))):
            removed += self._empty_some(some)
        return removed

    def _empty_some(self, some: list[PackUse]) -> list[PackUse]:
        emptying = self._shared_emptying
        done = [use for use in some if emptying.copy(use.ordinal)]
        emptying.store()
        emptying.refuse_missing(set(self._ids.values()) - self._gone)
        self._gone.update(emptying.delete_emptied())
        self._watcher.advance(len(some))
        return done

    def _say_removed(self) -> None:
        """Say in the record which packs are gone, so that every gateway forgets them."""
        if self._gone:
            self._update(lambda record: record.removing(self._gone))
            self._gateway.learn_epoch()
            sweep(self._engine.catalog)

    @property
    def _gateway(self) -> Gateway:
        gateway = self._engine.gateway
        if gateway is None:
            raise TypeError("this repository is of one machine alone")
        return gateway

    @property
    def _index(self) -> PackIndex:
        index = self._engine.chunks.index
        if index is None:
            raise TypeError("this repository is of one machine alone")
        return index

    def _read(self) -> EpochRecord:
        return read_epoch(self._engine.store, self._engine.chunks.identifier)[0]

    def _update(self, change: Callable[[EpochRecord], EpochRecord]) -> EpochRecord:
        return update_epoch(self._engine.store, self._engine.chunks.identifier, change)


def last_collection_ns(repository: Repository) -> int:
    """Return when a collection of any gateway last came to its end, in nanoseconds since 1970.

    0 where none has, or the repository is of one machine alone.

    Raises:
        StoreError: the blob store cannot be reached.
    """
    if not repository.is_shared:
        return 0
    engine = repository.engine
    return read_epoch(engine.store, engine.chunks.identifier)[0].ended_ns
