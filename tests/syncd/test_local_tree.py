"""The local tree: what a look at the folder makes of the base."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import cas
from syncd.disk.base import Base
from syncd.disk.dirty import Dirty, Looks
from syncd.disk.local_tree import LocalTree
from syncd.disk.name_map import NameMap
from syncd.disk.observing import Observer
from syncd.disk.probing import ABLE
from syncd.disk.reading_ahead import Reader
from syncd.ports import Observed
from syncd.trees import ROOT, NodeIds, Overlay, below, find, path_of

if TYPE_CHECKING:
    from tests.support.linked import Linked

KEYS = cas.ContentKeys(b"c" * 32, b"n" * 32)
EVERYTHING = Looks(deep={""})


class Local:
    def __init__(self, linked: Linked) -> None:
        self.linked = linked
        self.base = Base(linked.database)
        names = NameMap(linked.database, self.base, ABLE)
        self.dirty = Dirty()
        observer = Observer(linked.folder, self.base, names, lambda *_: False)
        self.tree = LocalTree(
            linked.folder,
            self.base,
            observer,
            names,
            NodeIds(),
            Reader(linked.folder, KEYS),
            ABLE,
            self.dirty,
        )

    def look(self, *paths: str) -> Observed:
        return self.tree.look(Looks(paths=set(paths)) if paths else EVERYTHING)

    def agree(self, observed: Observed) -> None:
        """As if all had gone to the server."""
        tree = observed.tree
        for node in tree.changed():
            if tree.get(node) is None:
                self.base.agree(node, None)
        for node in below(tree, ROOT):
            found = tree.get(node)
            assert found is not None
            if self.base.get(node) != found or node in observed.signatures:
                self.base.agree(node, found, observed.signatures.get(node))


def paths(tree: Overlay) -> dict[str, int]:
    return {path_of(tree, node): node for node in below(tree, ROOT)}


@pytest.fixture
def local(linked: Linked) -> Local:
    for path in ("a.txt", "folder/x.txt", "folder/inner/y.txt"):
        linked.write(path, path.encode())
        os.utime(linked.root / path, ns=(10**18, 10**18))
    return Local(linked)


def test_all_is_new_at_first_and_nothing_when_it_is_agreed(local: Local) -> None:
    observed = local.look()
    assert set(paths(observed.tree)) == {
        "a.txt", "folder", "folder/inner", "folder/inner/y.txt", "folder/x.txt",
    }  # fmt: skip
    first = paths(observed.tree)
    assert paths(local.look("a.txt").tree) == first, "what is open stays, with its numbers"
    local.agree(local.look())
    again = local.look()
    local.agree(again)
    assert not local.look().tree


def test_a_move_an_edit_and_a_removal_together(local: Local) -> None:
    local.agree(local.look())
    root = local.linked.root
    before = paths(local.look().tree)
    (root / "folder").rename(root / "renamed")
    (root / "a.txt").unlink()
    local.linked.write("renamed/inner/y.txt", b"edited")
    observed = local.look()
    now = paths(observed.tree)
    assert now["renamed"] == before["folder"]
    assert now["renamed/inner/y.txt"] == before["folder/inner/y.txt"]
    assert "a.txt" not in now
    edited = observed.tree.get(now["renamed/inner/y.txt"])
    assert edited is not None
    assert edited.item.size == len(b"edited")
    assert observed.vanished == 1
    local.agree(observed)
    assert find(local.base, "renamed/x.txt") == before["folder/x.txt"]


def test_two_files_that_swapped_their_names(local: Local) -> None:
    local.agree(local.look())
    root = local.linked.root
    (root / "a.txt").rename(root / "t")
    (root / "folder" / "x.txt").rename(root / "a.txt")
    (root / "t").rename(root / "folder" / "x.txt")
    observed = local.look()
    contents = {path: observed.tree.get(node) for path, node in paths(observed.tree).items()}
    found = contents["a.txt"]
    assert found is not None
    assert found.item.size == len("folder/x.txt")


def test_what_was_undone_is_no_difference_any_more(local: Local) -> None:
    local.agree(local.look())
    local.agree(local.look())
    (local.linked.root / "folder").rename(local.linked.root / "renamed")
    assert local.look("folder", "renamed").tree
    (local.linked.root / "renamed").rename(local.linked.root / "folder")
    assert not local.look("unrelated").tree


def test_a_young_file_is_read_again(local: Local) -> None:
    local.linked.write("new.txt", b"1")
    observed = local.look()
    node = paths(observed.tree)["new.txt"]
    assert node not in observed.signatures
    assert local.dirty.due_s() is not None


def test_what_cannot_be_read_is_a_problem_and_no_removal(local: Local) -> None:
    local.agree(local.look())
    node = paths(local.look().tree)["a.txt"]
    (local.linked.root / "a.txt").unlink()
    os.mkfifo(local.linked.root / "a.txt")
    observed = local.look()
    assert "a.txt" in observed.problems
    assert observed.tree.get(node) is None
