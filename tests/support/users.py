"""People who change files of a synced folder, or by WebDAV, and know what they took away."""

from __future__ import annotations

import itertools
import os
import random
from contextlib import suppress
from pathlib import Path

from tests.support.server import Server

NAMES = ("a", "b.txt", "c", "d.txt")


class Contents:
    """Contents that were written, each once, and those that somebody saw and replaced."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.written: dict[bytes, str] = {}
        self.replaced: set[bytes] = set()
        self._numbers = itertools.count()

    def new(self) -> bytes:
        """Return a content that nothing has; it is `written` once its place is known."""
        size = self.chance.choice([0, 0, 3_000, 300_000])
        return f"{next(self._numbers)} ".encode() + self.chance.randbytes(size)


class FolderUser:
    """Somebody at a device, who destroys nothing.

    What is removed or replaced is moved to `outside`, on the same disk, so that it can be looked at
    in the end, whatever a daemon has made of it until then.
    """

    def __init__(self, root: Path, outside: Path, contents: Contents) -> None:
        self._root = root
        self.outside = outside
        outside.mkdir(exist_ok=True)
        self._contents = contents
        self._chance = contents.chance
        self._numbers = itertools.count()

    def act(self) -> None:
        """Do something; nothing where a daemon was faster."""
        acts = [self._write, self._write, self._replace, self._move, self._remove]
        with suppress(OSError):
            self._chance.choice(acts)()

    def _paths(self) -> list[Path]:
        return [path for path in sorted(self._root.rglob("*")) if ".syncd" not in path.parts]

    def _new_place(self) -> Path:
        folders = [self._root, *(path for path in self._paths() if path.is_dir())]
        return self._chance.choice(folders) / self._chance.choice(NAMES)

    def _write(self) -> None:
        path = self._new_place()
        if self._chance.random() < 0.2:
            path.mkdir()
        else:
            self._make(path)

    def _make(self, path: Path) -> None:
        with path.open("xb") as opened:
            content = self._contents.new()
            self._contents.written[content] = str(path)
            opened.write(content)

    def _take_out(self, path: Path) -> Path:
        return path.rename(self.outside / f"{next(self._numbers)}")

    def _replace(self) -> None:
        path = self._chance.choice([self._root, *self._paths()])
        if path.is_file():
            self._take_out(path)
            self._make(path)

    def _remove(self) -> None:
        path = self._chance.choice([self._root, *self._paths()])
        if path != self._root:
            self._take_out(path)

    def _move(self) -> None:
        source, target = self._chance.choice([self._root, *self._paths()]), self._new_place()
        if source.is_dir() and source != self._root:
            source.rename(target)  # Only an empty folder gives way.
        elif source.is_file():
            out = self._take_out(source)
            os.link(out, target)  # Nothing gives way.
            out.unlink()


class WebUser:
    """Somebody who writes by WebDAV, and only over what was read."""

    def __init__(self, server: Server, contents: Contents) -> None:
        self._server = server
        self._contents = contents

    def act(self) -> None:
        """Write a file at the top; nothing where somebody was faster, or the server is away."""
        with suppress(OSError):
            self._write(self._contents.chance.choice(NAMES))

    def _write(self, name: str) -> None:
        status, headers, before = self._server.request("GET", name)
        condition = {"If-None-Match": "*"} if status == 404 else {"If-Match": headers["etag"]}
        if status in {200, 404}:
            content = self._contents.new()
            status, _, _ = self._server.request("PUT", name, content, condition)
            if status in {201, 204}:
                self._contents.written[content] = f"/dav/{name}"
            if status == 204:
                self._contents.replaced.add(before)


def contents_of(tree: dict[str, bytes | str | None]) -> list[bytes]:
    """Return the contents of all files."""
    return [content for content in tree.values() if isinstance(content, bytes)]
