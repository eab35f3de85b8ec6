"""kill -9 of processes at work on one repository: what was acknowledged is there, nothing partial.

Each process owns a folder and says on a pipe what it is about to do and what it was told is
done. After a kill its folder is as acknowledged, or as after the operation under way.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.crash_driver import NAMES, VOLUME, Folder, content_of
from tests.support.history import check_index, check_log
from tests.support.processes import CHECKOUT, casdav_environment

LONGEST_ROUND_SECONDS: Final = 0.6


class Worker:
    """A process at work on its folder, and what its folder may hold."""

    def __init__(
        self, location: str | Path, folder: str, *options: str, errors: Path | None = None
    ) -> None:
        self.folder = folder
        self.before: Folder = {}
        self.after: Folder = {}
        self.acknowledged = 0
        self._location = location
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = errors or Path(location).parent / f"{folder}.errors"

    def start(self, seed: int, *, wait: bool = True) -> None:
        """Start the process; with `wait`, return once it has opened the repository."""
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.crash_driver"),
                    *(str(self._location), self.folder, str(seed), *self._options),
                ],
                cwd=CHECKOUT,
                env=casdav_environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        if wait:
            assert self._process.stdout is not None
            found = self._process.stdout.readline()
            assert found, self.errors
            self._take(json.loads(found))

    def kill(self) -> None:
        """End it at once and learn how far it was."""
        assert self._process is not None
        assert self._process.poll() is None, self.errors
        self._process.kill()
        output, _ = self._process.communicate()
        for line in output.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # the kill cut the line
            self._take(json.loads(line))

    def _take(self, message: dict[str, dict[str, list[int]]]) -> None:
        ((what, folder),) = message.items()
        state = {name: (seed, length) for name, (seed, length) in folder.items()}
        if what == "found":  # which tells how the operation before the last kill has ended
            assert state in (self.before, self.after), self.folder
        self.after = state
        if what != "trying":
            self.before = state
        self.acknowledged += what == "done"

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def check(self, repository: cas.Repository) -> None:
        """Fail unless the folder is as it may be; what it is is then what it must be."""
        found: Folder = {}
        with repository.volume(VOLUME).view() as view:
            for name, entry in view.list(self.folder) if view.get(self.folder) else ():
                found[name] = (entry.mtime_ns, entry.size)
                with view.open(f"{self.folder}/{name}") as reader:
                    assert reader.read() == content_of(entry.mtime_ns, entry.size), name
        assert found in (self.before, self.after), self.folder
        self.before = self.after = found


def make_repository(location: str | Path) -> None:
    with cas.create(location) as repository:
        repository.create_volume(VOLUME)


def check_all(location: str | Path, workers: Sequence[Worker]) -> None:
    with cas.open(location) as repository:
        for worker in workers:
            worker.check(repository)
        assert_sound(repository)
        check_history(repository, workers)


def check_history(repository: cas.Repository, workers: Sequence[Worker]) -> None:
    """Check that what is found of the past is all there is, once each."""
    volume = repository.volume(VOLUME)
    check_index(repository.engine.history.open(volume.id))
    for which, worker in enumerate(workers):
        for name in NAMES[:3]:
            check_log(volume, f"{worker.folder}/{name}", which)


def leave(seconds: float) -> None:
    # The moment of the kill is the test's input, so here time itself is what we wait for.
    time.sleep(seconds)


@pytest.mark.parametrize(
    "rounds",
    [3, pytest.param(8, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("options", [("checkpoint",), ("big", "checkpoint")])
def test_one_process_killed_again_and_again(
    tmp_path: Path, rounds: int, options: tuple[str, ...]
) -> None:
    kill_one(tmp_path, rounds, options, first_seed=0)


def kill_one(tmp_path: Path, rounds: int, options: tuple[str, ...], first_seed: int) -> None:
    moments = random.Random(f"{options} {first_seed}")
    location = tmp_path / "store"
    make_repository(location)
    worker = Worker(location, "alone", *options)
    for seed in range(first_seed, first_seed + rounds):
        worker.start(seed)
        leave(moments.uniform(0, LONGEST_ROUND_SECONDS))
        worker.kill()
        if moments.random() < 0.4:
            shutil.rmtree(location / "local" / "catalog")
        if moments.random() < 0.7:  # else the next process recovers by itself
            check_all(location, [worker])
    check_all(location, [worker])
    assert worker.acknowledged > 0


@pytest.mark.parametrize(
    "rounds",
    [2, pytest.param(8, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
def test_several_processes_of_which_some_are_killed(tmp_path: Path, rounds: int) -> None:
    kill_some(tmp_path, rounds, first_seed=0)


def kill_some(tmp_path: Path, rounds: int, first_seed: int) -> None:
    moments = random.Random(first_seed)
    location = tmp_path / "store"
    make_repository(location)
    options = [("checkpoint",), ("big",), ()]
    workers = [Worker(location, f"of {each}", *each) for each in options]
    for seed, worker in enumerate(workers, start=first_seed):
        worker.start(seed)
    with cas.open(location) as repository:
        for number in range(rounds):
            leave(moments.uniform(0.05, LONGEST_ROUND_SECONDS))
            worker = moments.choice(workers)
            worker.kill()
            # The next commit of any process recovers: this one makes sure that there is one.
            with repository.volume(VOLUME).edit() as edit:
                edit.make_directory(f"round {number}")
            worker.check(repository)
            worker.start(seed=first_seed + 1000 + number)
        for worker in workers:
            worker.kill()
    check_all(location, workers)
    shutil.rmtree(location / "local" / "catalog")
    check_all(location, workers)
    assert min(worker.acknowledged for worker in workers) > 0


@pytest.mark.parametrize(
    "rounds",
    [1, pytest.param(5, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
def test_a_kill_while_recovering_or_rebuilding(tmp_path: Path, rounds: int) -> None:
    kill_recovery(tmp_path, rounds, first_seed=0)


def kill_recovery(tmp_path: Path, rounds: int, first_seed: int) -> None:
    moments = random.Random(first_seed)
    location = tmp_path / "store"
    make_repository(location)
    workers = [Worker(location, name, "checkpoint") for name in ("left", "right")]
    for seed in range(first_seed, first_seed + rounds):
        for worker in workers:
            worker.start(seed)
        leave(moments.uniform(0.1, LONGEST_ROUND_SECONDS))
        for worker in workers:
            worker.kill()
        lost = moments.random() < 0.5
        if lost:
            shutil.rmtree(location / "local" / "catalog")
        for attempt in range(3):  # it takes some tenths of a second until the module is loaded
            workers[0].start(seed + attempt, wait=False)
            leave(moments.uniform(0.2, 0.45))
            workers[0].kill()
        check_all(location, workers)


@pytest.mark.soak
def test_nothing_is_lost_whatever_the_seed(tmp_path: Path, soak_seed: int) -> None:
    first_seed = 10_000 * (1 + soak_seed)
    for name in ("one", "big", "some", "recovery"):
        (tmp_path / name).mkdir()
    kill_one(tmp_path / "one", 30, ("checkpoint",), first_seed)
    kill_one(tmp_path / "big", 30, ("big", "checkpoint"), first_seed)
    kill_some(tmp_path / "some", 40, first_seed)
    kill_recovery(tmp_path / "recovery", 20, first_seed)
