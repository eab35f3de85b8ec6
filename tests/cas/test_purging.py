"""What is purged goes from all of the past, for good, and nothing else does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read, remove

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 3_000_000
SECRET = seeded_bytes(1, SIZE)
OTHER = seeded_bytes(2, SIZE)


def collect(repository: cas.Repository) -> cas.CollectionReport:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    return cas.collect_garbage(repository, grace_seconds=0)


def stored(repository: cas.Repository) -> int:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    return sum(size for _, size in repository.engine.store.list("packs"))


@pytest.fixture
def purged(repository: cas.Repository, volume: cas.Volume) -> cas.Volume:
    """A volume with a snapshot of `folder/secret` and `folder/other`; the first is purged."""
    with volume.edit() as edit:
        edit.make_directory("folder")
    put(volume, "folder/secret", SECRET)
    put(volume, "folder/other", OTHER)
    volume.create_snapshot("before")
    remove(volume, "folder/secret")
    repository.checkpoint()
    cas.purge_path(repository, volume, "folder/secret", author="alice")
    return volume


def test_it_cannot_be_read_from_the_moment_of_the_purge(purged: cas.Volume) -> None:
    _, view = purged.at_snapshot("before")
    with view:
        assert view.entry("folder/secret").size == SIZE  # names and sizes are history
        with pytest.raises(cas.PurgedError, match=r"purged with 'folder/secret' on .* by alice"):
            view.open("folder/secret")
        assert read(view, "folder/other") == OTHER


def test_its_bytes_go_with_the_next_collection(
    repository: cas.Repository, purged: cas.Volume
) -> None:
    before = stored(repository)
    collect(repository)
    assert before - stored(repository) > SIZE * 0.95
    assert_sound(repository)
    _, view = purged.at_snapshot("before")
    with view:
        assert read(view, "folder/other") == OTHER
        with pytest.raises(cas.PurgedError):
            view.open("folder/secret")
    collect(repository)
    assert_sound(repository)


def test_a_folder_of_the_past_comes_back_without_it(
    repository: cas.Repository, purged: cas.Volume
) -> None:
    collect(repository)
    _, view = purged.at_snapshot("before")
    with view, purged.edit() as edit:
        folder = view.entry("folder")
        edit.attach("back", folder, epoch=view.epoch, nodes=view.nodes)
    with purged.view() as now:
        assert [name for name, _ in now.list("back")] == ["other"]
        assert now.entry("back").size == SIZE
    repository.checkpoint()
    collect(repository)
    assert_sound(repository)
    _, view = purged.at_snapshot("before")
    with view:
        secret = view.entry("folder/secret")
        with pytest.raises(cas.PurgedError):
            purged.edit().attach("secret", secret, epoch=view.epoch, nodes=view.nodes)


def test_a_rollback_leaves_it_out(repository: cas.Repository, purged: cas.Volume) -> None:
    collect(repository)
    _, view = purged.at_snapshot("before")
    with view, purged.edit() as edit:
        edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
    with purged.view() as now:
        assert [name for name, _ in now.walk()] == ["folder", "folder/other"]
    collect(repository)
    assert_sound(repository)


def test_what_the_present_or_another_volume_has_elsewhere_stays(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "secret", SECRET)
    with volume.edit() as edit:
        edit.copy("secret", "copy")
    other = repository.create_volume("other")
    put(other, "theirs", SECRET)
    remove(volume, "secret")
    report = cas.purge_path(repository, volume, "secret")
    assert (report.contents, report.size, report.shared) == (1, SIZE, 1)
    assert sorted(report.shared_at) == [("other", "theirs"), (volume.name, "copy")]
    remove(other, "theirs")
    remove(volume, "copy")
    put(volume, "later", b"!")
    repository.checkpoint()
    collect(repository)
    assert_sound(repository)
    removed = next(other.log("theirs"))
    with other.at_sequence(removed.sequence - 1) as view:  # another volume's past is its own
        assert read(view, "theirs") == SECRET


def test_what_stays_at_present_is_in_its_next_snapshot_and_comes_back_when_removed(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "secret", SECRET)
    with volume.edit() as edit:
        edit.copy("secret", "copy")
    remove(volume, "secret")
    last = volume.sequence()
    assert cas.purge_path(repository, volume, "secret").shared == 1
    volume.create_snapshot("after")
    remove(volume, "copy")
    collect(repository)
    assert_sound(repository)
    removed = next(volume.log("copy"))
    _, view = volume.at_snapshot("after")
    with view, volume.at_sequence(removed.sequence - 1) as past:
        assert read(view, "copy") == read(past, "copy") == SECRET
    with volume.at_sequence(last) as past, pytest.raises(cas.PurgedError):
        past.open("copy")


def test_the_same_folder_in_another_volume_is_kept_whole(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.edit() as edit:
        edit.make_directory("folder")
    put(volume, "folder/secret", SECRET)
    other = repository.create_volume("other")
    with volume.view() as view, other.edit() as edit:
        edit.attach("folder", view.entry("folder"), epoch=view.epoch, nodes=view.nodes)
    other.create_snapshot("theirs")
    with other.edit() as edit:
        edit.remove("folder")
    remove(volume, "folder/secret")
    cas.purge_path(repository, volume, "folder/secret")
    collect(repository)
    assert_sound(repository)
    _, view = other.at_snapshot("theirs")
    with view:
        assert read(view, "folder/secret") == SECRET


def test_what_comes_again_after_the_purge_has_a_past_again(
    repository: cas.Repository, purged: cas.Volume
) -> None:
    collect(repository)
    put(purged, "again", SECRET)
    repository.checkpoint()
    remove(purged, "again")
    repository.checkpoint()
    collect(repository)
    assert_sound(repository)
    removed = next(purged.log("again"))
    with purged.at_sequence(removed.sequence - 1) as view:
        assert read(view, "again") == SECRET


def test_earlier_names_and_all_versions_go_along(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "draft", seeded_bytes(10, SIZE))
    repository.checkpoint()
    with volume.edit() as edit:
        edit.move("draft", "letter")
    put(volume, "letter", seeded_bytes(11, SIZE))
    put(volume, "kept", OTHER)
    repository.checkpoint()
    remove(volume, "letter")
    report = cas.purge_path(repository, volume, "letter", is_dry_run=True)
    assert (report.paths, report.contents, report.size) == (["draft", "letter"], 2, 2 * SIZE)
    assert cas.purge_path(repository, volume, "letter").contents == 2
    before = stored(repository)
    collect(repository)
    assert before - stored(repository) > 2 * SIZE * 0.95
    assert_sound(repository)


def test_a_folder_goes_with_all_that_was_ever_in_it(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.edit() as edit:
        edit.make_directory("folder")
    put(volume, "folder/gone before", seeded_bytes(20, SIZE))
    remove(volume, "folder/gone before")
    put(volume, "folder/there at the end", seeded_bytes(21, SIZE))
    repository.checkpoint()
    with volume.edit() as edit:
        edit.remove("folder")
    assert cas.purge_path(repository, volume, "folder").contents == 2
    collect(repository)
    assert stored(repository) < SIZE * 0.05
    assert_sound(repository)


def test_what_it_was_copied_from_keeps_its_own_past(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "original", seeded_bytes(30, SIZE))
    put(volume, "original", seeded_bytes(31, SIZE))
    with volume.edit() as edit:
        edit.copy("original", "copy")
    remove(volume, "copy")
    report = cas.purge_path(repository, volume, "copy")
    assert (report.paths, report.contents, report.shared) == (["copy"], 1, 1)
    collect(repository)
    assert_sound(repository)
    first = list(volume.log("original"))[-1]
    with volume.at_sequence(first.sequence) as view:
        assert read(view, "original") == seeded_bytes(30, SIZE)


@pytest.mark.parametrize("how", ["copy", "move"])
def test_what_was_there_before_something_else_came_goes_too(
    repository: cas.Repository, volume: cas.Volume, how: str
) -> None:
    """No commit ends with it, so that only the changes tell of it; nor do they by one log."""
    put(volume, "other", OTHER)
    repository.checkpoint()
    for content in (SECRET, b"and more"):
        put(volume, "p", content)
    written = volume.sequence()
    remove(volume, "p")
    with volume.edit() as edit:
        getattr(edit, how)("other", "p")
    remove(volume, "p")
    repository.checkpoint()

    cas.purge_path(repository, volume, "p")

    for sequence in (written - 1, written):
        with volume.at_sequence(sequence) as past, pytest.raises(cas.PurgedError):
            past.open("p")
    assert_sound(repository)


def test_what_a_copy_replaced_goes_with_all_that_it_replaced(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "other", OTHER)
    repository.checkpoint()
    put(volume, "p", SECRET)
    written = volume.sequence()
    put(volume, "p", b"newer")
    with volume.edit() as edit:
        edit.copy("other", "p")
    remove(volume, "p")
    repository.checkpoint()

    cas.purge_path(repository, volume, "p")

    with volume.at_sequence(written) as past, pytest.raises(cas.PurgedError):
        past.open("p")
    assert_sound(repository)


def test_what_is_there_or_pinned_or_unknown_is_refused_and_nothing_changes(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "secret", SECRET)
    volume.create_snapshot("pinned", is_pinned=True)
    with pytest.raises(cas.ConflictError, match="exists: remove it first"):
        cas.purge_path(repository, volume, "secret")
    with pytest.raises(cas.ConflictError, match="exists"):
        cas.purge_path(repository, volume, "")
    remove(volume, "secret")
    with pytest.raises(cas.ConflictError, match="@pinned has 'secret': unpin it first"):
        cas.purge_path(repository, volume, "secret")
    with pytest.raises(cas.NotFoundError, match="nothing was ever at 'nothing'"):
        cas.purge_path(repository, volume, "nothing")
    collect(repository)
    _, view = volume.at_snapshot("pinned")
    with view:
        assert read(view, "secret") == SECRET


def test_a_rebuilt_catalog_and_a_replica_know_of_it(tmp_path: Path) -> None:
    location = tmp_path / "store"
    with cas.create(location) as repository:
        volume = repository.create_volume("alice")
        put(volume, "secret", SECRET)
        volume.create_snapshot("before")
        remove(volume, "secret")
        cas.purge_path(repository, volume, "secret")
        cas.replicate(repository, str(tmp_path / "replica"))
        collect(repository)
    shutil.rmtree(location / "local" / "catalog")
    for place in (location, tmp_path / "replica"):
        with cas.open(place) as repository:
            _, view = repository.volume("alice").at_snapshot("before")
            with view, pytest.raises(cas.PurgedError):
                view.open("secret")
            collect(repository)
            assert stored(repository) < SIZE * 0.05
            assert_sound(repository)


def test_many_contents_fill_several_records(repository: cas.Repository, volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.make_directory("folder")
        for number in range(700):
            with volume.upload() as upload:
                upload.write(b"%d" % number)
                edit.put(f"folder/{number}", upload)
    with volume.edit() as edit:
        edit.remove("folder")
    assert cas.purge_path(repository, volume, "folder").contents == 700
    collect(repository)
    assert_sound(repository)


def test_who_confirms_is_told_what_goes_and_new_versions_go_along(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    first = put(volume, "secret", seeded_bytes(1, SIZE))
    remove(volume, "secret")

    def refuse(report: cas.PurgeReport) -> None:
        assert report.contents == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cas.purge_path(repository, volume, "secret", confirm=refuse)
    with volume.at_sequence(first) as past:
        assert read(past, "secret") == seeded_bytes(1, SIZE)

    def take_time(report: cas.PurgeReport) -> None:
        assert report.contents == 1
        put(volume, "secret", seeded_bytes(2, SIZE))
        remove(volume, "secret")

    assert cas.purge_path(repository, volume, "secret", confirm=take_time).contents == 2
    for sequence in (first, first + 2):
        with volume.at_sequence(sequence) as past, pytest.raises(cas.PurgedError):
            past.open("secret")
