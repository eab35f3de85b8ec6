"""Checking a repository: is everything there that its volumes reach, and is it what it must be?

First the bytes of packs, if they are to be read: front to back, each pack once. Then all packs by
what they say they hold and what the catalog says, every object that a volume, a snapshot or a
commit reaches, and last the paths that damage hits. Nothing is changed, and it runs beside servers
at work.

To read bytes takes hours where there are many, so collections go on meanwhile: packs that they
empty are left out, for what is live in them was read when it was copied. Only the rest, which
takes a small part of that, keeps collections waiting.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from cas.catalog import PackRow, ReadTransaction
from cas.dropped import dropped_volumes
from cas.engine import Engine
from cas.errors import CasError, NotFoundError
from cas.formats import DAMAGE_MARK, REGISTRY_ID
from cas.index_upkeep import sweep
from cas.maintenance.checked_pack import CheckedPack
from cas.maintenance.damage import (
    Affected,
    CheckSummary,
    Damage,
    DamageKind,
)
from cas.maintenance.exclusive import exclusive
from cas.maintenance.history_walk import HistoryWalk, volume_names
from cas.maintenance.naming import Naming
from cas.maintenance.pack_table import PackTable
from cas.maintenance.reading import ReadPack, read_pack
from cas.maintenance.sampling import Reading
from cas.maintenance.walk import Walk
from cas.maintenance.watching import DamageWatcher
from cas.refs import volumes_with_refs
from cas.repository import Repository

_logger = logging.getLogger(__name__)


def check_repository(
    repository: Repository,
    *,
    reading: Reading | None = None,
    watcher: DamageWatcher | None = None,
) -> CheckSummary:
    """Check a repository and return what was looked at; the watcher is told what is wrong.

    `reading` says of which packs all bytes are read, None for none: what a pack says it holds is
    believed then. When they are read, a collection that is at work is waited for, and none begins
    until the end.

    Raises:
        StoreError: the disk failed.
        IntegrityError: LMDB's file is damaged; the catalog has to be rebuilt.
    """
    _catch_up(repository)
    watcher = watcher or DamageWatcher()
    check = _Check(repository.engine, watcher)
    if reading is not None:
        check.read(reading)
    with exclusive(repository.engine, watcher):
        _catch_up(repository)  # a collection elsewhere may have ended just now
        summary = check.run()
        _remember(repository.engine, summary)
    return summary


def _catch_up(repository: Repository) -> None:
    """Learn of all that other gateways have stored and deleted."""
    if repository.is_shared:
        repository.catch_up()
        sweep(repository.engine.catalog)


def _remember(engine: Engine, summary: CheckSummary) -> None:
    """Leave word whether something is lost, for those who could bring it again."""
    mark = engine.local / DAMAGE_MARK
    try:
        if summary.kinds & {DamageKind.MISSING, DamageKind.DAMAGED}:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)
    except OSError as error:  # on a full disk what was found is worth more
        _logger.warning("%s cannot be kept up: %s", mark, error)


class _Check:
    def __init__(self, engine: Engine, watcher: DamageWatcher) -> None:
        self._engine = engine
        self._watcher = watcher
        self._summary = CheckSummary()
        self._packs = PackTable(engine, self._report)
        self._walk = Walk(engine, self._packs, self._report)
        self._history = HistoryWalk(engine, self._walk, self._summary, self._report)

    def read(self, reading: Reading) -> None:
        """Read the bytes of packs; collections may be at work."""
        chosen = reading.choose(self._packs.ordinals())
        self._watcher.stage("reading packs", sum(row.size for _, row in chosen))
        self._read(chosen, reading)

    def run(self) -> CheckSummary:
        """Look at all else; no collection is at work."""
        self._watcher.stage("looking at what is kept")
        self._packs.forget_gone()
        known = [ordinal for ordinal, _ in self._packs.ordinals()]
        for ordinal in sorted(set(known) - self._packs.seen()):
            self._packs.check(ordinal)
        self._summary.packs = len(known)
        if self._engine.gateway is not None:
            sweep(self._engine.catalog)  # what other gateways have deleted
        self._packs.check_rows()
        self._packs.check_unknown()
        labels = volume_names(self._engine, self._report)
        for volume_id, label in self._volumes(labels):
            self._history.check(volume_id, label)
        self._summary.objects = self._walk.objects
        self._packs.check_unlisted(self._walk.broken)
        self._name(labels)
        return self._summary

    def _report(self, damage: Damage) -> None:
        self._summary.damaged += 1
        self._summary.kinds.add(damage.kind)
        self._watcher.damage(damage)

    def _volumes(self, labels: dict[bytes, str]) -> list[tuple[bytes, str]]:
        """Return all volumes with a head or a ref, deleted ones too, the registry first."""
        with self._engine.catalog.read() as transaction:
            found = {volume_id for volume_id, _ in transaction.heads()}
            dropped = self._dropped(transaction)
        found.update(volumes_with_refs(self._engine.store, self._engine.chunks.identifier))
        found -= {REGISTRY_ID, *dropped}  # the next collection removes what there is of those
        for volume_id in found:
            labels.setdefault(volume_id, f"deleted:{volume_id.hex()}")
        named = sorted((labels[volume_id], volume_id) for volume_id in found)
        volumes = [(volume_id, repr(label)) for label, volume_id in named]
        return [(REGISTRY_ID, "the registry"), *volumes]

    def _dropped(self, transaction: ReadTransaction) -> set[bytes]:
        try:
            return dropped_volumes(self._engine.nodes, transaction)
        except (CasError, ValueError):
            return set()  # the registry is damaged, as is told when it is walked

    def _name(self, labels: dict[bytes, str]) -> None:
        named, self._summary.unnamed = Naming(self._engine.nodes, self._walk).name(
            self._history.damaged
        )
        for (volume_id, path), states in named.items():
            self._summary.affected += 1
            self._watcher.affected(Affected(labels[volume_id], path, tuple(states)))

    def _read(self, chosen: list[tuple[int, PackRow]], reading: Reading) -> None:
        """Read packs on as many threads as there are cores, and look at each meanwhile."""
        identifier = self._engine.chunks.identifier
        workers = os.cpu_count() or 1
        waiting: deque[tuple[CheckedPack, Future[ReadPack]]] = deque()
        with ThreadPoolExecutor(workers, "casdav-check") as pool:
            try:
                for ordinal, row in chosen:
                    if reading.is_over():
                        break
                    pack = self._packs.check(ordinal)
                    if pack is not None:
                        waiting.append((pack, pool.submit(read_pack, pack, identifier)))
                    else:
                        self._watcher.advance(row.size)
                        reading.note(row)
                    if len(waiting) > workers:
                        self._take(*waiting.popleft(), reading)
                while waiting:
                    self._take(*waiting.popleft(), reading)
            finally:
                for _, future in waiting:
                    future.cancel()
                reading.end()

    def _take(self, pack: CheckedPack, future: Future[ReadPack], reading: Reading) -> None:
        try:
            read = future.result()
        except NotFoundError:
            if not self._packs.is_gone(pack.ordinal):
                raise
            return
        finally:
            self._watcher.advance(pack.row.size)
        reading.note(pack.row)
        self._summary.packs_read += 1
        self._summary.records_read += len(pack.places)
        self._summary.bytes_read += read.plain_size
        for number, reason in read.bad:
            self._packs.mark_damaged(pack, number)
            place = pack.places[number]
            where = f"in pack {pack.row.id.hex()} at {place.offset}"
            self._report(
                Damage(
                    DamageKind.DAMAGED,
                    f"{place.kind.words} {place.id.hex()} {where} is damaged: {reason}",
                    pack.row.id,
                    place.kind,
                    place.id,
                    place.offset,
                )
            )
