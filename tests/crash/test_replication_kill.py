"""kill -9 while a replica is made: it is what it was before, or what it was to become."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.processes import casdav_command, casdav_environment
from tests.support.volumes import put, read


@pytest.mark.parametrize(
    "rounds",
    [3, pytest.param(10, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
def test_a_replica_that_is_cut_off_opens_all_the_same(tmp_path: Path, rounds: int) -> None:
    moments = random.Random(rounds)
    store, target = tmp_path / "store", tmp_path / "replica"
    with cas.create(store) as repository:
        volume = repository.create_volume("v")
        put(volume, "file", seeded_bytes(0, 100_000))
        cas.replicate(repository, target)
        acknowledged = 0
        for number in range(1, rounds + 1):
            for each in range(5):
                put(volume, f"{number} {each}", seeded_bytes(number * 10 + each, 300_000))
            put(volume, "file", seeded_bytes(number, 100_000))
            command = [*casdav_command(), "--store", str(store), "replicate", str(target)]
            process = subprocess.Popen(command, env=casdav_environment(), stdout=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.2, 1.5))  # the moment of the kill is the test's input
            process.kill()
            if process.wait() == 0:
                acknowledged = number
            with cas.open(target) as replica:
                assert_sound(replica)
                content = read(replica.volume("v"), "file")
                states = {seeded_bytes(n, 100_000): n for n in range(acknowledged, number + 1)}
                acknowledged = states[content]
        cas.replicate(repository, target)
    with cas.open(target) as replica:
        assert_sound(replica)
        assert read(replica.volume("v"), "file") == seeded_bytes(rounds, 100_000)
