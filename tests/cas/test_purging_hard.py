"""Purges that follow each other, pinned snapshots, clocks that stand still, nothing to take."""

from __future__ import annotations

import pytest

import cas
from cas.clock import Clock
from cas.maintenance.purging import write_purge
from cas.purged import Purge, purged_from
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read, remove

SECRET = seeded_bytes(1, 300_000)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still: whatever happens, happens at once."""
    return FakeClock()


def collect(repository: cas.Repository) -> None:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    cas.collect_garbage(repository, grace_seconds=0)


def test_what_came_again_outlives_a_later_purge_of_something_else(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "a", SECRET)
    volume.create_snapshot("first")
    remove(volume, "a")
    cas.purge_path(repository, volume, "a")
    put(volume, "again", SECRET)
    volume.create_snapshot("pinned", is_pinned=True)
    remove(volume, "again")
    put(volume, "other", b"other")
    volume.create_snapshot("second")
    remove(volume, "other")
    cas.purge_path(repository, volume, "other")
    collect(repository)
    assert_sound(repository)
    assert _reads(volume, "first", "a") is None
    assert _reads(volume, "pinned", "again") == SECRET
    assert _reads(volume, "second", "other") is None
    with volume.edit() as edit:
        edit.make_directory("later")
    collect(repository)
    assert_sound(repository)


def test_purges_at_one_moment_are_all_remembered(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    for name in "abc":
        put(volume, name, SECRET + name.encode())
    volume.create_snapshot("before")
    for name in "abc":
        remove(volume, name)
    for name in "abc":
        cas.purge_path(repository, volume, name)
    assert [_reads(volume, "before", name) for name in "abc"] == [None, None, None]
    collect(repository)
    assert_sound(repository)


def test_a_pinned_snapshot_that_has_the_content_elsewhere_is_spared(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "a", SECRET)
    with volume.edit() as edit:
        edit.make_directory("deep/down", parents=True)
        edit.copy("a", "deep/down/b")
    remove(volume, "a")
    volume.create_snapshot("first")
    volume.create_snapshot("pinned", is_pinned=True)
    remove(volume, "deep/down/b")
    with pytest.raises(cas.ConflictError, match="@pinned has 'deep/down/b': unpin it first"):
        cas.purge_path(repository, volume, "a")
    collect(repository)
    assert _reads(volume, "pinned", "deep/down/b") == SECRET
    with volume.edit() as edit:
        edit.remove_snapshot("pinned")
    assert cas.purge_path(repository, volume, "a").snapshots == ["first"]
    assert _reads(volume, "first", "deep/down/b") is None


def test_what_had_no_content_is_not_said_never_to_have_been(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "empty")
    remove(volume, "empty")
    with pytest.raises(cas.NotFoundError, match="had no content: nothing is to be purged"):
        cas.purge_path(repository, volume, "empty")


def test_a_view_from_before_the_purge_brings_nothing_back_that_is_gone(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.edit() as edit:
        edit.make_directory("folder")
    put(volume, "folder/secret", SECRET)
    volume.create_snapshot("before")
    remove(volume, "folder/secret")
    _, view = volume.at_snapshot("before")
    with view:
        cas.purge_path(repository, volume, "folder/secret")
        collect(repository)
        collect(repository)
        for path in ("folder", "folder/secret"):
            edit = volume.edit()
            edit.attach("back", view.entry(path), epoch=view.epoch, nodes=view.nodes)
            with pytest.raises(cas.ExpiredError):
                edit.commit()
    collect(repository)
    assert_sound(repository)


def test_a_purge_of_more_contents_than_one_commit_can_name_is_several(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    ids = seeded_bytes(7, 520_000 * 32)
    contents = [ids[start : start + 32] for start in range(0, len(ids), 32)]
    write_purge(repository, volume.id, Purge(b"folder", volume.sequence(), 1, "", contents))
    with repository.engine.catalog.read() as transaction:
        purged = purged_from(repository.engine.nodes, transaction, volume.id)
    assert purged is not None
    assert purged.contents(volume.sequence()) == frozenset(contents)


def _reads(volume: cas.Volume, snapshot: str, path: str) -> bytes | None:
    """Return what a snapshot gives for a file, None for what was purged."""
    _, view = volume.at_snapshot(snapshot)
    with view:
        try:
            return read(view, path)
        except cas.PurgedError:
            return None
