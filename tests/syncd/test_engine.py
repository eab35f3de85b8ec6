"""What the engine does where something got lost on the way, step by step."""

from __future__ import annotations

import pytest

from syncd.engine import Turn
from syncd.manner import BLOCKED
from syncd.names import is_conflict_name
from tests.support.drawn_trees import text
from tests.support.simulated_devices import Device, World
from tests.support.simulated_server import PAGE


def settle(*devices: Device) -> None:
    """Let devices take turns until nothing is left to do."""
    for _ in range(20):
        devices[0].world.time += 400  # what failed is tried again
        if {device.turn() for device in devices} == {Turn.IN_SYNC}:
            return
    raise AssertionError("no end")


def settle_all(*devices: Device) -> None:
    """Let devices take turns until nothing changes any more, problems or not."""
    for _ in range(20):
        devices[0].world.time += 400
        for device in devices:
            device.turn()


def contents(device: Device) -> dict[str, bytes]:
    """Return what files there are, by path."""
    drawing = device.disk.drawing()
    return {path: item.content for path, item in drawing.items() if item.content}


def test_what_a_commit_without_answer_made_is_not_doubled_when_it_moved_meanwhile() -> None:
    world = World(0)
    here, there = Device(world, "here"), Device(world, "there")
    here.disk.user.make("folder")
    here.disk.user_writes("folder/old", text("old"))
    settle(here, there)
    there.disk.user.remove("folder")
    settle(there)
    here.disk.user_writes("folder/new", text("new"))
    world.to_lose = ["commit"]
    while world.to_lose:
        world.time += 400
        here.turn()
    here.disk.user.move("folder/new", "moved")
    here.disk.touch(here.disk.user.node("moved"))
    settle(here, there)
    assert contents(here) == contents(there) == {"moved": b"new"}


def test_the_first_commit_of_all_without_an_answer_is_known_again() -> None:
    world = World(0)
    here = Device(world, "here")
    settle(here)
    here.disk.user_writes("file", text("1"))
    world.to_lose = ["commit"]
    while world.to_lose:
        world.time += 400
        here.turn()
    here.disk.user.move("file", "moved")
    here.disk.touch(here.disk.user.node("moved"))
    settle(here)
    assert contents(here) == {"moved": b"1"}


def test_a_listing_that_broke_off_is_no_state_to_go_on_from() -> None:
    world = World(0)
    here, there = Device(world, "here"), Device(world, "there")
    for number in range(3 * PAGE):
        there.disk.user_writes(f"{number}", text(f"{number}"))
    settle(there)
    world.to_lose = ["rest of the tree"]
    here.turn()
    assert not world.to_lose
    settle(here)
    assert contents(here) == contents(there)


def test_what_a_commit_without_answer_made_and_others_removed_is_gone() -> None:
    world = World(0)
    here, there = Device(world, "here"), Device(world, "there")
    here.disk.user_writes("stays", text("stays"))
    settle(here, there)
    here.disk.user.make("folder")
    here.disk.user_writes("file", text("file"))
    world.large = 0  # All goes with one commit.
    world.to_lose = ["commit"]
    while world.to_lose:
        here.turn()
    settle(there)
    there.disk.user.remove("folder")
    there.disk.user.remove("file")
    settle(there)
    settle(here, there)
    assert here.disk.drawing() == there.disk.drawing() == {"stays": text("stays")}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("is_here_first", [True, False])
def test_a_folder_that_one_moved_and_one_removed_stays_whole_however_slowly_it_comes(
    seed: int, *, is_here_first: bool
) -> None:
    world = World(seed)
    world.large = 0.7  # It comes in several commits, or several times to the disk.
    here, there = Device(world, "here"), Device(world, "there")
    here.disk.user.make("folder")
    here.disk.user.make("folder/inner")
    for number in range(5):
        here.disk.user_writes(f"folder/inner/{number}", text(f"{number}"))
    settle(here, there)
    there.disk.user.remove("folder")
    here.disk.user.move("folder", "moved")
    here.disk.touch(here.disk.user.node("moved"))
    settle(here if is_here_first else there)
    for number in range(3):
        for device in (here, there):
            device.turn()
            device.disk.user_writes(f"{device.name} {number}", text(f"{device.name} {number}"))
    settle(here, there)
    settle(here, there)
    assert contents(here) == contents(there)
    inside = {path: text for path, text in contents(here).items() if path.startswith("moved/")}
    assert inside == {f"moved/inner/{number}": f"{number}".encode() for number in range(5)}


def test_a_device_that_only_sends_puts_its_own_in_place_of_theirs() -> None:
    world = World(0)
    here, there = Device(world, "here", takes=False), Device(world, "there")
    here.disk.user_writes("file", text("0"))
    here.disk.user_writes("other", text("of here"))
    settle(here, there)
    there.disk.user_writes("file", text("theirs"))
    there.disk.user_writes("new", text("theirs too"))
    there.disk.user.move("other", "renamed")
    settle(here, there)
    assert contents(here) == {"file": b"0", "other": b"of here"}
    assert not here.kept
    here.disk.user_writes("file", text("mine"))
    here.disk.user_writes("new", text("mine too"))
    here.disk.user_writes("other", text("edited"))
    settle(here, there)
    assert contents(here) == {"file": b"mine", "new": b"mine too", "other": b"edited"}
    assert contents(there) == {"file": b"mine", "new": b"mine too", "renamed": b"edited"}


def test_a_device_that_only_sends_tells_what_has_no_place_there() -> None:
    world = World(0)
    here, there = Device(world, "here", takes=False), Device(world, "there")
    there.disk.user.make("name")
    settle(there)
    here.disk.user_writes("name", text("mine"))
    here.disk.user_writes("other", text("goes on"))
    settle_all(here, there)
    assert contents(there) == {"other": b"goes on"}
    assert list(here.found.values()) == [BLOCKED]
    assert here.turn() is Turn.WAITING


def test_a_device_that_only_takes_keeps_its_own_beside_theirs() -> None:
    world = World(0)
    here, there = Device(world, "here", sends=False), Device(world, "there")
    there.disk.user_writes("file", text("0"))
    settle(there, here)
    here.disk.user_writes("file", text("mine"))
    here.disk.user_writes("new", text("only here"))
    there.disk.user_writes("file", text("theirs"))
    settle(there, here)
    assert contents(there) == {"file": b"theirs"}
    (copy,) = [path for path in contents(here) if is_conflict_name(path)]
    assert contents(here) == {"file": b"theirs", copy: b"mine", "new": b"only here"}


def test_what_a_killed_device_has_brought_and_others_have_changed_does_not_come_back() -> None:
    for steps in range(100):
        world = World(0)
        here, there = Device(world, "here"), Device(world, "there")
        user = here.disk.user
        for name in ("edited", "moved", "removed"):
            here.disk.user_writes(name, text(name))
        settle(here, there)
        user.make("folder")
        here.disk.user_writes("folder/new", text("new"))
        here.disk.user_writes("edited", text("once"))
        user.move("moved", "folder/moved")
        user.remove("removed")
        settle(here)
        there.dies_after = steps
        there.turn()
        is_over = there.dies_after is not None
        there.dies_after = None
        user.move("folder/moved", "moved again")
        user.move("folder/new", "new")
        user.remove("folder")
        here.disk.user_writes("edited", text("twice"))
        here.disk.user_writes("removed", text("made anew"))
        settle(here)
        drawing = here.disk.drawing()
        settle(there, here)
        assert there.disk.drawing() == here.disk.drawing() == drawing, steps
        if is_over:
            return
    raise AssertionError("it was killed each time")


def made_anew() -> tuple[Device, Device]:
    """Return two devices, of which the second made a folder anew around what it had."""
    world = World(0)
    world.large = 0
    here, there = Device(world, "here"), Device(world, "there")
    for folder in ("folder", "folder/inner"):
        here.disk.user.make(folder)
    here.disk.user_writes("folder/file", text("file"))
    here.disk.user_writes("folder/inner/file", text("inner"))
    settle(here, there)
    there.disk.user.move("folder", "old")
    settle(there)
    there.disk.user.make("folder")
    settle(there)
    for name in ("file", "inner"):
        there.disk.user.move(f"old/{name}", f"folder/{name}")
    settle(there)
    there.disk.user.remove("old")
    settle(there)
    return here, there


def test_a_folder_that_was_made_anew_around_what_it_had_is_made_anew_once() -> None:
    here, there = made_anew()
    settle(here)
    inode = here.disk.user.node("folder")
    settle(here)
    assert here.disk.user.node("folder") == inode
    here.disk.user.remove("folder/file")
    settle(here, there)
    assert contents(here) == contents(there) == {"folder/inner/file": b"inner"}


def test_a_folder_that_was_moved_into_a_new_one_of_its_name_is_moved_once() -> None:
    world = World(0)
    world.large = 0
    here, there = Device(world, "here"), Device(world, "there")
    here.disk.user.make("folder")
    here.disk.user_writes("folder/file", text("file"))
    settle(here, there)
    there.disk.user.move("folder", "old")
    settle(there)
    there.disk.user.make("folder")
    there.disk.user.move("old", "folder/old")
    settle(there)
    settle(here)
    inode = here.disk.user.node("folder")
    settle(here)
    assert here.disk.user.node("folder") == inode
    here.disk.user.remove("folder/old/file")
    settle(here, there)
    assert contents(here) == contents(there) == {}


def test_what_is_written_into_a_folder_out_of_the_way_stays_under_its_name() -> None:
    for steps in range(100):
        here, there = made_anew()
        here.dies_after = steps
        here.turn()
        is_over, here.dies_after = here.dies_after is not None, None
        for path in here.disk.drawing():
            if path.startswith("folder ("):
                here.disk.user_writes(f"{path}/new", text("new"))
                break
        before = set(contents(here).values())
        settle(here, there)
        assert contents(here) == contents(there), steps
        assert set(contents(here).values()) == before, steps
        assert all(path.startswith("folder/") for path in contents(here)), steps
        if is_over:
            return
    raise AssertionError("it was killed each time")
