"""Collecting garbage: what is kept stays readable byte for byte, what is not is gone."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import cas
from cas.retention import CalendarSpan, Retention
from tests.support import wait_until
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=Retention())
SIZE = 3_000_000
DAY = 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repository(tmp_path: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    cas.create(str(tmp_path / "store")).close()
    with cas.open(str(tmp_path / "store"), clock=clock) as repository:
        yield repository


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.create_volume("v")


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
    check(repository)
    return report


def check(repository: cas.Repository) -> None:
    """Everything that is to be there is there, and is what it was."""
    summary = cas.check_repository(repository, reading=cas.Share(1.0))
    assert summary.is_sound, summary


def pack_size(repository: cas.Repository) -> int:
    """Return the bytes of all packs, once none is being filled."""
    repository.engine.chunks.open_packs.seal_current()
    return sum(size for _, size in repository.engine.store.list("packs"))


def test_what_was_removed_is_gone_and_what_is_there_stays(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "kept", seeded_bytes(1, SIZE))
    put(volume, "gone", seeded_bytes(2, SIZE))
    remove(volume, "gone")
    report = collect(repository)
    assert report.freed_size > SIZE * 0.9
    assert pack_size(repository) < SIZE * 1.1
    assert read(volume, "kept") == seeded_bytes(1, SIZE)


def test_a_second_collection_has_nothing_to_do(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    for number in range(20):
        put(volume, f"{number}", seeded_bytes(number, SIZE // 10))
        if number % 2:
            remove(volume, f"{number}")
    collect(repository)
    collect(repository)
    report = cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
    assert (report.condemned_packs, report.freed_size) == (0, 0)


def test_an_edit_that_was_refused_is_not_waited_for(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    def put_new() -> None:
        upload = volume.upload()
        upload.write(b"1")
        with volume.edit(author="alice") as edit:
            edit.put("a", upload, expect=cas.ABSENT)

    put_new()
    gc.disable()  # What refers to itself in a circle stays: nobody comes by in a server at rest.
    try:
        with suppress(cas.PreconditionError):
            put_new()
        remove(volume, "a")
        repository.engine.chunks.open_packs.seal_current()
        report = cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0, budget_seconds=10)
    finally:
        gc.enable()
    assert 0 < report.removed_packs == report.condemned_packs


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "gone", seeded_bytes(1, SIZE))
    remove(volume, "gone")
    with volume.view() as view:
        commit = view.sequence
    report = collect(repository, is_dry_run=True)
    size = pack_size(repository)
    assert report.is_dry_run
    assert report.condemned_size - report.live_size > SIZE * 0.9
    assert (report.removed_packs, report.freed_size) == (0, 0)
    assert size > SIZE
    with volume.view() as view:
        assert view.sequence == commit
    assert repository.registry.view().get("retention") is None


def test_what_is_young_enough_stays_readable_in_the_past_and_goes_when_it_is_old(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    put(volume, "file", seeded_bytes(1, SIZE))
    repository.checkpoint()
    past = newest_commit(repository, volume)
    remove(volume, "file")
    policy = cas.VersionPolicy(every=CalendarSpan(days=30), states=Retention())
    collect(repository, policy)
    with volume.at(past) as view:
        assert read(view, "file") == seeded_bytes(1, SIZE)
    clock.advance(31 * DAY)
    collect(repository, policy)
    assert pack_size(repository) < SIZE * 0.1
    with pytest.raises(cas.NotFoundError, match="not kept any more"):
        volume.at(past)


def test_a_state_a_day_is_kept_of_what_is_older(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    commits = []
    for number in range(4):
        put(volume, "file", seeded_bytes(number, SIZE // 10))
        repository.checkpoint()
        commits.append(newest_commit(repository, volume))
        if number % 2:
            clock.advance(DAY)
    clock.advance(40 * DAY)
    collect(repository, cas.DEFAULT_POLICY)
    for number, commit in enumerate(commits):
        if number == 2:
            with pytest.raises(cas.NotFoundError):
                volume.at(commit)
        else:
            with volume.at(commit) as view:
                assert read(view, "file") == seeded_bytes(number, SIZE // 10)


def test_a_snapshot_keeps_its_state_until_it_is_deleted(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "file", seeded_bytes(1, SIZE))
    snapshot = volume.create_snapshot("before")
    remove(volume, "file")
    collect(repository)
    with volume.at(snapshot.commit) as view:
        assert read(view, "file") == seeded_bytes(1, SIZE)
    with volume.edit() as edit:
        edit.remove_snapshot("before")
    collect(repository)
    assert pack_size(repository) < SIZE * 0.1


def test_so_many_versions_of_a_path_are_kept(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    for number in range(10):
        put(volume, "file", seeded_bytes(number, SIZE // 10))
        repository.checkpoint()
    collect(repository, cas.VersionPolicy(versions=3, states=Retention()))
    assert SIZE * 0.3 < pack_size(repository) < SIZE * 0.35


@pytest.mark.parametrize("earlier", [PRESENT_ONLY, cas.DEFAULT_POLICY])
def test_a_collection_that_keeps_more_versions_than_an_earlier_one_did_goes_on(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock, earlier: cas.VersionPolicy
) -> None:
    with volume.edit() as edit:
        edit.make_directory("folder")
    for number in range(4):
        put(volume, "folder/file", b"version %d" % number)
        put(volume, f"folder/{number}", b"shared %d" % number)
    put(volume, "shared", b"shared 2")
    for path in ("folder/1", "folder"):
        with volume.edit() as edit:
            edit.remove(path)
        repository.checkpoint()
    clock.advance(400 * DAY)
    put(volume, "file", b"old")
    collect(repository, earlier)
    put(volume, "file", b"new")
    for wanted in (5, 2, 9):
        collect(repository, cas.VersionPolicy(versions=wanted, states=Retention()))
        check(repository)
        assert read(volume, "shared") == b"shared 2"
        newest = next(volume.log("file")).sequence
        entry = cas.stored_version(repository, volume, "file", newest - 1)
        assert entry is not None


def test_an_upload_keeps_what_it_found_stored_until_it_ends(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    content = seeded_bytes(1, SIZE)
    put(volume, "gone", content)
    remove(volume, "gone")
    with volume.upload() as upload:
        upload.write(content)
        before = pack_size(repository)
        collecting = threading.Thread(target=collect, args=(repository,))
        collecting.start()
        wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
        assert pack_size(repository) >= before
        with volume.edit() as edit:
            edit.put("again", upload)
    collecting.join()
    assert read(volume, "again") == content


def test_what_was_condemned_is_stored_again_when_it_comes_again(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    content = seeded_bytes(1, SIZE)
    put(volume, "gone", content)
    remove(volume, "gone")
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    waiting = volume.upload()  # so that the collection waits behind the condemnation
    collecting = threading.Thread(target=collect, args=(repository,))
    collecting.start()
    wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
    put(volume, "again", content)
    waiting.abort()
    collecting.join()
    assert read(volume, "again") == content


def test_what_a_view_showed_before_a_collection_began_is_not_attached(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    other = repository.create_volume("other")
    with volume.edit() as edit:
        edit.make_directory("folder")
    put(volume, "folder/file", seeded_bytes(1, SIZE))
    with volume.view() as view:
        entry, epoch = view.entry("folder"), view.epoch
        remove(volume, "folder")
        collect(repository)
        edit = other.edit()
        edit.attach("copy", entry, epoch=epoch, nodes=view.nodes)
        with pytest.raises(cas.ExpiredError, match="look again"):
            edit.commit()
        with pytest.raises(cas.ExpiredError, match="gone"):
            read(view, "folder/file")
    with other.view() as seen:
        assert seen.get("copy") is None


def test_a_copy_made_while_packs_are_condemned_keeps_what_it_copied(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    other = repository.create_volume("other")
    put(volume, "file", seeded_bytes(1, SIZE))
    put(volume, "filler", seeded_bytes(2, SIZE * 9))
    remove(volume, "filler")
    waiting = volume.upload()
    collecting = threading.Thread(target=collect, args=(repository,))
    collecting.start()
    wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
    with volume.view() as view, other.edit() as edit:
        edit.attach("copy", view.entry("file"), epoch=view.epoch, nodes=view.nodes)
    remove(volume, "file")
    waiting.abort()
    collecting.join()
    assert read(other, "copy") == seeded_bytes(1, SIZE)
    collect(repository)
    assert read(other, "copy") == seeded_bytes(1, SIZE)


def test_only_one_collection_is_at_work(repository: cas.Repository, volume: cas.Volume) -> None:
    put(volume, "gone", b"x" * SIZE)
    remove(volume, "gone")
    waiting = volume.upload()
    collecting = threading.Thread(target=collect, args=(repository,))
    collecting.start()
    wait_until(lambda: repository.engine.chunks.epoch() == 1, "packs to be condemned")
    with pytest.raises(cas.LockedError, match="at work"):
        cas.collect_garbage(repository)
    waiting.abort()
    collecting.join()


def newest_commit(repository: cas.Repository, volume: cas.Volume) -> bytes:
    with repository.engine.catalog.read() as transaction:
        head = transaction.head(volume.id)
    assert head is not None
    return head.commit


@pytest.mark.parametrize("size", [5_000_000])
def test_many_versions_of_a_small_file_leave_little_behind(tmp_path: Path, size: int) -> None:
    """In packs, and in the catalog, whose file is made smaller when nobody has it open."""
    location = tmp_path / "store"
    with cas.create(location) as repository:
        volume = repository.create_volume("v")
        put(volume, "corpus", seeded_bytes(1, size))
    before = directory_size(location)
    with cas.open(location) as repository:
        volume = repository.volume("v")
        for number in range(500):
            put(volume, "file", b"%d" % number * 100)
            if number % 50 == 0:
                repository.checkpoint()
    with cas.open(location) as repository:
        policy = cas.VersionPolicy(versions=10, states=Retention())
        cas.collect_garbage(repository, policy, grace_seconds=0)
    assert directory_size(location) < before * 1.1
    with cas.open(location) as repository:
        check(repository)
        assert len(list(repository.volume("v").log("file"))) == 500


def directory_size(location: Path) -> int:
    """Return the bytes that the files in a directory take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in location.rglob("*") if path.is_file())


def test_packs_of_a_clock_that_was_ahead_are_not_young_for_years(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "file", seeded_bytes(1, SIZE))
    put(volume, "file", b"")
    repository.engine.chunks.open_packs.seal_current()
    young = cas.collect_garbage(repository, PRESENT_ONLY)
    assert (young.packs, young.condemned_packs) == (0, 0)
    assert young.young_packs
    for name, _ in repository.engine.store.list("packs"):
        path = repository.engine.store.local_path(name)
        assert path is not None
        os.utime(path, (0, path.stat().st_mtime + 400 * DAY))
    report = cas.collect_garbage(repository, PRESENT_ONLY)
    assert report.freed_size > SIZE * 0.9
