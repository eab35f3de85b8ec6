"""Collects garbage now and then beside requests, one of the serving processes for all.

When the next collection is due is kept in the scratch table, which all processes share and which
outlives a restart. Who finds it due claims it by moving the time on, for as long as a try may
take; whoever then finds a collection at work leaves it alone. So one that was killed is made up
for soon, and one that has run is not run again. A time further ahead than the interval comes from
a clock that was ahead, or from a longer interval: it is brought back, and nothing runs twice.

Nobody watches these collections, and what they forget is gone. So they believe the clock only a
week ahead of the time that the last one believed: where it jumps by a year, history goes a week at
a time, and there are days to notice. `casdav gc` believes what it is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

import cas
from dav.upkeep import Job

RETRY_SECONDS: Final = 3600.0
"""After which a collection that did not come to its end is tried again, or gone on with."""
_KEY: Final = b"collection due"
_BELIEVED: Final = b"collection time"
_BELIEVED_AHEAD_NS: Final = 7 * 86_400 * 1_000_000_000
_LOOK_SECONDS: Final = 60.0
_SECOND_NS: Final = 1_000_000_000
_logger = logging.getLogger(__name__)


class CollectionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How often the server collects garbage, what of history it keeps, and how long it takes.

    For `grace_seconds` and `budget_seconds` see `cas.collect_garbage`.
    """

    interval_seconds: float
    policy: cas.VersionPolicy = cas.DEFAULT_POLICY
    grace_seconds: float = 3600.0
    budget_seconds: float | None = None


class Collector:
    """Collects garbage when it is due; `clock` returns nanoseconds since the epoch."""

    def __init__(
        self,
        repository: cas.Repository,
        plan: CollectionPlan,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._repository = repository
        self._plan = plan
        self._clock = clock
        self._stopping = threading.Event()

    def look(self) -> None:
        """Collect garbage if that is due.

        Raises:
            CasError: the collection failed; it is tried again after a while.
        """
        if not self._claim() or self._is_done_elsewhere():
            return
        plan, now_ns = self._plan, self._believed_ns()
        try:
            report = cas.collect_garbage(
                self._repository,
                plan.policy,
                grace_seconds=plan.grace_seconds,
                budget_seconds=plan.budget_seconds,
                now_ns=now_ns,
                watcher=_Gentle(self._stopping),
            )
        except _StoppedError:
            _logger.info("garbage collection: stopped with the server; the next one goes on")
            return
        except cas.LockedError:
            return  # Another collection, or a check: what it leaves is found after a while.
        left = report.condemned_packs - report.removed_packs - len(report.damaged_packs)
        if not left:
            self._repository.scratch.put(_KEY, self._after(plan.interval_seconds))
            self._repository.scratch.put(_BELIEVED, now_ns.to_bytes(8, "big"))
        _tell(report, left)

    def _is_done_elsewhere(self) -> bool:
        """Whether another gateway has collected within the interval: then it is not done again."""
        ended_ns = cas.last_collection_ns(self._repository)
        next_ns = ended_ns + int(self._plan.interval_seconds * _SECOND_NS)
        now_ns = self._clock()
        if not ended_ns <= now_ns < next_ns:
            return False
        self._repository.scratch.put(_KEY, next_ns.to_bytes(8, "big"))
        return True

    def _believed_ns(self) -> int:
        """Return the time that ages are counted back from; the first time is taken as it is."""
        now_ns = self._clock()

        def believe(known: bytes | None) -> bytes:
            return known or now_ns.to_bytes(8, "big")

        known = self._repository.scratch.update(_BELIEVED, believe)
        return min(now_ns, _time(known or b"") + _BELIEVED_AHEAD_NS)

    def stop(self) -> None:
        """Let a collection that is at work end soon, and no other begin."""
        self._stopping.set()

    def _claim(self) -> bool:
        """Return whether a collection is due, and this is who is to run it."""
        scratch = self._repository.scratch
        if scratch.get(_KEY) is None:
            self._believed_ns()  # what is believed from now on
        if self._stopping.is_set() or self._is_ahead(scratch.get(_KEY)):
            return False  # as nearly always: nothing is written for it
        is_mine = False

        def claim(due: bytes | None) -> bytes:
            nonlocal is_mine
            is_mine = False
            if due is not None and self._is_ahead(due):
                return due
            if due is None or _time(due) > self._clock():
                return self._after(self._plan.interval_seconds)
            is_mine = True
            return self._after(min(RETRY_SECONDS, self._plan.interval_seconds))

        scratch.update(_KEY, claim)
        return is_mine

    def _is_ahead(self, due: bytes | None) -> bool:
        """Return whether the time has not come, and can come within the interval."""
        now_ns = self._clock()
        latest = now_ns + int(self._plan.interval_seconds * _SECOND_NS)
        return due is not None and now_ns < _time(due) <= latest

    def _after(self, seconds: float) -> bytes:
        return (self._clock() + int(seconds * _SECOND_NS)).to_bytes(8, "big")


def upkeep(repository: cas.Repository, plan: CollectionPlan) -> Job:
    """Return the job of a serving process."""
    collector = Collector(repository, plan)
    interval = min(_LOOK_SECONDS, plan.interval_seconds)
    return Job("garbage collection", interval, collector.look, collector.stop)


class _StoppedError(Exception):
    """The server ends: so does the collection, at once and without harm."""


class _Gentle(cas.Watcher):
    """Makes a collection pause for as long as it has worked, so that requests go first."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._since = time.monotonic()

    def stage(self, name: str, total: int | None = None) -> None:
        """Pause, or stop."""
        self.advance(0)

    def waiting(self, processes: list[cas.WaitedFor]) -> None:
        """Say in the log who is waited for."""
        for process, since_ns, volume in processes:
            moment = datetime.fromtimestamp(since_ns // _SECOND_NS, UTC).isoformat()
            write = f", for a write in {volume!r} since {moment}" if since_ns else ""
            _logger.info("garbage collection: waiting for process %d%s", process, write)

    def advance(self, steps: int) -> None:
        """Pause, or stop."""
        if self._stopping.wait(time.monotonic() - self._since):
            raise _StoppedError
        self._since = time.monotonic()


def _time(due: bytes) -> int:
    return int.from_bytes(due, "big")


def _tell(report: cas.CollectionReport, left: int) -> None:
    _logger.info(
        "garbage collection: freed %d bytes; emptied %d of %d packs, %d are left for the next one; "
        "dropped %d deleted volumes and %d commits that are too old",
        report.freed_size,
        report.removed_packs,
        report.packs,
        left,
        report.dropped_volumes,
        report.dropped_commits,
    )
    if report.damaged_packs:
        names = ", ".join(report.damaged_packs[:3])
        _logger.warning(
            "garbage collection: %d packs hold damage and were kept (%s): run `casdav check`",
            len(report.damaged_packs),
            names,
        )
