"""kill -9 of a gateway on a bucket: what was acknowledged is uploaded later, nothing is lost."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

import cas
from tests.crash.test_repository_kill import (
    LONGEST_ROUND_SECONDS,
    Worker,
    check_all,
    leave,
    make_repository,
)
from tests.support.checking import assert_sound

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.seaweed import Bucket


@pytest.mark.long
@pytest.mark.parametrize("rounds", [7])
def test_a_gateway_killed_again_and_again_loses_nothing(
    bucket: Bucket, tmp_path: Path, rounds: int
) -> None:
    moments = random.Random(rounds)
    url = bucket.url(durability="local", local=str(tmp_path / "one"))
    make_repository(url)
    workers = [
        Worker(url, folder, *options, errors=tmp_path / f"{folder}.errors")
        for folder, options in (("small", ("checkpoint",)), ("large", ("big",)))
    ]
    for seed in range(rounds):
        for worker in workers:
            worker.start(seed)
        leave(moments.uniform(0, LONGEST_ROUND_SECONDS))
        for worker in workers:
            worker.kill()
        if seed % 3 == 1:
            [root] = (tmp_path / "one").iterdir()
            shutil.rmtree(root / "local" / "catalog")
        check_all(url, workers)
    assert all(worker.acknowledged for worker in workers)
    # The last one to close has uploaded everything: another machine finds it all.
    shutil.rmtree(tmp_path / "one")
    elsewhere = bucket.url(durability="local", local=str(tmp_path / "two"))
    cas.take_over(elsewhere)
    with cas.open(elsewhere) as repository:
        for worker in workers:
            worker.check(repository)
        assert_sound(repository)
