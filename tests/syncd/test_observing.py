"""What a look at the folder finds: what came, went, moved and changed, without reading anything."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

import cas
from syncd.disk.base import Base
from syncd.disk.dirty import Looks
from syncd.disk.items import Item
from syncd.disk.name_map import NameMap
from syncd.disk.observing import Differences, Observer
from syncd.disk.probing import ABLE
from syncd.disk.walk import Kind, walk
from syncd.trees import ROOT, Node, find, path_of

if TYPE_CHECKING:
    from tests.support.linked import Linked

EVERYTHING = Looks(deep={""})
_KINDS = {
    Kind.FILE: cas.EntryKind.CHUNK_FILE,
    Kind.FOLDER: cas.EntryKind.DIRECTORY,
    Kind.LINK: cas.EntryKind.SYMLINK,
}


Found = set[tuple[str, str | None]]


class Watched:
    """A linked folder with its base."""

    def __init__(self, linked: Linked) -> None:
        self.linked = linked
        self.root = linked.root
        self.base = Base(linked.database)
        names = NameMap(linked.database, self.base, ABLE)
        self.observer = Observer(linked.folder, self.base, names, self.is_left_out)

    def is_left_out(self, path: str, is_folder: bool) -> bool:  # noqa: FBT001 - as it is called
        return self.linked.ignored.matches(path, is_folder=is_folder)

    def settle(self) -> None:
        """Have all that is there in the base."""
        numbers = count(1)
        nodes = {"": ROOT}
        for listing in walk(self.linked.folder):
            for name, seen in listing.names.items():
                node = next(numbers)
                nodes[f"{listing.path}/{name}" if listing.path else name] = node
                item = Item(_KINDS[seen.kind], b"c")
                self.base.put(node, Node(nodes[listing.path], name, item), seen.signature)

    def look(self, looks: Looks = EVERYTHING) -> Differences:
        return self.observer.observe(looks)

    def changed(self, looks: Looks = EVERYTHING) -> Found:
        found = self.look(looks)
        assert (found.moves, found.vanished) == ([], [])
        return self.changes(found)

    def changes(self, found: Differences) -> Found:
        """Return what changed: where it is, and where the base has it."""
        return {(one.path, self.path(one.node)) for one in found.changed}

    def moves(self, found: Differences) -> list[tuple[str, str]]:
        return sorted((path_of(self.base, move.node), move.path) for move in found.moves)

    def vanished(self, found: Differences) -> list[str]:
        return sorted(path_of(self.base, node) for node in found.vanished)

    def path(self, node: int | None) -> str | None:
        return None if node is None else path_of(self.base, node)

    def node(self, path: str) -> int:
        node = find(self.base, path)
        assert node is not None
        return node

    def pretend(self, path: str, inode: int) -> None:
        """Have the base believe that what is at a path has another inode."""
        signature = self.base.signature(self.node(path))
        assert signature is not None
        self.base.set_signature(self.node(path), signature._replace(inode=inode))


@pytest.fixture
def watched(linked: Linked) -> Watched:
    for path in ("a.txt", "b.txt", "folder/x.txt", "folder/inner/y.txt", "other/z.txt"):
        linked.write(path, path.encode())
    watched = Watched(linked)
    watched.settle()
    return watched


def test_what_is_as_before_is_no_difference(watched: Watched) -> None:
    found = watched.look()
    assert (found.changed, found.moves, found.vanished, found.problems) == ([], [], [], {})
    assert found.looked == 8


def test_new_and_edited_files_are_found_wherever_one_looks(watched: Watched) -> None:
    watched.linked.write("a.txt", b"edited")
    watched.linked.write("new/deep/n.txt", b"new")
    expected = {("a.txt", "a.txt"), ("new", None), ("new/deep", None), ("new/deep/n.txt", None)}
    assert watched.changed() == expected
    assert watched.changed(Looks(paths={"a.txt", "new/deep/n.txt", "b.txt", "nothing"})) == expected
    assert watched.changed(Looks(paths={"b.txt", "other"})) == set()


def test_what_is_gone_is_told_by_its_topmost(watched: Watched) -> None:
    (watched.root / "folder" / "x.txt").unlink()
    (watched.root / "folder" / "inner" / "y.txt").unlink()
    (watched.root / "folder" / "inner").rmdir()
    assert watched.vanished(watched.look()) == ["folder/inner", "folder/x.txt"]
    (watched.root / "folder").rmdir()
    assert watched.vanished(watched.look()) == ["folder"]
    looks = Looks(paths={"folder/x.txt", "folder"})
    assert watched.vanished(watched.look(looks)) == ["folder"]


def test_a_renamed_folder_is_one_move_and_changes_in_it_keep_their_origin(
    watched: Watched,
) -> None:
    (watched.root / "folder").rename(watched.root / "renamed")
    found = watched.look()
    assert (watched.moves(found), found.changed, found.vanished) == (
        [("folder", "renamed")],
        [],
        [],
    )
    (watched.root / "renamed" / "x.txt").write_bytes(b"edited")
    (watched.root / "renamed" / "inner" / "y.txt").rename(watched.root / "y moved.txt")
    watched.linked.write("renamed/new.txt", b"new")
    found = watched.look()
    assert watched.moves(found) == [("folder", "renamed"), ("folder/inner/y.txt", "y moved.txt")]
    assert watched.changes(found) == {
        ("renamed/x.txt", "folder/x.txt"),
        ("renamed/new.txt", None),
    }
    assert found.vanished == []


def test_what_was_moved_out_of_a_folder_that_is_gone(watched: Watched) -> None:
    (watched.root / "folder" / "inner").rename(watched.root / "kept")
    (watched.root / "folder" / "x.txt").rename(watched.root / "other" / "x.txt")
    (watched.root / "folder").rmdir()
    found = watched.look(Looks(paths={"folder", "folder/x.txt", "other/x.txt"}, deep={"kept"}))
    assert watched.moves(found) == [("folder/inner", "kept"), ("folder/x.txt", "other/x.txt")]
    assert (found.changed, watched.vanished(found)) == ([], ["folder"])


def test_an_inode_that_was_given_to_something_else_is_no_move(watched: Watched) -> None:
    """As ext4 does at once: the new file gets the inode of the one that has just gone."""
    (watched.root / "a.txt").unlink()
    watched.linked.write("else.txt", b"something else")
    watched.pretend("a.txt", watched.linked.signature("else.txt").inode)
    (watched.root / "other" / "z.txt").unlink()
    (watched.root / "other").rmdir()
    (watched.root / "empty").mkdir()
    watched.pretend("other", watched.linked.signature("empty").inode)
    found = watched.look()
    assert found.moves == []
    assert {one.path for one in found.changed} == {"else.txt", "empty"}
    assert watched.vanished(found) == ["a.txt", "other"]


def test_a_second_name_is_no_move_and_of_two_names_one_is(watched: Watched) -> None:
    os.link(watched.root / "a.txt", watched.root / "second.txt")
    found = watched.look()
    assert found.moves == []
    assert {one.path for one in found.changed} == {"a.txt", "second.txt"}
    (watched.root / "a.txt").unlink()
    os.link(watched.root / "second.txt", watched.root / "third.txt")
    found = watched.look()
    assert len(found.moves) == 1
    assert len(found.changed) == 1


def test_a_second_name_takes_no_file_out_of_a_folder_that_is_renamed(watched: Watched) -> None:
    (watched.root / "old").mkdir()
    (watched.root / "old" / "file").write_bytes(b"1")
    watched.settle()
    (watched.root / "old").rename(watched.root / "renamed")
    for name in ("above", "zuletzt"):  # listed before the folder, and after it
        os.link(watched.root / "renamed" / "file", watched.root / name)
    found = watched.look()
    assert watched.moves(found) == [("old", "renamed")]
    assert watched.changes(found) == {
        ("above", None), ("zuletzt", None), ("renamed/file", "old/file"),
    }  # fmt: skip


def test_a_file_in_place_of_a_folder_and_the_other_way_round(watched: Watched) -> None:
    (watched.root / "other" / "z.txt").unlink()
    (watched.root / "other").rmdir()
    watched.linked.write("other", b"a file now")
    (watched.root / "a.txt").unlink()
    watched.linked.write("a.txt/inside.txt", b"a folder now")
    found = watched.look()
    assert watched.changes(found) == {
        ("other", None),
        ("a.txt", None),
        ("a.txt/inside.txt", None),
    }
    assert watched.vanished(found) == ["a.txt", "other"]


def test_a_folder_that_was_renamed_to_the_name_of_a_file_is_looked_at_as_a_whole(
    watched: Watched,
) -> None:
    watched.linked.write("old/inner/deep/file", b"1")
    watched.linked.write("old/beside", b"2")
    watched.settle()
    (watched.root / "a.txt").unlink()
    (watched.root / "old").rename(watched.root / "a.txt")
    watched.linked.write("a.txt/inner/new", b"3")
    hints = {"old", "a.txt", "a.txt/inner", "a.txt/inner/deep", "a.txt/inner/new", "a.txt/beside"}
    found = watched.look(Looks(paths=hints))
    assert watched.moves(found) == [("old", "a.txt")]
    assert watched.changes(found) == {("a.txt/inner/new", None)}


def test_two_folders_that_swapped_names(watched: Watched) -> None:
    (watched.root / "folder").rename(watched.root / "t")
    (watched.root / "other").rename(watched.root / "folder")
    (watched.root / "t").rename(watched.root / "other")
    found = watched.look()
    assert {one.path for one in found.other_folders} == {"folder", "other"}
    assert watched.moves(found) == [
        ("folder/inner", "other/inner"),
        ("folder/x.txt", "other/x.txt"),
        ("other/z.txt", "folder/z.txt"),
    ]
    assert (found.changed, found.vanished) == ([], [])


def test_what_is_ignored_or_special_is_not_told_as_new(watched: Watched) -> None:
    os.mkfifo(watched.root / "pipe")
    watched.linked.write(".DS_Store", b"")
    watched.linked.write("~$letter.docx", b"")
    found = watched.look()
    assert found.changed == []
    assert found.problems == {"pipe": "a named pipe is not synced"}


def test_a_socket_in_place_of_a_file(watched: Watched) -> None:
    (watched.root / "a.txt").unlink()
    os.mkfifo(watched.root / "a.txt")
    found = watched.look()
    assert (watched.vanished(found), list(found.problems)) == (["a.txt"], ["a.txt"])


def test_names_of_any_bytes_and_deep_paths(watched: Watched) -> None:
    watched.linked.write("a\nb/\udcff/ä.txt", b"x")
    paths = {path for path, _ in watched.changed()}
    assert paths == {"a\nb", "a\nb/\udcff", "a\nb/\udcff/ä.txt"}
