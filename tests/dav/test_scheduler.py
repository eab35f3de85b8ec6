"""Scheduled snapshots: one a period and no more, whatever the clock and other processes do."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

import cas
from dav import grants, schedules
from dav.scheduler import Scheduler
from dav.schedules import period_at, period_of

SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
START: Final = int(datetime(2026, 11, 22, 10, 37, 12, tzinfo=UTC).timestamp()) * SECOND


class Clock:
    """Stands still until it is set; for the repository and its scheduler."""

    def __init__(self) -> None:
        self.time_ns = START

    def now_ns(self) -> int:
        return self.time_ns

    def __call__(self) -> int:
        return self.time_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store", clock=clock) as made:
        yield made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.create_volume("v")


@pytest.fixture
def scheduler(repository: cas.Repository, clock: Clock) -> Scheduler:
    return Scheduler(repository, clock)


def change(volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.put("file", cas.EMPTY_CONTENT, mtime_ns=random.getrandbits(62))


def names(volume: cas.Volume) -> list[str]:
    return [snapshot.name for snapshot in volume.snapshots()]


def test_each_period_has_a_snapshot_named_by_its_beginning(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler
) -> None:
    every = dict.fromkeys(schedules.PERIODS, 3)
    schedules.set_schedule(repository, "v", every)
    for _ in range(3):
        scheduler.look()
    assert sorted(names(volume)) == [
        "daily-2026-11-22T00-00Z",
        "hourly-2026-11-22T10-00Z",
        "monthly-2026-11-01T00-00Z",
        "weekly-2026-11-16T00-00Z",
        "yearly-2026-01-01T00-00Z",
    ]


def test_the_newest_are_kept_and_those_of_people_and_pinned_ones(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler, clock: Clock
) -> None:
    schedules.set_schedule(repository, "v", {"hourly": 3, "daily": 9})
    volume.create_snapshot("mine")
    volume.create_snapshot("hourly-mine")
    volume.create_snapshot("hourly-2020-01-01T10-37Z")  # no hour begins then: not ours
    for hour in range(12):
        clock.time_ns = START + hour * HOUR
        change(volume)
        scheduler.look()
        if hour == 1:
            volume.change_snapshot("hourly-2026-11-22T11-00Z", is_pinned=True)
            volume.change_snapshot("hourly-2026-11-22T10-00Z", new_name="renamed")
    assert names(volume) == [
        "daily-2026-11-22T00-00Z",
        "hourly-2020-01-01T10-37Z",
        "hourly-2026-11-22T11-00Z",
        "hourly-2026-11-22T19-00Z",
        "hourly-2026-11-22T20-00Z",
        "hourly-2026-11-22T21-00Z",
        "hourly-mine",
        "mine",
        "renamed",
    ]
    schedules.set_schedule(repository, "v", {"hourly": 1})
    scheduler.look()
    kept = [name for name in names(volume) if name.startswith("hourly-2026")]
    assert kept == ["hourly-2026-11-22T11-00Z", "hourly-2026-11-22T21-00Z"]
    assert "daily-2026-11-22T00-00Z" in names(volume)  # of a kind that is not scheduled any more


def test_where_nothing_changed_nothing_is_made_and_no_gap_is_filled(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler, clock: Clock
) -> None:
    schedules.set_schedule(repository, "v", {"hourly": 24})
    for hours, is_changed in ((0, True), (1, False), (2, False), (7, True), (8, False)):
        clock.time_ns = START + hours * HOUR
        if is_changed:
            change(volume)
        scheduler.look()
    assert names(volume) == ["hourly-2026-11-22T10-00Z", "hourly-2026-11-22T17-00Z"]


def test_a_clock_that_jumps_makes_no_flood_and_no_stop(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler, clock: Clock
) -> None:
    schedules.set_schedule(repository, "v", {"hourly": 3})
    for jump in (20 * 365 * DAY, 0, -5 * 365 * DAY, HOUR):
        for hour in range(5):  # long enough to fill the schedule with names of a wrong time
            clock.time_ns = START + jump + hour * HOUR
            change(volume)
            made = set(names(volume))
            scheduler.look()
            assert len(set(names(volume)) - made) <= 1
            assert period_at("hourly", clock.time_ns).name in names(volume)
        assert len(names(volume)) <= 3 * 3
    clock.time_ns = START + 30 * 365 * DAY
    change(volume)
    scheduler.look()
    assert len(names(volume)) == 3


def test_wherever_the_clock_goes_there_are_few(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler, clock: Clock
) -> None:
    schedules.set_schedule(repository, "v", {"hourly": 2, "yearly": 2})
    chance = random.Random(7)
    for _ in range(60):
        clock.time_ns = START + chance.choice((-1, 1)) * chance.randrange(10**6) * HOUR // 10
        change(volume)
        scheduler.look()
        past = [p for p in map(period_of, names(volume)) if p and p.start_ns <= clock.time_ns]
        assert len(past) <= 4


def test_of_several_processes_one_makes_it(tmp_path: Path, clock: Clock) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(cas.create(tmp_path / "store", clock=clock))
        others = [stack.enter_context(cas.open(first.location, clock=clock)) for _ in range(3)]
        volume = first.create_volume("v")
        schedules.set_schedule(first, "v", {"hourly": 4, "daily": 4})
        schedulers = [Scheduler(each, clock) for each in (first, *others)]
        for hour in range(8):
            clock.time_ns = START + hour * HOUR
            change(volume)
            threads = [threading.Thread(target=each.look) for each in schedulers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert names(volume) == [
            "daily-2026-11-22T00-00Z",
            *(f"hourly-2026-11-22T{hour}-00Z" for hour in range(14, 18)),
        ]
        made = [
            change.path
            for change in volume.changes(0, 10**9)
            if change.author == "schedule" and change.old is None
        ]
        assert len(made) == len(set(made)) == 9


def test_what_fails_for_one_volume_holds_up_no_other(
    repository: cas.Repository, volume: cas.Volume, scheduler: Scheduler, clock: Clock
) -> None:
    repository.create_volume("gone")
    repository.create_volume("w")
    for name in ("gone", "v", "w"):
        schedules.set_schedule(repository, name, {"hourly": 4})
    repository.delete_volume("gone")
    scheduler.look()
    assert names(volume) == names(repository.volume("w")) == ["hourly-2026-11-22T10-00Z"]
    # A new volume of the name of an old one has no schedule.
    again = repository.create_volume("gone")
    clock.time_ns += HOUR
    scheduler.look()
    assert names(again) == []


@pytest.mark.usefixtures("volume")
def test_a_schedule_rests_while_its_volume_is_gone_and_comes_back_with_it(
    repository: cas.Repository, scheduler: Scheduler
) -> None:
    schedules.set_schedule(repository, "v", {"hourly": 1})
    grants.delete_volume(repository, "v")
    scheduler.look()
    back = cas.undelete_volume(repository, "v")
    assert schedules.kept(repository, back.id) == {"hourly": 1}
    scheduler.look()
    assert names(back) == ["hourly-2026-11-22T10-00Z"]


@pytest.mark.parametrize("kept", [{}, {"daily": 0}, {"daily": -1}, {"hourly": 10**6}])
def test_a_schedule_that_keeps_nothing_or_too_much_is_refused(
    repository: cas.Repository, volume: cas.Volume, kept: dict[str, int]
) -> None:
    with pytest.raises(cas.InvalidError):
        schedules.set_schedule(repository, volume.name, kept)
    assert schedules.kept(repository, volume.id) is None


@pytest.mark.parametrize(
    "name",
    [
        "hourly-2026-11-22T10-37Z",
        "weekly-2026-11-17T00-00Z",
        "daily-2026-13-22T00-00Z",
        "hourly-2026-11-22T10-00",
        "hourly-2026-11-22T10-00Z-2",
        "minutely-2026-11-22T10-00Z",
    ],
)
def test_names_of_people_are_told_apart(name: str) -> None:
    assert period_of(name) is None
