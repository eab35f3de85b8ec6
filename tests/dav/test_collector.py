"""Automatic collections: one when it is due, by one process, whatever the clock does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pytest

import cas
from dav.collector import RETRY_SECONDS, CollectionPlan, Collector
from dav.upkeep import Job, Upkeep
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read, remove
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY: Final = 86_400
SIZE: Final = 2_000_000
PLAN: Final = CollectionPlan(
    interval_seconds=DAY,
    policy=cas.VersionPolicy(versions=1, states=cas.Retention()),
    grace_seconds=0,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repository(tmp_path: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store", clock=clock) as made:
        yield made


@pytest.fixture
def runs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the lines about collections that have come to their end."""
    caplog.set_level("INFO", logger="dav.collector")
    return _Lines(caplog)


class _Lines(list[str]):
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self._caplog = caplog

    def __len__(self) -> int:
        return sum("freed" in message for message in self._caplog.messages)


def make_garbage(repository: cas.Repository, number: int = 0) -> None:
    """Leave a sealed pack whose content nothing names any more."""
    name = f"v{number}"
    volume = repository.create_volume(name)
    put(volume, "gone", seeded_bytes(number, SIZE))
    remove(volume, "gone")
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()


def test_the_first_is_an_interval_after_the_first_look_and_then_one_each(
    repository: cas.Repository, clock: FakeClock, runs: list[str]
) -> None:
    make_garbage(repository)
    collector = Collector(repository, PLAN, clock)
    collector.look()
    clock.advance(DAY - 1)
    collector.look()
    assert len(runs) == 0
    clock.advance(2)
    for _ in range(3):
        collector.look()
        Collector(repository, PLAN, clock).look()  # as another process, or after a restart
    assert len(runs) == 1
    clock.advance(DAY)
    collector.look()
    assert len(runs) == 2


def test_it_frees_room_and_says_how_much_in_one_line(
    repository: cas.Repository, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dav.collector")
    make_garbage(repository)
    put(repository.create_volume("v"), "kept", b"x" * SIZE)
    collector = Collector(repository, PLAN, clock)
    collector.look()
    clock.advance(DAY + 1)
    collector.look()
    (line,) = caplog.messages
    assert int(line.split("freed ")[1].split(" ")[0]) > SIZE * 0.9
    assert read(repository.volume("v"), "kept") == b"x" * SIZE


@pytest.mark.parametrize("days", [-400, -1, 400])
def test_a_clock_that_jumps_brings_one_collection_at_most(
    repository: cas.Repository, clock: FakeClock, runs: list[str], days: int
) -> None:
    collector = Collector(repository, PLAN, clock)
    collector.look()
    for direction in (1, -1):
        before = len(runs)
        clock.advance(direction * days * DAY)
        for _ in range(5):
            collector.look()
            clock.advance(60)
        assert len(runs) - before <= 1
    before = len(runs)
    clock.advance(DAY)
    collector.look()
    assert len(runs) == before + 1  # and it goes on


def test_a_shorter_interval_holds_at_once(
    repository: cas.Repository, clock: FakeClock, runs: list[str]
) -> None:
    Collector(repository, CollectionPlan(interval_seconds=300 * DAY), clock).look()
    collector = Collector(repository, PLAN, clock)
    collector.look()
    clock.advance(DAY + 1)
    collector.look()
    assert len(runs) == 1


def test_one_that_found_another_at_work_is_made_up_for_soon(
    repository: cas.Repository, clock: FakeClock, runs: list[str]
) -> None:
    make_garbage(repository)
    collector = Collector(repository, PLAN, clock)
    collector.look()
    clock.advance(DAY + 1)
    waiting = repository.volume("v0").upload()
    held = threading.Thread(
        target=cas.collect_garbage, args=(repository, PLAN.policy), kwargs={"grace_seconds": 0}
    )
    held.start()
    wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
    collector.look()
    assert len(runs) == 0
    waiting.abort()
    held.join()
    collector.look()
    assert len(runs) == 0
    clock.advance(RETRY_SECONDS + 1)
    collector.look()
    assert len(runs) == 1


def test_a_server_that_ends_does_not_wait_for_its_collection(
    repository: cas.Repository, clock: FakeClock, runs: list[str]
) -> None:
    make_garbage(repository)
    collector = Collector(repository, PLAN, clock)
    collector.look()
    clock.advance(DAY + 1)
    waiting = repository.volume("v0").upload()  # behind which the collection would wait
    upkeep = Upkeep(Job("garbage collection", 1, collector.look, collector.stop))
    wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
    upkeep.close()
    waiting.abort()
    assert len(runs) == 0
    clock.advance(RETRY_SECONDS + 1)
    Collector(repository, PLAN, clock).look()
    assert len(runs) == 1
    assert repository.engine.chunks.epoch() == 2
    assert sum(size for _, size in repository.engine.store.list("packs")) < SIZE * 0.1


def test_a_clock_that_jumps_ahead_does_not_take_all_history_along(
    repository: cas.Repository, clock: FakeClock, runs: list[str]
) -> None:
    """It is believed a week further at each collection: there is time to notice."""
    volume = repository.create_volume("v")
    put(volume, "file", b"old")
    with volume.view() as view:
        sequence = view.sequence
    put(volume, "file", b"new")
    repository.checkpoint()
    policy = cas.VersionPolicy(states=cas.Retention())
    collector = Collector(repository, CollectionPlan(interval_seconds=DAY, policy=policy), clock)
    collector.look()
    clock.advance(400 * DAY)
    for week in range(1, 7):
        collector.look()
        assert len(runs) == week
        if week < 4:
            with volume.at_sequence(sequence) as past:
                assert read(past, "file") == b"old"
        clock.advance(DAY + 1)
    with pytest.raises(cas.NotFoundError):
        volume.at_sequence(sequence)
