"""What the engine does where something got lost on the way, step by step."""

from __future__ import annotations

from syncd.engine import Turn
from tests.support.drawn_trees import text
from tests.support.simulated_devices import Device, World


def settle(*devices: Device) -> None:
    """Let devices take turns until nothing is left to do."""
    for _ in range(20):
        devices[0].world.time += 400  # what failed is tried again
        if {device.turn() for device in devices} == {Turn.IN_SYNC}:
            return
    raise AssertionError("no end")


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
