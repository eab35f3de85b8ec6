"""Replicas: the same repository at a second place, as it was at one moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import cas
from cas.packfile import HEADER_SIZE
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.processes import CHECKOUT, casdav_environment
from tests.support.volumes import put, read, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 1_000_000


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "replica"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as repository:
        repository.create_volume("v")
        yield repository


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.volume("v")


def test_a_replica_is_the_repository_as_it_was(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    put(volume, "file", seeded_bytes(1, SIZE))
    volume.create_snapshot("one", author="alice")
    put(volume, "file", seeded_bytes(2, SIZE))
    report = cas.replicate(repository, target)
    put(volume, "later", b"later")
    assert report.copied_packs == report.packs > 0
    with cas.open(target) as replica:
        assert_sound(replica)
        assert replica.identity == repository.identity
        there = replica.volume("v")
        assert read(there, "file") == seeded_bytes(2, SIZE)
        with there.at(there.snapshot("one").commit) as past:
            assert read(past, "file") == seeded_bytes(1, SIZE)
        with there.view() as view:
            assert view.get("later") is None


def test_the_second_time_only_what_is_new_is_copied(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    put(volume, "file", seeded_bytes(1, SIZE))
    cas.replicate(repository, target)
    put(volume, "more", seeded_bytes(2, SIZE // 10))
    report = cas.replicate(repository, target)
    assert SIZE // 10 < report.copied_size < SIZE // 5
    with cas.open(target) as replica:
        assert_sound(replica)
        assert read(replica.volume("v"), "more") == seeded_bytes(2, SIZE // 10)
    report = cas.replicate(repository, target)
    with cas.open(target) as replica:
        assert read(replica.volume("v"), "more") == seeded_bytes(2, SIZE // 10)


def test_what_was_collected_goes_from_the_replica_too(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    put(volume, "gone", seeded_bytes(1, SIZE))
    cas.replicate(repository, target)
    remove(volume, "gone")
    policy = cas.VersionPolicy(versions=1, states=cas.Retention())
    repository.checkpoint()
    cas.collect_garbage(repository, policy, grace_seconds=0)
    report = cas.replicate(repository, target)
    assert report.removed_packs > 0
    size = sum(path.stat().st_size for path in (target / "packs").glob("*/*"))
    assert size < SIZE // 2
    with cas.open(target) as replica:
        assert_sound(replica)


def test_a_dry_run_copies_nothing(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    target.mkdir()
    put(volume, "file", seeded_bytes(1, SIZE))
    report = cas.replicate(repository, target, is_dry_run=True)
    assert report.copied_size > SIZE
    assert list(target.iterdir()) == []


def test_what_is_no_replica_of_this_repository_is_left_alone(
    repository: cas.Repository, volume: cas.Volume, target: Path, tmp_path: Path
) -> None:
    put(volume, "file", b"content")
    with pytest.raises(cas.InvalidError, match="its own replica"):
        cas.replicate(repository, repository.location)
    cas.create(target).close()
    with pytest.raises(cas.InvalidError, match="another repository"):
        cas.replicate(repository, target)
    mine = tmp_path / "mine"
    cas.replicate(repository, mine)
    with cas.open(mine) as replica:
        with pytest.raises(cas.LockedError, match="is open"):
            cas.replicate(repository, mine)
        put(replica.volume("v"), "own", b"content of its own")
    with pytest.raises(cas.ConflictError, match="no replica any more"):
        cas.replicate(repository, mine)
    with cas.open(mine) as replica:
        assert read(replica.volume("v"), "own") == b"content of its own"


def test_damage_is_not_passed_on(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    put(volume, "sound", b"sound")
    cas.replicate(repository, target)
    put(volume, "damaged", seeded_bytes(1, SIZE))
    repository.engine.chunks.open_packs.seal_current()
    packs = (repository.engine.local.parent / "packs").glob("*/*")
    pack = max(packs, key=lambda path: path.stat().st_size)
    stored = bytearray(pack.read_bytes())
    stored[HEADER_SIZE + 1000] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(stored)
    report = cas.replicate(repository, target)
    assert report.damaged_packs == [pack.name]
    assert not (target / "packs" / pack.name[:2] / pack.name).exists()
    with cas.open(target) as replica:
        assert read(replica.volume("v"), "sound") == b"sound"
        with pytest.raises(cas.IntegrityError):
            read(replica.volume("v"), "damaged")


class Collecting(cas.Watcher):
    """Collects at each step while packs are copied."""

    def __init__(self, repository: cas.Repository) -> None:
        self._repository = repository
        self._stage = ""
        self.removed = 0
        self.refused = 0

    def stage(self, name: str, total: int | None = None) -> None:
        del total
        self._stage = name

    def advance(self, steps: int) -> None:
        if not steps:
            return
        policy = cas.VersionPolicy(versions=1, states=cas.Retention())
        try:
            report = cas.collect_garbage(self._repository, policy, grace_seconds=0)
            self.removed += report.removed_packs
        except cas.LockedError:
            assert self._stage == "copying what has come meanwhile"
            self.refused += 1


def test_collections_go_on_while_packs_are_copied(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    for number in range(3):
        put(volume, "kept", seeded_bytes(number, SIZE))
        put(volume, "gone", seeded_bytes(10 + number, SIZE))
        repository.checkpoint()
        repository.engine.chunks.open_packs.seal_current()
    remove(volume, "gone")
    watcher = Collecting(repository)
    report = cas.replicate(repository, target, watcher=watcher)
    assert watcher.removed
    assert watcher.refused
    assert not report.damaged_packs
    with cas.open(target) as replica:
        assert_sound(replica)
        assert read(replica.volume("v"), "kept") == seeded_bytes(2, SIZE)
    size = sum(path.stat().st_size for path in (target / "packs").glob("*/*"))
    assert size < 2 * SIZE


def test_it_runs_beside_writers_and_another_process(
    repository: cas.Repository, volume: cas.Volume, target: Path
) -> None:
    """What each replica holds is what was there when it was made; it always opens and is sound."""
    repository.create_volume("shared")
    command = [sys.executable, "-m", "tests.support.crash_driver", repository.location]
    driver = subprocess.Popen(
        [*command, "other", "1", "checkpoint"],
        cwd=CHECKOUT,
        env=casdav_environment(),
        stdout=subprocess.PIPE,
    )
    assert driver.stdout is not None
    driver.stdout.readline()
    drain = threading.Thread(target=driver.stdout.read)
    drain.start()
    try:
        for number in range(4):
            put(volume, f"{number}", seeded_bytes(number, 10_000))
            cas.replicate(repository, target)
            with cas.open(target) as replica:
                assert_sound(replica)
                assert read(replica.volume("v"), f"{number}") == seeded_bytes(number, 10_000)
    finally:
        driver.kill()
        driver.wait()
        drain.join()
        driver.stdout.close()
    cas.replicate(repository, target)  # what the dead process left is made good first
    with cas.open(target) as replica:
        assert_sound(replica)
