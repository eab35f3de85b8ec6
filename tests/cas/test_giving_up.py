"""Commits and lists of changes that are lost: a repair says so, and collections go on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

import cas
from cas.ids import Kind
from cas.journal import Commit
from cas.objects import decode
from tests.support.checking import check
from tests.support.corpus import seeded_bytes
from tests.support.damage import damage_object
from tests.support.volumes import put, read, remove

if TYPE_CHECKING:
    from pathlib import Path

SIZE: Final = 10_000_000
EVERYTHING: Final = cas.VersionPolicy(every=cas.CalendarSpan(years=9))


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A volume with five commits in packs, and a deleted volume."""
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        for number in range(5):
            put(volume, "file", seeded_bytes(number, 1000))
            repository.checkpoint()
        put(repository.create_volume("deleted"), "file", seeded_bytes(9, 1000))
        repository.checkpoint()
        repository.delete_volume("deleted")
    return tmp_path / "store"


def commits(location: Path) -> list[tuple[bytes, Commit]]:
    """Return the volume's commits, the newest first."""
    found = []
    with cas.open(location) as repository:
        engine = repository.engine
        with engine.catalog.read() as transaction:
            head = transaction.head(repository.volume("v").id)
        assert head is not None
        commit_id = head.commit
        while commit_id:
            commit = decode(engine.chunks.get(Kind.COMMIT, commit_id), Commit)
            found.append((commit_id, commit))
            commit_id = commit.parent
    return found


def collect(location: Path, policy: cas.VersionPolicy = EVERYTHING) -> cas.CollectionReport:
    with cas.open(location) as repository:
        return cas.collect_garbage(repository, policy, grace_seconds=0)


def add_garbage(location: Path) -> None:
    with cas.open(location) as repository:
        volume = repository.volume("v")
        with volume.upload() as upload:
            upload.write(seeded_bytes(77, SIZE))
        repository.checkpoint()


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("what", ["commit", "changes"])
def test_collections_go_on_after_a_repair_and_take_nothing_older(
    location: Path, number: int, what: str
) -> None:
    chain = commits(location)
    lost = chain[number][0] if what == "commit" else chain[number][1].changes
    damage_object(location, lost)
    with pytest.raises(cas.IntegrityError):
        collect(location)
    with cas.open(location) as repository:
        assert cas.repair_repository(repository).given_up == [lost]
        assert cas.repair_repository(repository).given_up == []
        before = check(repository)
        assert set(before.kinds) == {"missing"}
    add_garbage(location)
    assert collect(location).freed_size > SIZE * 0.8
    with cas.open(location) as repository:
        volume = repository.volume("v")
        assert check(repository).kinds == before.kinds
        assert read(volume, "file") == seeded_bytes(4, 1000)
        for commit_id, _ in chain:
            if commit_id != lost:
                with volume.at(commit_id) as past:
                    position = [each for each, _ in reversed(chain)].index(commit_id)
                    assert read(past, "file") == seeded_bytes(position, 1000)
        cas.undelete_volume(repository, "deleted")
        put(volume, "later", b"later")
        remove(volume, "file")
    collect(location)


def test_what_nobody_has_given_up_is_not_passed_over(location: Path) -> None:
    chain = commits(location)
    damage_object(location, chain[2][0])
    with cas.open(location) as repository:
        cas.repair_repository(repository, is_dry_run=True)
    with pytest.raises(cas.IntegrityError):
        collect(location)
    with cas.open(location) as repository:
        cas.repair_repository(repository)
    damage_object(location, chain[3][0])
    with pytest.raises(cas.IntegrityError):
        collect(location)


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("what", ["commit", "changes"])
@pytest.mark.parametrize("is_catalog_lost", [False, True])
def test_the_log_ends_with_an_error_until_a_repair_and_then_passes_over_what_is_lost(
    location: Path, number: int, what: str, *, is_catalog_lost: bool
) -> None:
    chain = commits(location)
    commit_id, commit = chain[number]
    lost = commit_id if what == "commit" else commit.changes
    hidden = range(commit.first_sequence, commit.last_sequence + 1)
    with cas.open(location) as repository:
        whole = [item.sequence for item in repository.volume("v").log("", recursive=True)]
    if what == "commit" and not is_catalog_lost:
        hidden = range(0)  # the catalog knows where its changes are
    damage_object(location, lost)
    with cas.open(location) as repository:
        cas.repair_repository(repository)
    if is_catalog_lost:
        shutil.rmtree(location / "local")
    with cas.open(location) as repository:
        volume = repository.volume("v")
        left = [sequence for sequence in whole if sequence not in hidden]
        assert [item.sequence for item in volume.log("", recursive=True)] == left
        at_path = [item.sequence for item in volume.log("file")]
        assert at_path == [sequence for sequence in left if sequence > 1]
        with repository.registry.edit() as edit:
            edit.remove(f"lost/{lost.hex()}")
        if hidden:
            log = volume.log("", recursive=True)
            newer = [next(log).sequence for sequence in whole if sequence > hidden[-1]]
            assert newer == [sequence for sequence in whole if sequence > hidden[-1]]
            with pytest.raises(cas.IntegrityError, match=f"#{hidden[0]} to #{hidden[-1]}"):
                next(log)
