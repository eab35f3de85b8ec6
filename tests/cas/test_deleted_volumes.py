"""Deleted volumes: kept for a while, brought back, and then gone with all that was theirs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

import cas
from cas.history import History, Recorded
from cas.retention import CalendarSpan, Retention
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE: Final = 2_000_000
DAY: Final = 86_400
PRESENT_ONLY: Final = cas.VersionPolicy(versions=1, states=Retention())
MONTH: Final = cas.VersionPolicy(every=CalendarSpan(days=30))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def location(tmp_path: Path) -> Path:
    cas.create(tmp_path / "store").close()
    return tmp_path / "store"


@pytest.fixture
def repository(location: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    with cas.open(location, clock=clock) as repository:
        yield repository


def make(repository: cas.Repository, name: str, seed: int = 0) -> cas.Volume:
    volume = repository.create_volume(name, owner="ann", quota=10 * SIZE)
    put(volume, "file", seeded_bytes(seed, SIZE))
    volume.create_snapshot("before")
    put(volume, "file", seeded_bytes(seed + 1, SIZE))
    return volume


def collect(
    repository: cas.Repository,
    policy: cas.VersionPolicy = PRESENT_ONLY,
    *,
    is_dry_run: bool = False,
) -> cas.CollectionReport:
    """Collect from all packs, those too that are being filled."""
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    report = cas.collect_garbage(repository, policy, grace_seconds=0, is_dry_run=is_dry_run)
    assert_sound(repository)
    return report


def stored(repository: cas.Repository) -> int:
    repository.engine.chunks.open_packs.seal_current()
    return sum(size for _, size in repository.engine.store.list("packs"))


def refs(repository: cas.Repository) -> int:
    return len(list(repository.engine.store.list("refs")))


def test_a_deleted_volume_comes_back_with_all_that_it_was(repository: cas.Repository) -> None:
    volume = make(repository, "v")
    repository.delete_volume("v", author="bob")
    collect(repository, MONTH)
    (deleted,) = cas.deleted_volumes(repository)
    assert (deleted.info, deleted.author) == (volume.info, "bob")
    assert (deleted.root.size, deleted.root.files) == (SIZE, 1)
    back = cas.undelete_volume(repository, "v")
    assert back.info == volume.info
    assert read(back, "file") == seeded_bytes(1, SIZE)
    _, then = back.at_snapshot("before")
    with then:
        assert read(then, "file") == seeded_bytes(0, SIZE)
    put(back, "more", b"and it goes on")
    assert not list(cas.deleted_volumes(repository))
    collect(repository)
    assert read(back, "file") == seeded_bytes(1, SIZE)


def test_it_is_kept_for_the_span_counted_from_the_deletion_and_then_goes_whole(
    repository: cas.Repository, clock: FakeClock
) -> None:
    volume = make(repository, "v")
    kept = make(repository, "kept", seed=10)
    clock.advance(50 * DAY)
    repository.delete_volume("v")
    repository.checkpoint()
    clock.advance(29 * DAY)
    assert collect(repository, MONTH).dropped_volumes == 0
    assert len(list(cas.deleted_volumes(repository))) == 1
    clock.advance(2 * DAY)
    assert collect(repository, MONTH, is_dry_run=True).dropped_volumes == 1
    assert len(list(cas.deleted_volumes(repository))) == 1
    assert collect(repository, MONTH).dropped_volumes == 1
    assert collect(repository, MONTH).dropped_volumes == 0
    assert stored(repository) < SIZE * 2.1
    assert refs(repository) == 2
    with repository.engine.catalog.read() as transaction:
        assert transaction.head(volume.id) is None
        assert not transaction.history().has_any(volume.id)
    with repository.registry.view() as view:
        assert view.get(f"retention/{volume.id.hex()}") is None
    with pytest.raises(cas.NotFoundError, match="no deleted volume"):
        cas.undelete_volume(repository, "v")
    assert read(kept, "file") == seeded_bytes(11, SIZE)


def test_what_another_volume_holds_too_stays(repository: cas.Repository) -> None:
    volume = make(repository, "v")
    other = repository.create_volume("other")
    with volume.view() as view, other.edit() as edit:
        edit.attach("copy", view.entry("file"), epoch=view.epoch, nodes=view.nodes)
    repository.delete_volume("v")
    assert collect(repository).dropped_volumes == 1
    assert read(other, "copy") == seeded_bytes(1, SIZE)
    put(other, "again", seeded_bytes(0, SIZE))
    assert read(other, "again") == seeded_bytes(0, SIZE)


@pytest.mark.parametrize(("versions", "dropped"), [(1, 3), (2, 2), (3, 1), (9, 0)])
def test_a_number_of_versions_counts_the_volumes_of_a_name(
    repository: cas.Repository, versions: int, dropped: int
) -> None:
    for number in range(3):
        make(repository, "v", seed=number)
        repository.delete_volume("v")
    policy = cas.VersionPolicy(versions=versions, states=Retention())
    assert collect(repository, policy).dropped_volumes == dropped
    assert len(list(cas.deleted_volumes(repository))) == 3 - dropped


def test_a_name_that_is_taken_is_not_taken_over(repository: cas.Repository) -> None:
    first = make(repository, "v")
    repository.delete_volume("v")
    second = make(repository, "v", seed=5)
    with pytest.raises(cas.AlreadyExistsError, match="'v' already"):
        cas.undelete_volume(repository, "v")
    back = cas.undelete_volume(repository, "v", new_name="found")
    assert back.id == first.id
    with pytest.raises(cas.NotFoundError):
        cas.undelete_volume(repository, "v", new_name="found again")
    assert read(second, "file") == seeded_bytes(6, SIZE)
    assert [info.name for info in repository.volumes()] == ["found", "v"]
    with pytest.raises(cas.InvalidError):
        cas.undelete_volume(repository, "v", new_name="a/b")


def test_a_volume_that_was_brought_back_is_deleted_anew(
    repository: cas.Repository, clock: FakeClock
) -> None:
    make(repository, "v")
    repository.delete_volume("v")
    clock.advance(20 * DAY)
    cas.undelete_volume(repository, "v")
    clock.advance(20 * DAY)
    repository.delete_volume("v")
    clock.advance(20 * DAY)
    assert collect(repository, MONTH).dropped_volumes == 0
    cas.undelete_volume(repository, "v")
    clock.advance(400 * DAY)
    assert collect(repository, MONTH).dropped_volumes == 0
    assert read(repository.volume("v"), "file") == seeded_bytes(1, SIZE)


def test_a_catalog_made_anew_changes_nothing(location: Path, clock: FakeClock) -> None:
    with cas.open(location, clock=clock) as repository:
        make(repository, "gone")
        make(repository, "back", seed=5)
        repository.delete_volume("gone")
        collect(repository)
        repository.delete_volume("back")
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location, clock=clock) as repository:
        assert_sound(repository)
        assert [each.info.name for each in cas.deleted_volumes(repository)] == ["back"]
        back = cas.undelete_volume(repository, "back")
        assert read(back, "file") == seeded_bytes(6, SIZE)
        collect(repository)
        assert read(back, "file") == seeded_bytes(6, SIZE)


def test_a_copy_of_the_past_brings_no_ref_of_a_dropped_volume_to_a_replica(
    repository: cas.Repository, tmp_path: Path
) -> None:
    make(repository, "gone")
    make(repository, "kept", seed=5)
    cas.replicate(repository, tmp_path / "replica")
    repository.delete_volume("gone")
    collect(repository)
    cas.replicate(repository, tmp_path / "replica")
    with cas.open(tmp_path / "replica") as replica:
        assert_sound(replica)
        assert refs(replica) == 2
        assert read(replica.volume("kept"), "file") == seeded_bytes(6, SIZE)


def test_deleted_volumes_are_found_without_a_walk_of_all_that_changed(
    repository: cas.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second", "there"):
        repository.create_volume(name)
        with repository.registry.edit() as edit:
            edit.make_directory(f"audit/{name}", parents=True)
            for number in range(2000):
                edit.put_record(f"audit/{name}/{number}", b"somebody came")
    repository.delete_volume("first", author="ann")
    repository.checkpoint()
    repository.delete_volume("second")
    looked_at = []
    changes = History.change, History.backward

    def change(self: History, sequence: int) -> Recorded | None:
        looked_at.append(sequence)
        return changes[0](self, sequence)

    def backward(self: History, before: int) -> Iterator[Recorded]:
        for recorded in changes[1](self, before):
            looked_at.append(recorded.sequence)
            yield recorded

    monkeypatch.setattr(History, "change", change)
    monkeypatch.setattr(History, "backward", backward)
    found = list(cas.deleted_volumes(repository))
    assert [each.info.name for each in found] == ["second", "first"]
    assert found[1].author == "ann"
    assert len(looked_at) < 20
