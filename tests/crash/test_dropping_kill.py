"""kill -9 while deleted volumes are dropped: each is there wholly or not at all."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cas
from cas.formats import REGISTRY_ID
from tests.crash.test_repository_kill import leave
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.dropping_driver import KEPT, PRESENT_ONLY, SHARED, SIZE
from tests.support.processes import CHECKOUT, casdav_environment
from tests.support.volumes import put, read

LONGEST_ROUND_SECONDS = 1.5


def check_all(repository: cas.Repository) -> None:
    """Whatever was deleted: what is there is whole, and what can be brought back is."""
    assert_sound(repository)
    kept = repository.volume(KEPT)
    for number in range(0, SHARED, 2):
        assert read(kept, f"{number}") == seeded_bytes(number, SIZE)
    for number, deleted in enumerate(list(cas.deleted_volumes(repository))):
        name = f"found {number}"
        assert deleted.info.name.startswith(("of ", "found "))
        back = cas.undelete_volume(repository, deleted.info.name, new_name=name)
        with back.view() as view:
            for path, entry in view.list():
                assert len(read(view, path)) == entry.size
        repository.delete_volume(name)


@pytest.mark.parametrize(
    "rounds",
    [3, pytest.param(10, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.soak)],
)
def test_volumes_made_deleted_and_dropped_under_kill(tmp_path: Path, rounds: int) -> None:
    moments = random.Random(rounds)
    location = tmp_path / "store"
    with cas.create(location) as repository:
        kept = repository.create_volume(KEPT)
        for number in range(0, SHARED, 2):
            put(kept, f"{number}", seeded_bytes(number, SIZE))
    for number in range(rounds):
        errors = tmp_path / "errors"
        with errors.open("wb") as file:
            driver = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.support.dropping_driver",
                    str(location),
                    str(number * 1_000_000),
                ],
                cwd=CHECKOUT,
                env=casdav_environment(),
                stderr=file,
            )
            leave(moments.uniform(0.4, LONGEST_ROUND_SECONDS))
            assert driver.poll() is None, errors.read_text()
            driver.kill()
            driver.wait()
        if moments.random() < 0.4:
            shutil.rmtree(location / "local" / "catalog")
        with cas.open(location) as repository:
            check_all(repository)
    with cas.open(location) as repository:
        repository.engine.chunks.open_packs.seal_current()
        cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
        cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
        check_all(repository)
        there = {info.id for info in repository.volumes()} | {REGISTRY_ID}
        with repository.engine.catalog.read() as transaction:
            # A kill between a volume's record and its first commit leaves it without a head.
            assert {volume_id for volume_id, _ in transaction.heads()} <= there
        names = {name.rpartition("/")[2] for name, _ in repository.engine.store.list("refs")}
        assert names <= {volume_id.hex() for volume_id in there}
