"""The catalog is lost, and refs, commits or the journal are damaged as well: as much as can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas
from cas.packfile import PackKind
from cas.refs import ref_name
from tests.support.checking import assert_sound, check
from tests.support.damage import damage_object, flip
from tests.support.encrypted import keys_of


def put(repository: cas.Repository, name: str, volume: str = "v") -> None:
    with repository.volume(volume).edit() as edit:
        edit.make_directory(name)


def names(repository: cas.Repository, volume: str = "v") -> list[str]:
    with repository.volume(volume).view() as view:
        return [name for name, _ in view.list()]


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A repository as after a kill: two volumes, commits, and changes behind them."""
    with cas.create(tmp_path / "made") as repository:
        for volume in ("v", "w"):
            repository.create_volume(volume)
            put(repository, "first", volume)
        repository.checkpoint()
        put(repository, "second")
        repository.checkpoint()
        put(repository, "third")
        put(repository, "other", "w")
        put(repository, "fourth")
        shutil.copytree(tmp_path / "made", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "local" / "catalog")
    return tmp_path / "store"


def damage_open_journal(location: Path, from_the_end: int) -> None:
    """Flip a bit in one of the last records of the open data pack, where nothing is sealed."""
    (pack,) = (
        path
        for path in (location / "local" / "open").glob("*.pack")
        if path.read_bytes()[10] == PackKind.DATA
    )
    content = pack.read_bytes()
    at = len(content)
    for _ in range(from_the_end):
        at = content.rindex(b"cREC", 0, at)
    flip(pack, at + 70)


def salvage(location: Path) -> list[str]:
    """Return what is given up; afterwards the repository opens, and works on, and is rebuilt."""
    with pytest.raises(cas.IntegrityError, match="casdav repair"):
        cas.open(location)
    losses = cas.rebuild_index(location, give_up=True).losses
    with cas.open(location) as repository:
        put(repository, "later")
        before = names(repository), names(repository, "w")
    for _ in range(2):
        cas.rebuild_index(location)
        with cas.open(location) as repository:
            assert (names(repository), names(repository, "w")) == before
    return losses


def test_a_damaged_record_in_the_middle_of_the_journal_ends_its_volume_there(
    location: Path,
) -> None:
    damage_open_journal(location, 3)  # that of "third"; "other" and "fourth" follow
    losses = salvage(location)
    assert any(loss.startswith("v: ") for loss in losses)
    with cas.open(location) as repository:
        assert names(repository) == ["first", "later", "second"]
        assert names(repository, "w") == ["first", "other"]
        assert_sound(repository)


def test_a_damaged_last_record_is_as_if_it_had_never_been_written(location: Path) -> None:
    damage_open_journal(location, 1)
    with cas.open(location) as repository:  # a torn end is no damage: nobody can tell
        assert names(repository) == ["first", "second", "third"]
        assert_sound(repository)


@pytest.mark.parametrize("which", ["all", "registry", "others"])
def test_damaged_refs_are_found_again_from_commits_and_journal(location: Path, which: str) -> None:
    registry = ref_name(keys_of(location).identifier, bytes(16))
    for ref in location.glob("refs/*"):
        is_registry = f"refs/{ref.name}" == registry
        if which == "all" or (which == "registry") == is_registry:
            flip(ref, 50)
    losses = salvage(location)
    assert losses
    with cas.open(location) as repository:
        assert names(repository) == ["first", "fourth", "later", "second", "third"]
        assert names(repository, "w") == ["first", "other"]
        assert_sound(repository)


def test_a_damaged_newest_commit_is_made_good_by_the_journal_behind_the_one_before(
    location: Path,
) -> None:
    with cas.open(location) as repository:
        volume = repository.volume("v")
        with repository.engine.catalog.read() as transaction:
            head = transaction.head(volume.id)
        assert head is not None
        newest = head.commit
    shutil.rmtree(location / "local" / "catalog")
    damage_object(location, newest)
    salvage(location)
    with cas.open(location) as repository:
        assert {"first", "second"} <= set(names(repository))
        assert names(repository, "w") == ["first", "other"]
        assert set(check(repository).kinds) <= {"damaged"}


def test_without_damage_nothing_is_given_up(location: Path) -> None:
    assert cas.rebuild_index(location, give_up=True).losses == []
    with cas.open(location) as repository:
        assert names(repository) == ["first", "fourth", "second", "third"]
        assert_sound(repository)
