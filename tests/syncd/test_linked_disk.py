"""The linked folder as the engine has it: the planner's steps, and what somebody did meanwhile."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from syncd.disk.items import Item
from syncd.disk.linked import open_linked
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.state import LinkState
from syncd.pairing import pair
from syncd.plan import Action, Step
from syncd.ports import Done, Observed, StoppedError
from syncd.trees import FOLDER, ROOT, Node, NodeIds, Overlay, find
from tests.support.linked import copy_name, names_of, tree_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEYS = cas.ContentKeys(b"c" * 32, b"n" * 32)
TIME_NS = 1_600_000_000_000_000_000


class World:
    """A linked folder that is watched, with contents by their ids."""

    def __init__(self, root: Path, state: LinkState) -> None:
        self.root = root
        self.state = state
        self.ids = NodeIds(state.base.last_node())
        linked = open_linked(root, "me", state, copy_name, 0o644)
        self.disk = LinkedDisk(linked, "me", KEYS, self.ids, lambda: ["skipped"])
        self.contents: dict[bytes, bytes] = {}
        self.disk.start()

    def item(self, content: bytes) -> Item:
        found = cas.identify_file(io.BytesIO(content), KEYS)
        self.contents[found.id] = content
        return Item(found.kind, found.id, found.size, TIME_NS)

    def read(self, step: Step) -> Iterable[bytes]:
        return [self.contents[step.item.content]]

    def apply(self, *steps: Step) -> list[Done]:
        found: list[Done] = []
        self.disk.apply(steps, self.read, found.extend)
        return found

    def put(self, path: str, content: bytes, node: int | None = None) -> Step:
        """Return the step that puts a file, in place of `node` if that is given."""
        old = None if node is None else self.item(b"old")
        return Step(Action.PUT, node or self.ids.new(), path, self.item(content), old=old)

    def node(self, path: str) -> int:
        node = find(self.disk.look().tree, path)
        assert node is not None
        return node


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    root = tmp_path / "root"
    (root / ".syncd").mkdir(parents=True)
    (root / ".syncd" / "id").write_text("me\n")
    state = LinkState(tmp_path / "state")
    world = World(root, state)
    yield world
    world.disk.close()
    state.close()


def settle(world: World) -> None:
    """Wait until nothing that is there is young any more, and have all of it in the base."""

    def is_old() -> bool:
        world.disk.look_everywhere()
        observed = world.disk.look()
        files = [
            node
            for node in observed.tree.changed()
            if (found := observed.tree.get(node)) is not None and not found.is_folder
        ]
        if observed.unread or not set(files) <= set(observed.signatures):
            return False
        for node in sorted(observed.tree.changed()):
            world.state.base.agree(node, observed.tree.get(node), observed.signatures.get(node))
        world.disk.look_everywhere()
        return not world.disk.look().tree

    wait_until(is_old, "files that are not young")


def test_steps_make_what_the_server_has(world: World) -> None:
    folder = world.ids.new()
    world.disk.look()
    done = world.apply(
        Step(Action.MAKE_FOLDER, folder, "folder", FOLDER),
        world.put("folder/a.txt", b"a"),
        world.put("empty", b""),
        Step(Action.PUT, world.ids.new(), "link", Item(cas.EntryKind.SYMLINK, b"a", 1, TIME_NS)),
    )
    assert [one.failure for one in done] == [""] * 4
    assert tree_of(world.root) == {"folder": None, "folder/a.txt": b"a", "empty": b"", "link": "a"}
    assert all(one.signature is not None for one in done)


def test_known_files_are_replaced_moved_set_and_removed(world: World) -> None:
    for path in ("edited", "moved", "set", "gone", "folder/in/x", "folder/y"):
        (world.root / path).parent.mkdir(parents=True, exist_ok=True)
        (world.root / path).write_bytes(b"old")
    settle(world)
    node = world.node
    item = world.item(b"old")
    done = world.apply(
        Step(Action.MOVE, node("moved"), "elsewhere", item, "moved", item),
        world.put("edited", b"new", node("edited")),
        Step(Action.SET, node("set"), "set", Item(item.kind, item.content, 3, TIME_NS, True)),
        Step(Action.REMOVE, node("gone"), "gone", item),
        Step(Action.REMOVE, node("folder"), "folder", FOLDER),
    )
    assert [one.failure for one in done] == [""] * 5
    assert tree_of(world.root) == {"edited": b"new", "elsewhere": b"old", "set": b"old"}
    assert (world.root / "set").stat().st_mtime_ns == TIME_NS
    assert (world.root / "set").stat().st_mode & 0o111


def test_what_was_renamed_here_can_be_moved_replaced_and_removed(world: World) -> None:
    names = ("moved", "edited", "gone")
    for name in names:
        (world.root / name).write_bytes(b"old")
    settle(world)
    nodes = [world.node(name) for name in names]
    for name in names:
        (world.root / name).rename(world.root / f"{name} here")
    world.disk.look_everywhere()
    world.disk.look()
    item = world.item(b"old")
    done = world.apply(
        Step(Action.MOVE, nodes[0], "moved there", item, "moved here", item),
        world.put("edited here", b"new", nodes[1]),
        Step(Action.REMOVE, nodes[2], "gone here", item),
    )
    assert [one.failure for one in done] == [""] * 3
    assert tree_of(world.root) == {"moved there": b"old", "edited here": b"new"}


def test_what_was_changed_since_the_look_is_left_alone(world: World) -> None:
    for path in ("edited", "gone", "folder/y"):
        (world.root / path).parent.mkdir(parents=True, exist_ok=True)
        (world.root / path).write_bytes(b"old")
    settle(world)
    nodes = [world.node(path) for path in ("edited", "gone", "folder")]
    world.disk.look()
    (world.root / "edited").write_bytes(b"mine")
    (world.root / "gone").write_bytes(b"mine")
    (world.root / "folder" / "new").write_bytes(b"mine")
    (world.root / "taken").write_bytes(b"mine")
    done = world.apply(
        world.put("edited", b"theirs", nodes[0]),
        Step(Action.REMOVE, nodes[1], "gone", world.item(b"old")),
        Step(Action.REMOVE, nodes[2], "folder", FOLDER),
        world.put("taken", b"theirs"),
    )
    assert [one.is_outdated for one in done] == [True] * 4
    assert tree_of(world.root) == {
        "edited": b"mine",
        "gone": b"mine",
        "folder": None,
        "folder/new": b"mine",
        "taken": b"mine",
    }
    assert names_of(world.root / ".syncd" / "tmp") == []


def test_a_conflict_copy_gets_its_name_before_the_other_version_comes(world: World) -> None:
    """The plan has a number of its own for the copy; the file's number is what comes."""
    (world.root / "a").write_bytes(b"old")
    settle(world)
    node, copy = world.node("a"), world.ids.new()
    world.disk.look()
    mine = world.item(b"old")
    done = world.apply(
        Step(Action.MOVE, copy, "a (copy)", mine, "a", mine),
        Step(Action.PUT, node, "a", world.item(b"theirs")),
    )
    assert [one.failure for one in done] == ["", ""]
    assert tree_of(world.root) == {"a": b"theirs", "a (copy)": b"old"}


def test_what_is_new_replaces_nothing(world: World) -> None:
    (world.root / "a").write_bytes(b"old")
    settle(world)
    node = world.node("a")
    world.disk.look()
    (done,) = world.apply(Step(Action.PUT, node, "a", world.item(b"theirs")))
    assert done.is_outdated
    assert tree_of(world.root) == {"a": b"old"}


def test_a_young_file_is_not_replaced(world: World) -> None:
    (world.root / "a").write_bytes(b"old")
    settle(world)
    node = world.node("a")
    (world.root / "a").write_bytes(b"new")
    world.disk.look_everywhere()
    observed = world.disk.look()
    if node in observed.unread:
        (done,) = world.apply(world.put("a", b"theirs", node))
        assert done.is_outdated
        assert (world.root / "a").read_bytes() == b"new"


def test_a_file_with_a_time_to_come_is_replaced_and_removed_as_any_other(world: World) -> None:
    for name in ("a", "b"):
        (world.root / name).write_bytes(b"old")
        os.utime(world.root / name, (4_000_000_000, 4_000_000_000))
    settle(world)
    a, b = world.node("a"), world.node("b")
    steps = world.put("a", b"theirs", a), Step(Action.REMOVE, b, "b", world.item(b"old"))
    assert not any(done.is_outdated or done.failure for done in world.apply(*steps))
    assert tree_of(world.root) == {"a": b"theirs"}


def test_what_planning_takes_for_the_same_file_is_replaced_where_it_is_now(world: World) -> None:
    """It came under another name with another time, or is new under the name: no inode tells."""
    for name in ("moved", "saved"):
        (world.root / name).write_bytes(name.encode())
    settle(world)
    moved, saved = world.node("moved"), world.node("saved")
    (world.root / "moved").rename(world.root / "renamed")
    os.utime(world.root / "renamed", (1, 1))
    (world.root / "saved").rename(world.root / "backup")
    (world.root / "saved").write_bytes(b"new")

    def read_again() -> Observed | None:
        world.disk.look_everywhere()
        observed = world.disk.look()
        return None if observed.unread or observed.young else observed

    observed = wait_until(read_again, "files that are not young")
    pair(world.state.base, observed.tree, Overlay(world.state.base))
    observed.renumber()
    steps = world.put("renamed", b"theirs", moved), world.put("saved", b"theirs too", saved)
    assert not any(done.is_outdated for done in world.apply(*steps))
    assert tree_of(world.root) == {
        "renamed": b"theirs", "saved": b"theirs too", "backup": b"saved",
    }  # fmt: skip


def test_ignored_files_keep_their_folder_and_it_does_not_come_back(world: World) -> None:
    (world.root / "folder").mkdir()
    (world.root / "folder" / "x").write_bytes(b"x")
    (world.root / ".syncignore").write_text("*.o\n")
    settle(world)
    (world.root / "folder" / "main.o").write_bytes(b"ignored")
    node = world.node("folder")
    (done,) = world.apply(Step(Action.REMOVE, node, "folder", FOLDER))
    assert done.failure == ""
    assert tree_of(world.root)["folder/main.o"] == b"ignored"
    world.state.base.agree(node, None)
    world.disk.look_everywhere()
    assert not world.disk.look().tree
    (world.root / "folder" / "new.txt").write_bytes(b"new")

    def is_seen() -> bool:
        world.disk.look_everywhere()
        return find(world.disk.look().tree, "folder/new.txt") is not None

    wait_until(is_seen, "the new file to be seen")


def test_folders_that_are_not_wanted_are_not_seen(world: World) -> None:
    (world.root / "skipped").mkdir()
    (world.root / "skipped" / "x").write_bytes(b"x")
    assert not world.disk.look().tree


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", ".syncd/evil", "x\0y", ".."])
def test_a_name_that_leads_out_is_a_failed_step(world: World, path: str) -> None:
    world.disk.look()
    bad, good = world.apply(world.put(path, b"evil"), world.put("good", b"good"))
    assert bad.failure
    assert (good.failure, tree_of(world.root)) == ("", {"good": b"good"})
    assert names_of(world.root.parent) == ["root", "state", "state-shm", "state-wal"]


def test_content_that_cannot_be_had_ends_the_steps_and_keeps_those_before(world: World) -> None:
    world.disk.look()
    first, second = world.put("first", b"1"), world.put("second", b"2")
    del world.contents[second.item.content]
    found: list[Done] = []
    with pytest.raises(KeyError):
        world.disk.apply([first, second], world.read, found.extend)
    assert [one.step.path for one in found] == ["first"]
    assert tree_of(world.root) == {"first": b"1"}


def test_a_folder_without_its_marker_is_left_alone(world: World) -> None:
    world.disk.look()
    (world.root / ".syncd" / "id").unlink()
    with pytest.raises(StoppedError, match="is its disk mounted"):
        world.disk.look()
    with pytest.raises(StoppedError):
        world.apply(world.put("a", b"a"))
    assert tree_of(world.root) == {}


def test_waiting_ends_with_a_change_with_a_call_and_with_time(world: World) -> None:
    world.disk.look()
    world.disk.wait(0.01)
    threading.Timer(0.05, (world.root / "new").touch).start()
    world.disk.wait(60)
    assert find(world.disk.look().tree, "new") is not None
    threading.Timer(0.05, world.disk.wake).start()
    world.disk.wait(60)


def test_what_is_ignored_no_more_is_seen_and_watched(world: World) -> None:
    (world.root / ".syncignore").write_text("built/\n*.o\n")
    (world.root / "built").mkdir()
    (world.root / "built" / "early").write_bytes(b"early")
    (world.root / "main.o").write_bytes(b"object")
    settle(world)
    assert find(world.state.base, "main.o") is None
    (world.root / ".syncignore").write_text("*.a\n")
    wait_until_seen(world, "main.o", "built/early")
    (world.root / "built" / "late").write_bytes(b"late")
    wait_until_seen(world, "built/late")


def test_what_is_synced_is_watched_though_it_is_ignored(world: World) -> None:
    """It was synced before somebody ignored it, or the server has it all the same."""
    (world.root / "before").mkdir()
    (world.root / "before" / "x").write_bytes(b"x")
    settle(world)
    (world.root / ".syncignore").write_text("before/\ncame/\n")
    settle(world)
    folder = Step(Action.MAKE_FOLDER, world.ids.new(), "came", FOLDER)
    file = world.put("came/x", b"x")
    made, put = world.apply(folder, file)
    world.state.base.agree(folder.node, Node(ROOT, "came", FOLDER), made.signature)
    world.state.base.agree(file.node, Node(folder.node, "x", file.item), put.signature)
    for path in ("before/x", "came/x"):
        (world.root / path).write_bytes(b"edited")
        wait_until_edited(world, path)


def wait_until_seen(world: World, *paths: str) -> None:
    """Wait until a look has these paths; hints tell where to look."""

    def are_seen() -> bool:
        tree = world.disk.look().tree
        return all(find(tree, path) is not None for path in paths)

    wait_until(are_seen, f"{paths} to be seen")


def wait_until_edited(world: World, path: str) -> None:
    """Wait until a look has a path as the base has not; hints tell where to look."""
    node = find(world.state.base, path)

    def is_edited() -> bool:
        assert node is not None
        return node in set(world.disk.look().tree.changed())

    wait_until(is_edited, f"{path} to be seen edited")


def test_all_names_of_a_file_are_seen_to_change_though_one_hint_comes(world: World) -> None:
    (world.root / "folder").mkdir()
    (world.root / "one").write_bytes(b"1")
    (world.root / "folder" / "other").hardlink_to(world.root / "one")
    settle(world)
    with (world.root / "one").open("ab") as file:
        file.write(b"2")
    wait_until_edited(world, "folder/other")
    assert find(world.disk.look().tree, "one") in world.disk.look().tree.changed()
    settle(world)
    step = world.put("one", b"12", world.node("one"))
    (done,) = world.apply(step._replace(action=Action.SET))
    assert not done.failure
    wait_until_edited(world, "folder/other")


def test_what_the_base_has_out_of_the_way_is_found_where_it_is(world: World) -> None:
    (world.root / "one").write_bytes(b"1")
    settle(world)
    base, node = world.state.base, world.node("one")
    before = base.get(node) or Node(ROOT, "", FOLDER)
    base.agree(node, before._replace(name="one (syncd is moving this 1)"))
    (world.root / "one").rename(world.root / "other")
    wait_until(lambda: find(world.disk.look().tree, "other") == node, "the file to be known again")
