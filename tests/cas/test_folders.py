"""Folders made aside: the same tree as by single edits, one change, survives what edits survive."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas

COUNT = 700


def names_of(prefix: str) -> list[str]:
    return [f"{prefix}{number:04}" for number in range(COUNT)]


def made_aside(volume: cas.Volume) -> cas.FolderWriter:
    """A folder of files, with one of links within it."""
    folder = volume.folder()
    stored = volume.store([name.encode() for name in names_of("file")])
    folder.rely_on(stored)
    for name, content in zip(names_of("file"), stored.contents, strict=True):
        folder.put(name, content, mtime_ns=5, mode=0o640, created_ns=4)
    links = folder.folder()
    for name in names_of("link"):
        links.put_symlink(name, f"../{name}", mtime_ns=6)
    folder.put_folder("links", links, mtime_ns=7, mode=0o750, created_ns=7)
    return folder


def put_singly(volume: cas.Volume, path: str) -> None:
    """The same folder, by an edit of single operations."""
    with volume.edit() as edit:
        edit.make_directory(path)
        stored = volume.store([name.encode() for name in names_of("file")])
        edit.rely_on(stored)
        for name, content in zip(names_of("file"), stored.contents, strict=True):
            edit.put(f"{path}/{name}", content, mtime_ns=5, mode=0o640, created_ns=4)
        edit.make_directory(f"{path}/links")
        for name in names_of("link"):
            edit.make_symlink(f"{path}/links/{name}", f"../{name}", mtime_ns=6)
        edit.set_properties(f"{path}/links", mtime_ns=7, mode=0o750, created_ns=7)
        edit.set_properties(path, mtime_ns=8, mode=0o700, created_ns=7)


def put_aside(volume: cas.Volume, path: str, **conditions: cas.Expectation) -> cas.Entry:
    with volume.edit() as edit:
        return edit.put_folder(
            path, made_aside(volume), mtime_ns=8, mode=0o700, created_ns=7, **conditions
        )


def entry_of(volume: cas.Volume, path: str) -> cas.Entry | None:
    with volume.view() as view:
        return view.get(path)


def test_is_the_very_tree_that_single_edits_make(volume: cas.Volume) -> None:
    put_singly(volume, "one")
    made = put_aside(volume, "other")
    assert entry_of(volume, "one") == entry_of(volume, "other") == made
    assert (made.files, made.folders) == (2 * COUNT, 1)
    with volume.view() as view:
        assert view.entry("").files == 4 * COUNT
        with view.open("other/file0699") as file:
            assert file.read() == b"file0699"


def test_is_one_change(volume: cas.Volume) -> None:
    with volume.edit() as before:
        before.make_directory("before")
    with volume.edit() as edit:
        edit.put_folder("f", made_aside(volume), mtime_ns=0)
    assert edit.sequence == before.sequence + 1
    assert [(done.path, done.created) for done in edit.outcome] == [("f", True)]


@pytest.mark.on_disk
def test_a_second_one_writes_no_node(repository: cas.Repository, volume: cas.Volume) -> None:
    put_aside(volume, "one")
    repository.checkpoint()
    packs = Path(repository.location) / "local" / "open"
    size = sum(each.stat().st_size for each in packs.iterdir())
    put_aside(volume, "two")
    assert sum(each.stat().st_size for each in packs.iterdir()) - size < 1000


def test_may_be_put_half_made_and_again(volume: cas.Volume) -> None:
    folder = volume.folder()
    stored = volume.store([b"1", b"2"])
    expect: cas.Expectation = cas.ABSENT
    for number, content in enumerate(stored.contents):
        folder.put(str(number), content, mtime_ns=0, mode=0o600)
        with volume.edit() as edit:
            edit.rely_on(stored)
            entry = edit.put_folder("f", folder, mtime_ns=number, expect=expect)
        with volume.view() as view:
            assert [name for name, _ in view.list("f")] == ["0", "1"][: number + 1]
        expect = cas.EntryIs(volume.entry_id(entry))
    with pytest.raises(cas.PreconditionError), volume.edit() as edit:
        edit.put_folder("f", folder, mtime_ns=9, expect=cas.ABSENT)


@pytest.mark.parametrize("is_lost", [False, True], ids=["replayed", "rebuilt"])
def test_outlives_the_process_and_the_catalog(tmp_path: Path, *, is_lost: bool) -> None:
    source = cas.create(tmp_path / "store")
    made = put_aside(source.create_volume("v"), "f")
    copy = tmp_path / "copy"  # as a crash at this moment leaves it
    shutil.copytree(tmp_path / "store", copy)
    source.close()
    if is_lost:
        shutil.rmtree(copy / "local" / "catalog")
    with cas.open(copy) as repository, repository.volume("v").view() as view:
        assert view.get("f") == made
        assert sum(1 for _ in view.walk()) == 2 * COUNT + 2
        with view.open("f/file0001") as file:
            assert file.read() == b"file0001"


def test_replaces_a_folder_but_no_file(volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.make_directory("old")
        edit.make_directory("old/within")
        edit.put("file", cas.EMPTY_CONTENT)
    made = put_aside(volume, "old")
    assert entry_of(volume, "old") == made
    for path in ("file", "", "missing/f", "file/f"):
        with pytest.raises(cas.ConflictError):
            put_aside(volume, path)


def test_the_lock_on_a_member_holds(repository: cas.Repository, volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.make_directory("old")
        edit.put("old/file", cas.EMPTY_CONTENT)
    expires_ns = cas.SystemClock().now_ns() + 3600 * 10**9
    lock = cas.Lock(
        token="t", volume_id=volume.id, path="old/file", principal="a", expires_ns=expires_ns
    )
    repository.locks.acquire(lock)
    with pytest.raises(cas.LockedError):
        put_aside(volume, "old")
    with volume.edit(lock_tokens=frozenset({lock.token})) as edit:
        edit.put_folder("old", volume.folder(), mtime_ns=0)
    assert entry_of(volume, "old/file") is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "n" * 256])
def test_refuses_what_is_no_name(volume: cas.Volume, name: str) -> None:
    with pytest.raises(cas.InvalidError):
        volume.folder().put(name, cas.EMPTY_CONTENT, mtime_ns=0, mode=0o600)


def test_refuses_a_time_that_no_entry_holds(volume: cas.Volume) -> None:
    folder = volume.folder()
    with pytest.raises(cas.InvalidError):
        folder.put("a", cas.EMPTY_CONTENT, mtime_ns=2**63, mode=0o600)
    with pytest.raises(cas.InvalidError):
        folder.entry(mtime_ns=2**63, mode=0o700)


def test_a_quota_counts_all_that_is_in_it(repository: cas.Repository) -> None:
    volume = repository.create_volume("small", quota=COUNT)
    with pytest.raises(cas.QuotaError):
        put_aside(volume, "f")
    assert entry_of(volume, "f") is None
