"""Whom a collection waits for: the process, the write in it, and since when."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

import cas
from cas.retention import Retention
from tests.support import wait_until
from tests.support.clock import FakeClock
from tests.support.volumes import put, remove

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=Retention())


class Told(cas.Watcher):
    def __init__(self) -> None:
        self.waited: list[list[cas.WaitedFor]] = []

    def waiting(self, processes: list[cas.WaitedFor]) -> None:
        self.waited.append(processes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cas.maintenance.watching._PATIENCE_SECONDS", 0)


def test_it_tells_of_the_oldest_write_and_of_the_next_one_when_that_has_ended(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    other = repository.create_volume("other")
    put(volume, "file", bytes(3_000_000))
    remove(volume, "file")
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    writes: list[tuple[str, cas.FileWriter | cas.Edit, int]] = []
    for each in (volume, other):
        clock.advance(60)
        began_ns = clock.now_ns()
        writes.append((each.name, each.upload() if each is volume else each.edit(), began_ns))
    clock.advance(60)
    told = Told()
    reports: list[cas.CollectionReport] = []

    def collect() -> None:
        found = cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0, watcher=told)
        reports.append(found)

    collecting = threading.Thread(target=collect)
    collecting.start()
    try:
        while writes:
            name, _, began_ns = writes[0]
            expected = [cas.WaitedFor(os.getpid(), began_ns, name)]
            wait_until(partial(told.waited.__contains__, expected), f"the write in {name}")
            del writes[0], _
    finally:
        writes.clear()
        collecting.join()
    assert len(told.waited) == 2
    assert reports[0].removed_packs > 0
