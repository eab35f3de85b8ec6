"""Makes the snapshots that schedules ask for, and lets those go that they do not keep any more.

Every serving process looks, and all come to the same names; who is first to commit a name makes the
snapshot. A period has one snapshot at most: of the state when it was first looked at, which is soon
after its beginning if a server runs. Periods in which none ran are not made up for. A period at
whose beginning the volume is as in the last snapshot of that kind gets none.

The clock may jump. What bears a name in the future is neither counted nor removed until its time
comes; so a clock that was ahead for a while does not keep the schedule from going on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import cas
from dav.records import Schedule
from dav.schedules import Period, counts, list_schedules, period_at, period_of
from dav.upkeep import Job

INTERVAL_SECONDS: Final = 15.0
AUTHOR: Final = "schedule"
"""Whom the history names."""
_logger = logging.getLogger(__name__)


class Scheduler:
    """Looks after the schedules of one repository; `clock` returns nanoseconds since the epoch."""

    def __init__(self, repository: cas.Repository, clock: Callable[[], int] = time.time_ns) -> None:
        self._repository = repository
        self._clock = clock
        self._done: dict[bytes, tuple[Schedule, list[Period]]] = {}

    def look(self) -> None:
        """Make what is due. What fails for one volume is logged and tried again next time.

        Raises:
            CasError: the schedules cannot be read.
        """
        now_ns = self._clock()
        schedules = list_schedules(self._repository)
        volumes = {info.id: info for info in self._repository.volumes() if info.id in schedules}
        self._done = {key: done for key, done in self._done.items() if key in volumes}
        for volume_id, info in volumes.items():
            schedule = schedules[volume_id]
            due = [period_at(kind, now_ns) for kind in counts(schedule)]
            if self._done.get(volume_id) == (schedule, due):
                continue
            try:
                volume = self._repository.volume(info.name)
                if volume.id == volume_id:
                    _make(volume, due)
                    _thin(volume, counts(schedule), now_ns)
                self._done[volume_id] = (schedule, due)
            except cas.NotFoundError:
                continue  # The volume was deleted in between.
            except cas.CasError as error:
                _logger.error("scheduled snapshots of %r: %s; tried again", info.name, error)  # noqa: TRY400 - a full disk needs no stack


def upkeep(repository: cas.Repository, interval_seconds: float = INTERVAL_SECONDS) -> Job:
    """Return the job of a serving process."""
    return Job("scheduled snapshots", interval_seconds, Scheduler(repository).look)


def _make(volume: cas.Volume, due: list[Period]) -> None:
    """Make the snapshots of these periods, but for those that are there or would be no news."""
    snapshots = volume.snapshots()
    names = {snapshot.name for snapshot in snapshots}
    for period in due:
        if period.name in names:
            continue
        latest = _latest(snapshots, period)
        if latest is None or _has_changed(volume, latest):
            with suppress(cas.AlreadyExistsError):  # Another process was first.
                volume.create_snapshot(period.name, author=AUTHOR)


def _thin(volume: cas.Volume, kept: dict[str, int], now_ns: int) -> None:
    """Remove those scheduled snapshots, up to now, that are more than are kept."""
    dated: dict[str, list[cas.Dated[cas.Snapshot]]] = {kind: [] for kind in kept}
    for snapshot in volume.snapshots():
        period = period_of(snapshot.name)
        if period is not None and period.kind in kept and period.start_ns <= now_ns:
            dated[period.kind].append(cas.Dated(snapshot, period.start_ns, snapshot.is_pinned))
    going = [
        verdict.key
        for kind, items in dated.items()
        for verdict in cas.retain(items, cas.Retention(last=kept[kind]), now_ns=now_ns)
        if not verdict.is_kept
    ]
    if going:
        with suppress(cas.PreconditionError):  # Another process was first, or somebody pinned one.
            volume.remove_snapshots(going, author=AUTHOR)


def _latest(snapshots: list[cas.Snapshot], before: Period) -> cas.Snapshot | None:
    """Return the scheduled snapshot of the newest period of this kind before another."""
    found = [
        (period.start_ns, snapshot)
        for snapshot in snapshots
        if (period := period_of(snapshot.name)) is not None and period.kind == before.kind
    ]
    earlier = [each for each in found if each[0] < before.start_ns]
    return max(earlier)[1] if earlier else None


def _has_changed(volume: cas.Volume, since: cas.Snapshot) -> bool:
    _, then = volume.at_snapshot(since.name)
    with then, volume.view() as now:
        return then.root != now.root
