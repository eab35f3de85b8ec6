"""No path leads out of the linked folder, whatever the server says and whoever swaps folders."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncd.disk.folder import Folder, OutsideError
from syncd.disk.signatures import Signature
from syncd.disk.steps import Install, MakeFolder, Move, RemoveFile, RemoveFolder
from syncd.disk.walk import Kind, look, special_words, walk
from tests.support.disks import small_disk
from tests.support.linked import names_of

if TYPE_CHECKING:
    from tests.support.linked import Linked

OUTSIDE_NAMES = [
    "../outside/evil",
    "a/../../outside/evil",
    "/tmp/evil",
    "//evil",
    "..",
    ".",
    "",
    "a/",
    "a//b",
    "a/./b",
    "nul\0name",
    ".syncd/tmp/evil",
    ".syncd/evil",
    ".syncd",
]


@pytest.mark.parametrize("path", OUTSIDE_NAMES)
def test_no_name_leads_out(linked: Linked, path: str) -> None:
    (linked.root / "a").mkdir()
    mine = linked.write("mine.txt", b"mine")
    nothing = Signature(0, 0, 0, 0)
    outcomes = linked.apply(
        Install(path, linked.stage(b"evil")),
        MakeFolder(path),
        RemoveFile(path, nothing),
        RemoveFolder(path),
        Move("mine.txt", path, mine),
        Move(path, "stolen", nothing),
    )
    assert all(outcome.failure is not None for outcome in outcomes)
    assert linked.tree() == {"a": None, "mine.txt": b"mine"}
    assert names_of(linked.root.parent) == [
        "linked", "state.sqlite", "state.sqlite-shm", "state.sqlite-wal",
    ]  # fmt: skip
    assert (linked.root / ".syncd" / "trash").is_dir()


def test_no_link_is_followed_on_the_way(linked: Linked) -> None:
    outside = linked.root.parent / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_bytes(b"precious")
    (linked.root / "link").symlink_to(outside, target_is_directory=True)
    (linked.root / "to-top").symlink_to(".", target_is_directory=True)
    signature = linked.folder.signature(os.lstat(outside / "precious.txt"))
    outcomes = linked.apply(
        Install("link/evil.txt", linked.stage(b"evil")),
        Install("link/precious.txt", linked.stage(b"evil"), signature),
        RemoveFile("link/precious.txt", signature),
        MakeFolder("link/evil"),
        RemoveFolder("link"),
        Move("link/precious.txt", "stolen.txt", signature),
        Install("to-top/x.txt", linked.stage(b"evil")),
    )
    assert [type(outcome.failure) for outcome in outcomes[:4]] == [OutsideError] * 4
    assert all(outcome.failure is not None for outcome in outcomes)
    assert names_of(outside) == ["precious.txt"]
    with pytest.raises(OSError, match="link"):
        linked.folder.open_file("link/precious.txt")
    with pytest.raises(OSError, match=r"link|symbolic"):
        linked.folder.open_file("link")


def test_a_folder_swapped_for_a_link_between_two_steps(linked: Linked) -> None:
    outside = linked.root.parent / "outside"
    outside.mkdir()
    linked.apply(MakeFolder("a"))
    (linked.root / "a").rename(linked.root / "b")
    (linked.root / "a").symlink_to(outside)
    (outcome,) = linked.apply(Install("a/x.txt", linked.stage(b"x")))
    assert isinstance(outcome.failure, OutsideError)
    assert list(outside.iterdir()) == []


def test_other_disks_are_not_entered(linked: Linked) -> None:
    with small_disk(linked.root / "mounted", 1 << 20) as mounted:
        (mounted / "inside.txt").write_bytes(b"x")
        listings = list(walk(linked.folder))
        assert [listing.path for listing in listings] == [""]
        assert listings[0].names["mounted"].kind is Kind.SPECIAL
        status = linked.folder.status("mounted")
        assert special_words(linked.folder, status) == "the root of another disk"
        (outcome,) = linked.apply(Install("mounted/x.txt", linked.stage(b"x")))
        assert isinstance(outcome.failure, OutsideError)


def test_a_walk_meets_everything_once_parents_first(linked: Linked) -> None:
    linked.write("b/inner/x.txt", b"x")
    linked.write("a.txt", b"a")
    (linked.root / "link").symlink_to("b")
    os.mkfifo(linked.root / "pipe")
    os.mkfifo(linked.root / "b" / "pipe")
    (linked.root / os.fsdecode(b"b\xff")).mkdir()
    listings = {listing.path: listing.names for listing in walk(linked.folder)}
    assert list(listings) == ["", "b", "b/inner", "b\udcff"]
    kinds = {name: seen.kind for name, seen in listings[""].items()}
    assert kinds == {
        "a.txt": Kind.FILE,
        "b": Kind.FOLDER,
        "b\udcff": Kind.FOLDER,
        "link": Kind.LINK,
        "pipe": Kind.SPECIAL,
    }
    assert special_words(linked.folder, linked.folder.status("pipe")) == "a named pipe"
    assert listings[""]["a.txt"].signature == linked.signature("a.txt")
    assert next(walk(linked.folder, "b", lambda path: path != "b/inner")).path == "b"
    assert len(list(walk(linked.folder, "", lambda path: path != "b"))) == 2


def test_a_folder_that_cannot_be_listed_is_told_of_and_the_walk_goes_on(linked: Linked) -> None:
    linked.write("a/x.txt", b"x")
    linked.write("b/x.txt", b"x")
    listings = walk(linked.folder)
    assert next(listings).path == ""
    (linked.root / "a" / "x.txt").unlink()
    (linked.root / "a").rmdir()
    failed, listed = listings
    assert isinstance(failed.failure, FileNotFoundError)
    assert list(listed.names) == ["x.txt"]


def test_nothing_there_is_not_the_same_as_not_to_be_told(linked: Linked) -> None:
    linked.write("a.txt", b"a")
    assert look(linked.folder, "a.txt") is not None
    assert look(linked.folder, "b.txt") is None
    assert look(linked.folder, "a.txt/b.txt") is None
    with pytest.raises(OSError, match="cannot be a name"):
        look(linked.folder, "../a.txt")


def test_a_deep_tree_takes_no_descriptor_for_each_level(linked: Linked) -> None:
    deep = os.open(linked.root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 100, limits[1]))
    try:
        assert sum(1 for _ in walk(linked.folder)) == 301
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_root_that_is_a_file_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("file", "nothing"):
        with pytest.raises(OSError, match=name):
            Folder(tmp_path / name)
