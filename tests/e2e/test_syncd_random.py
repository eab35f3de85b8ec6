"""Anything at any time: daemons and server are killed, links are cut, people write everywhere."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from syncd.names import is_conflict_name
from tests.support import running_server
from tests.support.cut_link import cut_link
from tests.support.devices import Device, wait_for_same
from tests.support.linked import tree_of
from tests.support.users import Contents, FolderUser, WebUser, contents_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cut_link import CutLink
    from tests.support.server import Server

_ROUNDS = 8


class Disaster:
    """What happens to the machines, and is mended again."""

    def __init__(
        self, server: Server, links: list[CutLink], devices: list[Device], chance: random.Random
    ) -> None:
        self._server = server
        self._links = links
        self._devices = devices
        self._chance = chance

    def strike(self) -> None:
        kind = self._chance.choice(["cut", "cut", "daemon", "daemon", "server"])
        if kind == "cut":
            self._chance.choice(self._links).cut()
        elif kind == "server":
            self._server.kill()
        else:
            running = [device for device in self._devices if device.process is not None]
            if running:
                self._chance.choice(running).kill()

    def mend(self) -> None:
        for link in self._links:
            link.mend()
        if self._server.process is None:
            self._server.start()
        for device in self._devices:
            if device.process is None:
                device.start()


def play(tmp_path: Path, seed: int, count: int) -> None:
    """Let people and disasters come as a seed says, and see that nothing is lost or doubled."""
    chance = random.Random(seed)
    contents = Contents(chance)
    with ExitStack() as opened:
        server = opened.enter_context(running_server(tmp_path / "store"))
        links, devices = [], []
        for number in range(count):
            link = opened.enter_context(cut_link(server.port))
            device = Device(f"device{number}", tmp_path, server, port=link.port)
            device.link()
            opened.callback(_end, device)
            device.start()
            links.append(link)
            devices.append(device)
        users = [
            FolderUser(device.root, tmp_path / f"out{number}", contents)
            for number, device in enumerate(devices)
        ]
        people: list[FolderUser | WebUser] = [*users, *users, WebUser(server, contents)]
        disaster = Disaster(server, links, devices, chance)
        for _ in range(_ROUNDS):
            for _ in range(chance.randrange(1, 25)):
                chance.choice(people).act()
            wait_until(lambda: chance.random() < 0.2, "a moment")
            disaster.strike()
            for _ in range(chance.randrange(10)):
                chance.choice(people).act()
            disaster.mend()
        check(wait_for_same(*devices), contents, users)


def _end(device: Device) -> None:
    if device.process is not None:
        device.kill()


def check(tree: dict[str, bytes | str | None], contents: Contents, users: list[FolderUser]) -> None:
    there = contents_of(tree)
    taken = {content for user in users for content in contents_of(tree_of(user.outside))}
    lost = set(contents.written) - set(there) - taken - contents.replaced
    assert not lost, [(content[:10], contents.written[content]) for content in lost]
    for content in set(there):
        paths = [path for path, found in tree.items() if found == content]
        plain = [path for path in paths if not is_conflict_name(path.rpartition("/")[2])]
        assert len(plain) <= 1, plain


@pytest.mark.long
@pytest.mark.parametrize(("seed", "count"), [(1, 2), (2, 3)])
def test_nothing_is_lost_or_doubled(tmp_path: Path, seed: int, count: int) -> None:
    play(tmp_path, seed, count)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_nothing_is_lost_or_doubled_soak(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, 2 + seed % 2)
