"""Schedules of snapshots: how many of each period a volume keeps, and what these are called.

A scheduled snapshot is known by its name alone: the period's kind and, in UTC, its beginning, as in
`hourly-2026-11-22T10-00Z`. Snapshots of any other name are people's, and no schedule touches them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import cas
from dav import records
from dav.records import Schedule
from dav.registry import ensure_directory

PERIODS: Final = ("hourly", "daily", "weekly", "monthly", "yearly")
LARGEST_COUNT: Final = 10_000
"""Snapshots of one period that a schedule may keep."""

_NAME: Final = re.compile(rf"({'|'.join(PERIODS)})-(\d{{4}}-\d\d-\d\dT\d\d-\d\dZ)")
_TIME: Final = "%Y-%m-%dT%H-%MZ"
_SECOND_NS: Final = 1_000_000_000


class Period(NamedTuple):
    """One period of a schedule: what kind, and when it began, in nanoseconds since the epoch."""

    kind: str
    start_ns: int

    @property
    def name(self) -> str:
        """The name of the snapshot of this period."""
        start = datetime.fromtimestamp(self.start_ns // _SECOND_NS, UTC)
        return f"{self.kind}-{start:{_TIME}}"


def period_at(kind: str, time_ns: int) -> Period:
    """Return the period of a kind that a time lies in. Weeks begin on Mondays."""
    moment = datetime.fromtimestamp(time_ns // _SECOND_NS, UTC).replace(minute=0, second=0)
    if kind != "hourly":
        moment = moment.replace(hour=0)
    if kind == "weekly":
        moment -= timedelta(days=moment.weekday())
    elif kind in {"monthly", "yearly"}:
        moment = moment.replace(day=1)
    if kind == "yearly":
        moment = moment.replace(month=1)
    return Period(kind, int(moment.timestamp()) * _SECOND_NS)


def period_of(name: str) -> Period | None:
    """Return the period whose scheduled snapshot has this name; None for a name of people."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[2], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    period = period_at(match[1], int(moment.timestamp()) * _SECOND_NS)
    return period if period.name == name else None


def counts(schedule: Schedule) -> dict[str, int]:
    """Return how many snapshots of each kind are kept, of those kinds that there are any of."""
    found = {kind: int(getattr(schedule, kind)) for kind in PERIODS}
    return {kind: count for kind, count in found.items() if count}


def set_schedule(
    repository: cas.Repository, volume: str, kept: Mapping[str, int], author: str = ""
) -> Schedule:
    """Give a volume a schedule, in place of the one it had; `kept` has a number for each kind.

    Raises:
        NotFoundError: there is no such volume.
        InvalidError: no snapshot would be kept, or too many.
    """
    info = repository.volume(volume).info
    if not any(kept.values()) or not all(0 <= count <= LARGEST_COUNT for count in kept.values()):
        message = f"a schedule keeps at least one snapshot, and {LARGEST_COUNT:,} of a kind at most"
        raise cas.InvalidError(message)
    schedule = Schedule(info.id, **kept, created_ns=time.time_ns(), author=author)
    ensure_directory(repository, records.SCHEDULES, author)
    with repository.registry.edit(author=author) as edit:
        edit.put_record(records.schedule_path(info.id), records.encode(schedule))
    return schedule


def end_schedule(repository: cas.Repository, volume_id: bytes, author: str = "") -> None:
    """End a volume's schedule, if there is one; the snapshots stay."""
    with suppress(cas.NotFoundError), repository.registry.edit(author=author) as edit:
        edit.remove(records.schedule_path(volume_id))


def kept(repository: cas.Repository, volume_id: bytes) -> dict[str, int] | None:
    """Return how many of each kind a volume's schedule keeps; None where it has none."""
    with repository.registry.view() as view:
        entry = view.get(records.schedule_path(volume_id))
        return None if entry is None else counts(records.decode(entry.content, Schedule))


def list_schedules(repository: cas.Repository) -> dict[bytes, Schedule]:
    """Return all schedules by the volume's id.

    Raises:
        FormatError: one cannot be read.
    """
    with repository.registry.view() as view:
        if view.get(records.SCHEDULES) is None:
            return {}
        found = [
            records.decode(entry.content, Schedule) for _, entry in view.list(records.SCHEDULES)
        ]
    return {schedule.volume_id: schedule for schedule in found}
