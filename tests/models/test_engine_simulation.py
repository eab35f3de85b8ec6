"""Devices that keep a folder in sync, with all that can go wrong, in an order that a seed decides.

The production engine runs; disk, server, network and clock are in memory. Users write on all
devices and on the server, requests and answers get lost, devices are killed at any step.
"""

from __future__ import annotations

from collections import Counter

import pytest

from syncd.engine import Turn
from syncd.names import is_conflict_name
from syncd.trees import FOLDER
from tests.support.drawn_trees import drawn
from tests.support.simulated_devices import Device, World, Writer

SEEDS = range(60)


def simulate(seed: int, *, merges: bool = False) -> World:
    world = World(seed, merges=merges)
    chance = world.chance
    world.kills, world.losses = chance.choice(((0, 0), (0, 0.1), (0.01, 0), (0.02, 0.05)))
    devices = [Device(world, f"device{number}") for number in range(chance.choice((1, 2, 2, 3)))]
    world.writers = len(devices)
    for device in devices:
        writer = Writer(device, chance.randrange(25))
        world.baton.add(device.name, device.run)
        world.baton.add(f"writer of {device.name}", writer.run)
    world.baton.run()
    calm_down(world, devices)
    check(world, devices)
    return world


def calm_down(world: World, devices: list[Device]) -> None:
    """Let everybody finish, undisturbed."""
    world.kills = world.losses = 0
    ends: list[Turn] = []
    for _ in range(60):
        before = world.server.sequence
        world.time += 400  # what failed is tried again
        ends = [device.turn() for device in devices]
        if before == world.server.sequence and set(ends) == {Turn.IN_SYNC}:
            return
    raise AssertionError(f"no end: {ends}\n" + "\n".join(world.events[-60:]))


def check(world: World, devices: list[Device]) -> None:
    result = world.server.drawing()
    for device in devices:
        assert device.disk.drawing() == result
        assert device.turn() is Turn.IN_SYNC  # There was nothing that it did not do before.
        assert drawn(device.state.base) == result
        assert not any(value for key, value in device.state.values.items() if key == "commit")
    counts = Counter(item.content for item in result.values() if item != FOLDER)
    lost = world.written - world.superseded - {line for text in counts for line in text.split()}
    assert not lost, lost
    assert all(len(set(text.split())) == len(text.split()) for text in counts)
    assert not any(" (syncd is moving" in path for path in result)
    for content, count in counts.items():
        if count > 1:  # Then there was a conflict.
            paths = [path for path, item in result.items() if item.content == content]
            assert sum(not is_conflict_name(path.rpartition("/")[2]) for path in paths) <= 1, paths


@pytest.mark.parametrize("seed", SEEDS)
def test_devices_become_the_same_and_lose_and_double_nothing(seed: int) -> None:
    simulate(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_devices_that_merge_texts_lose_no_line(seed: int) -> None:
    simulate(seed, merges=True)


@pytest.mark.parametrize("seed", [3, 7])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    assert simulate(seed).events == simulate(seed).events


@pytest.mark.soak
def test_devices_become_the_same_and_lose_and_double_nothing_soak() -> None:
    for seed in range(1000, 6000):
        try:
            simulate(seed, merges=seed % 4 == 0)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
