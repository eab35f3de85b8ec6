"""Devices in memory that run the production engine, and users who write on their disks.

Disk, server, network and clock are in memory. Requests and answers get lost, and devices are
killed at any step, as often as the world says.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from cas import wire
from syncd.disk.items import Item
from syncd.engine import Engine, Turn
from syncd.manner import Manner
from syncd.numbering import last_node
from syncd.plan import Notice
from syncd.ports import Ahead, Download, OutdatedError, Upload
from syncd.remote.errors import UnreachableError
from syncd.trees import FOLDER, NodeIds, find, is_inside
from tests.support.baton import Baton
from tests.support.drawn_trees import text
from tests.support.simulated_disk import SimulatedDisk, SimulatedState
from tests.support.simulated_server import PLACE, SimulatedServer

NAMES = ("a", "b", "c.txt", "d")
_Answer = TypeVar("_Answer")


class KilledError(BaseException):
    """The device's process is dead."""


class World:
    """What all devices share."""

    def __init__(self, seed: int, *, merges: bool = False) -> None:
        self.chance = random.Random(seed)
        self.merges = merges
        self.baton = Baton(self.chance)
        self.server = SimulatedServer()
        self.time = 0.0
        self.kills = 0.0
        self.losses = 0.0
        self.large = 0.3
        self.writers = 0
        self.number = 0
        self.superseded: set[bytes] = set()
        self.written: set[bytes] = set()
        self.events: list[str] = []
        self.to_lose: list[str] = []

    def new_content(self) -> str:
        self.number += 1
        self.written.add(f"{self.number}".encode())
        return f"{self.number}"

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.time * 1e9)

    def monotonic(self) -> float:
        return self.time


class Device:
    """A device: what survives a kill, and the engine that does not."""

    def __init__(self, world: World, name: str, *, sends: bool = True, takes: bool = True) -> None:
        self.world = world
        self.name = name
        self.manner = Manner(name, sends, takes, may_merge=lambda _: world.merges)
        self.found: dict[str, str] = {}
        self.kept = {b"of large files that have not come as a whole"}
        self.dies_after: int | None = None
        """Steps that it still makes before it is killed once; None: as often as the world says."""
        self.state = SimulatedState()
        self.disk = SimulatedDisk(self.state, NodeIds(), self.step)
        self.start()

    def start(self) -> None:
        ids = NodeIds(last_node(self.state.base, self.state))
        self.disk.ids = ids
        self.disk._numbers = {}  # noqa: SLF001 - what a process knew
        self.engine = Engine(
            PLACE, self.manner, self.state, self.disk, self, self, self, self.world, ids
        )

    def step(self) -> None:
        self.world.baton.pass_on()
        self.world.time += 0.05
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                self.dies_after = None
                raise KilledError
        if self.world.chance.random() < self.world.kills:
            raise KilledError

    def _call(self, what: str, ask: Callable[[], _Answer]) -> _Answer:
        self.step()
        self._lose(f"{what} is lost")
        answer = ask()
        self.world.events.append(f"{self.name} {what}")
        self.step()
        if what in self.world.to_lose:
            self.world.to_lose.remove(what)
            raise UnreachableError(f"the answer to {what} is lost")
        self._lose(f"the answer to {what} is lost")
        return answer

    def _lose(self, what: str) -> None:
        if self.world.chance.random() < self.world.losses:
            raise UnreachableError(what)

    # Server

    def delta(self, place: wire.Place, since: int) -> wire.Delta:
        return self._call("delta", lambda: self.world.server.delta(place, since))

    def tree(
        self, place: wire.Place, *, sequence: int = 0, path: bytes = b""
    ) -> Iterator[wire.TreePage]:
        pages = self.world.server.tree(place, sequence=sequence, path=path)
        what = "tree"
        while page := self._call(what, lambda: next(pages, None)):
            yield page
            what = "rest of the tree"

    def commit(self, request: wire.CommitRequest) -> wire.Committed:
        return self._call("commit", lambda: self.world.server.commit(request))

    # Transfers

    def upload(self, files: Sequence[Upload]) -> dict[int, str]:
        failed = {}
        for index, file in enumerate(files):
            self._call("upload", lambda: None)
            node = find(self.disk.files, file.path)
            found = self.disk.files.get(node) if node is not None else None
            if found is None or found.item.content != file.item.content:
                failed[index] = "it has changed"
            else:
                self.world.server.contents[file.item.content] = file.item.content
        return failed

    def is_large(self, item: Item) -> bool:
        return self.world.chance.random() < self.world.large

    def done(self, item: Item) -> int:
        return 0

    def send_ahead(self, files: Sequence[Upload]) -> Ahead:
        return self._ahead(len(files))

    def fetch_ahead(self, files: Sequence[Download], kept: Collection[bytes]) -> Ahead:
        self.kept = set(kept) | {file.item.content for file in files}
        return self._ahead(len(files))

    def _ahead(self, count: int) -> Ahead:
        """Some are on their way still, as chance has it."""
        coming = {number for number in range(count) if self.world.chance.random() < 0.5}
        return Ahead(coming, is_outdated=bool(coming) and self.world.chance.random() < 0.1)

    def prepare(self, files: Sequence[Download]) -> None:
        pass

    def download(self, file: Download) -> Iterator[bytes]:
        self._call("download", lambda: None)
        found = self.world.server.states[file.sequence].get(file.path.decode())
        if found is None or found.content != file.item.content:
            raise OutdatedError(file.path)
        yield found.content

    def read(self, file: Upload) -> bytes:
        self.step()
        node = find(self.disk.files, file.path)
        found = self.disk.files.get(node) if node is not None else None
        if found is None or found.item.content != file.item.content:
            raise OSError(errno.EBUSY, "it has changed")
        return found.item.content

    def identify(self, content: bytes) -> Item:
        return text(content.decode())

    # Report

    def notices(self, notices: Sequence[Notice]) -> None:
        self.world.events.extend(f"{self.name} {notice}" for notice in notices)

    def problems(self, problems: dict[str, str]) -> None:
        self.found = problems

    def left(self, files: int, upload: int, download: int) -> None:
        pass

    def did(self, steps: int) -> None:
        pass

    # The actor

    def run(self) -> None:
        """Keep in sync as long as somebody writes."""
        while self.world.writers:
            self.turn()

    def turn(self) -> Turn:
        self.engine.ask_server()
        try:
            return self.engine.turn()
        except UnreachableError:
            return Turn.AGAIN
        except KilledError:
            self.world.events.append(f"{self.name} killed")
            self.start()
            return Turn.AGAIN


class Writer:
    """Somebody who changes files on a device's disk."""

    def __init__(self, device: Device, changes: int) -> None:
        self.device = device
        self.disk = device.disk
        self.world = device.world
        self.changes = changes

    def run(self) -> None:
        for _ in range(self.changes):
            for _ in range(self.world.chance.randrange(20)):
                self.world.baton.pass_on()
            self.change()
        self.world.writers -= 1

    def change(self) -> None:
        chance, side = self.world.chance, self.disk.user
        drawing = self.disk.drawing()
        paths = sorted(drawing)
        folders = ["", *(path for path in paths if drawing[path] == FOLDER)]
        folder = chance.choice(folders)
        name = chance.choice(NAMES)
        new_path = f"{folder}/{name}" if folder else name
        chosen = chance.choice(paths) if paths else None
        actions = ("write", "write", "write", "make", "move", "remove", "touch")
        action = chance.choice(actions + ("edit",) * 6 * self.world.merges)
        self.world.events.append(f"{self.device.name} user {action} {chosen} {new_path}")
        if action == "write" and drawing.get(new_path) != FOLDER:
            self.supersede([new_path])
            self.disk.user_writes(new_path, text(self.new_text()))
        elif action == "make" and new_path not in drawing:
            side.make(new_path)
        elif chosen is None:
            return
        elif action == "remove":
            self.supersede([p for p in paths if p == chosen or p.startswith(f"{chosen}/")])
            side.remove(chosen)
        elif action == "edit" and drawing[chosen] != FOLDER:
            self.edit(chosen)
        elif action == "touch" and drawing[chosen] != FOLDER:
            item = text(drawing[chosen].content.decode(), mtime_ns=chance.randrange(1000))
            self.disk.user_writes(chosen, item)
        elif action == "move" and new_path not in drawing:
            self.move(chosen, folder, new_path)

    def edit(self, path: str) -> None:
        """Add some lines to a text, and take some away."""
        chance = self.world.chance
        lines = self.disk.drawing()[path].content.decode().splitlines(keepends=True)
        for _ in range(chance.choice((1, 1, 5))):
            lines.insert(chance.randrange(len(lines) + 1), f"{self.world.new_content()}\n")
        if chance.random() < 0.3:
            gone = lines.pop(chance.randrange(len(lines)))
            self.world.superseded.add(gone.strip().encode())
        self.disk.user_writes(path, text("".join(lines)))

    def move(self, path: str, folder: str, new_path: str) -> None:
        side = self.disk.user
        if not is_inside(self.disk.files, side.node(folder), side.node(path)):
            side.move(path, new_path)
            self.disk.touch(side.node(new_path))

    def new_text(self) -> str:
        content = self.world.new_content()
        return f"{content}\n" if self.world.merges else content

    def supersede(self, paths: list[str]) -> None:
        drawing = self.disk.drawing()
        contents = [drawing[path].content for path in paths if path in drawing]
        self.world.superseded.update(line for content in contents for line in content.split())
