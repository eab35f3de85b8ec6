"""kill -9 of purges, beside collections of another process: what is said to be gone is gone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

import cas
from tests.crash.test_repository_kill import leave
from tests.support.checking import assert_sound
from tests.support.processes import CHECKOUT, casdav_environment
from tests.support.purging_driver import VOLUME, content, is_elsewhere
from tests.support.volumes import read
from tests.support.waiting import wait_until

KEEPS_ALL = cas.VersionPolicy()
NUMBERS_OF_A_ROUND = 1_000_000


class Said:
    """What the processes that were killed have said, by number."""

    def __init__(self) -> None:
        self.purging: set[int] = set()
        self.purged: set[int] = set()
        self.removed: set[int] = set()

    def take(self, path: Path) -> None:
        """Read what the driver has said; the last line may be cut."""
        for line in path.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                what, number = json.loads(line)
                getattr(self, what).add(number)
        path.unlink()


def check_all(repository: cas.Repository, said: Said) -> None:
    """Collect, with rules by which all the past stays: only what was purged goes."""
    repository.engine.chunks.open_packs.seal_current()
    for _ in range(2):
        cas.collect_garbage(repository, KEEPS_ALL, grace_seconds=0)
    assert_sound(repository)
    volume = repository.volume(VOLUME)
    has = repository.engine.chunks.contains
    identify = repository.engine.chunks.identifier.chunk
    for number in said.removed | said.purging:
        if is_elsewhere(number):
            assert read(volume, f"elsewhere/{number}") == content(number)
        elif number in said.purged:
            assert not has(identify(content(number))), number
        elif number in said.removed:
            assert has(identify(content(number))), number
    for number in random.Random(0).sample(sorted(said.removed), min(20, len(said.removed))):
        gone = next(iter(volume.log(f"folder/{number}")))
        with volume.at_sequence(gone.sequence - 1) as past:
            assert read(past, f"folder/{number}") == content(number)
    for number in said.purged - said.removed:
        for item in volume.log(f"folder/{number}"):
            with volume.at_sequence(item.sequence) as past:
                if past.get(f"folder/{number}") is not None:
                    with pytest.raises(cas.PurgedError):
                        past.open(f"folder/{number}")


@pytest.mark.parametrize(
    "rounds",
    [2, pytest.param(8, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
def test_purges_killed_beside_collections_of_another_process(tmp_path: Path, rounds: int) -> None:
    moments = random.Random(rounds)
    location = tmp_path / "store"
    with cas.create(location) as repository, repository.create_volume(VOLUME).edit() as edit:
        edit.make_directory("folder")
        edit.make_directory("elsewhere")
    said = Said()
    for number in range(rounds):
        with ExitStack() as running:
            start = [str(location), str(number * NUMBERS_OF_A_ROUND)]
            driver = _start(running, tmp_path, "purging_driver", *start)
            collector = _start(running, tmp_path, "collect_driver", str(location), "keeping")
            wait_until(partial(_begins, tmp_path, driver, collector), "the driver to begin")
            leave(moments.uniform(0.1, 1.2))
            assert _begins(tmp_path, driver, collector)
            for process in moments.sample([driver, collector], 2):
                process.kill()
                process.wait()
            said.take(tmp_path / "said")
        with cas.open(location) as repository:
            check_all(repository, said)
    assert said.purged


def _begins(directory: Path, *processes: subprocess.Popen[bytes]) -> bool:
    for process in processes:
        assert process.poll() is None, (directory / "errors").read_text()
    return bool((directory / "said").read_text())


def _start(
    running: ExitStack, directory: Path, module: str, *words: str
) -> subprocess.Popen[bytes]:
    name = "said" if module == "purging_driver" else "collected"
    said = running.enter_context((directory / name).open("ab"))
    errors = running.enter_context((directory / "errors").open("ab"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.support.{module}", *words],
        cwd=CHECKOUT,
        env=casdav_environment(),
        stdout=said,
        stderr=errors,
    )
    running.callback(process.wait)
    running.callback(process.kill)
    return process
