"""kill -9 of collections and of the writers beside them: nothing acknowledged is collected.

Nothing old is kept, so that everything which is not named goes at once: copies between volumes
and out of snapshots, and content that comes again, are all that stands between it and its end.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import cas
from tests.crash.test_repository_kill import Worker, leave
from tests.support.checking import assert_sound
from tests.support.collect_driver import PRESENT_ONLY
from tests.support.crash_driver import MIRROR, VOLUME
from tests.support.processes import CHECKOUT, casdav_environment

LONGEST_ROUND_SECONDS: Final = 1.5


def check_all(location: Path, workers: list[Worker]) -> None:
    with cas.open(location) as repository:
        for worker in workers:
            worker.check(repository)
        assert_sound(repository)


class Collector:
    """A process that collects without end."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._errors = location.parent / "collector.errors"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.collect_driver", str(self._location)],
                cwd=CHECKOUT,
                env=casdav_environment(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._errors.read_text()
        self._process.kill()
        self._process.wait()


@pytest.mark.parametrize(
    ("writers", "rounds"),
    [
        (3, 3),
        pytest.param(8, 5, marks=pytest.mark.long),
        pytest.param(8, 50, marks=pytest.mark.soak),
    ],
)
def test_collections_and_writers_killed_again_and_again(
    tmp_path: Path, writers: int, rounds: int
) -> None:
    kill_collections(tmp_path, writers, rounds, first_seed=0)


def kill_collections(tmp_path: Path, writers: int, rounds: int, first_seed: int) -> None:
    moments = random.Random(first_seed)
    location = tmp_path / "store"
    with cas.create(location) as repository:
        repository.create_volume(VOLUME)
        repository.create_volume(MIRROR)
    workers = [
        Worker(location, f"of {number}", "past", *(["checkpoint"] if number % 2 else []))
        for number in range(writers)
    ]
    collector = Collector(location)
    for number in range(rounds):
        for which, worker in enumerate(workers):
            worker.start(first_seed + number * writers + which)
        collector.start()
        leave(moments.uniform(0.1, LONGEST_ROUND_SECONDS))
        collector.kill()
        if moments.random() < 0.5:  # a second one goes on where the first has died
            collector.start()
            leave(moments.uniform(0.1, LONGEST_ROUND_SECONDS))
            collector.kill()
        for worker in workers:
            worker.kill()
        if moments.random() < 0.2:
            shutil.rmtree(location / "local" / "catalog")
        check_all(location, workers)
    with cas.open(location) as repository:
        cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
    check_all(location, workers)
    assert all(worker.acknowledged for worker in workers)
