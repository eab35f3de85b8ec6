"""Snapshots: a name for a state, which stays what it was, whatever happens to volume or catalog."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas
from tests.support.volumes import put


def content_at(volume: cas.Volume, snapshot: cas.Snapshot, path: str) -> bytes:
    with volume.at(snapshot.commit) as view, view.open(path) as file:
        return file.read()


def test_a_snapshot_keeps_the_state_that_it_names(volume: cas.Volume) -> None:
    put(volume, "file", b"old")
    old = volume.create_snapshot("old", author="alice")
    put(volume, "file", b"new")
    new = volume.create_snapshot("new", is_pinned=True)
    with volume.edit() as edit:
        edit.remove("file")
    assert content_at(volume, old, "file") == b"old"
    assert content_at(volume, new, "file") == b"new"
    assert volume.snapshots() == [new, old]
    assert (volume.snapshot("old"), volume.snapshot("new")) == (old, new)
    assert (old.is_pinned, new.is_pinned) == (False, True)
    assert old.time_ns <= old.created_ns <= new.created_ns


def test_a_snapshot_is_opened_by_its_name_and_what_it_holds_attached(volume: cas.Volume) -> None:
    put(volume, "file", b"old")
    made = volume.create_snapshot("old")
    put(volume, "file", b"new")
    found, view = volume.at_snapshot("old")
    assert found == made
    with view, view.open("file") as file:
        assert file.read() == b"old"
        with volume.edit() as edit:
            edit.attach(
                "back", view.entry("file"), epoch=view.epoch, nodes=view.nodes, source="file"
            )
    with volume.view() as now:
        assert now.entry("back").content == view.entry("file").content
    for name in ("never", "", "ä/\udcff"):
        with pytest.raises(cas.NotFoundError, match="has no snapshot"):
            volume.at_snapshot(name)


def test_an_empty_volume_can_have_one(volume: cas.Volume) -> None:
    snapshot = volume.create_snapshot("empty")
    with volume.at(snapshot.commit) as view:
        assert list(view.list()) == []


def test_two_of_one_state_share_its_commit(volume: cas.Volume) -> None:
    put(volume, "file", b"content")
    one = volume.create_snapshot("one")
    with volume.edit() as edit:
        edit.put_snapshot("two", cas.SnapshotRecord(one.commit, one.time_ns), epoch=0)
    assert volume.snapshot("two").commit == one.commit


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "n" * 256, "a\n"])
def test_refuses_what_is_no_name(volume: cas.Volume, name: str) -> None:
    with pytest.raises(cas.InvalidError):
        volume.create_snapshot(name)


def test_a_name_is_given_once_and_free_again_when_it_is_removed(volume: cas.Volume) -> None:
    put(volume, "file", b"1")
    volume.create_snapshot("name")
    with pytest.raises(cas.AlreadyExistsError):
        volume.create_snapshot("name")
    with volume.edit() as edit:
        edit.remove_snapshot("name")
    with pytest.raises(cas.NotFoundError):
        volume.snapshot("name")
    with pytest.raises(cas.NotFoundError), volume.edit() as edit:
        edit.remove_snapshot("name")
    put(volume, "file", b"2")
    assert content_at(volume, volume.create_snapshot("name"), "file") == b"2"


def test_an_edit_that_fails_leaves_the_snapshots_as_they_were(volume: cas.Volume) -> None:
    kept = volume.create_snapshot("kept")
    edit = volume.edit()
    edit.remove_snapshot("kept")
    edit.put_snapshot("more", cas.SnapshotRecord(kept.commit, kept.time_ns), epoch=0)
    edit.remove("missing")
    with pytest.raises(cas.NotFoundError):
        edit.commit()
    assert volume.snapshots() == [kept]


def test_a_commit_of_another_volume_is_not_found(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    snapshot = repository.create_volume("other").create_snapshot("s")
    for commit in (snapshot.commit, bytes(32)):
        with pytest.raises(cas.NotFoundError):
            volume.at(commit)


def test_a_thousand_are_made_by_one_edit(repository: cas.Repository, volume: cas.Volume) -> None:
    one = volume.create_snapshot("one")
    record = cas.SnapshotRecord(one.commit, one.time_ns)
    with volume.edit() as edit:
        for number in range(1000):
            edit.put_snapshot(f"s{number:04}", record, epoch=0)
    repository.checkpoint()
    assert [each.name for each in volume.snapshots()] == [
        "one",
        *(f"s{number:04}" for number in range(1000)),
    ]


@pytest.mark.parametrize("is_lost", [False, True], ids=["replayed", "rebuilt"])
@pytest.mark.parametrize("is_committed", [False, True], ids=["in the journal", "in a commit"])
def test_outlives_the_process_and_the_catalog(
    tmp_path: Path, *, is_lost: bool, is_committed: bool
) -> None:
    source = cas.create(tmp_path / "store")
    volume = source.create_volume("v")
    put(volume, "file", b"old")
    expected = [volume.create_snapshot("a"), volume.create_snapshot("b")]
    put(volume, "file", b"new")
    with volume.edit() as edit:
        edit.remove_snapshot("b")
    if is_committed:
        source.checkpoint()
    copy = tmp_path / "copy"  # as a crash at this moment leaves it
    shutil.copytree(tmp_path / "store", copy)
    source.close()
    if is_lost:
        shutil.rmtree(copy / "local" / "catalog")
    with cas.open(copy) as repository:
        found = repository.volume("v")
        assert found.snapshots() == expected[:1]
        assert content_at(found, expected[0], "file") == b"old"
        with found.view() as view, view.open("file") as file:
            assert file.read() == b"new"


def test_many_go_in_one_commit_and_none_if_one_is_not_what_was_seen(volume: cas.Volume) -> None:
    names = [f"s{number:03}" for number in range(50)]
    seen = [volume.create_snapshot(name) for name in names]
    volume.change_snapshot("s007", is_pinned=True)
    with pytest.raises(cas.PreconditionError, match="s007"):
        volume.remove_snapshots(seen)
    assert [each.name for each in volume.snapshots()] == names
    before = sequence_of(volume)
    volume.remove_snapshots(each for each in seen if each.name != "s007")
    assert [each.name for each in volume.snapshots()] == ["s007"]
    assert sequence_of(volume) == before + 49
    with pytest.raises(cas.PreconditionError, match="s008"):
        volume.remove_snapshots([seen[8]])


def sequence_of(volume: cas.Volume) -> int:
    with volume.view() as view:
        return view.sequence
