"""A process that changes a repository until it is killed, and says what it has been told is done.

    python -m tests.support.crash_driver LOCATION FOLDER SEED [checkpoint] [big] [past]

It owns one folder of the volume `shared` and does one operation at a time. On standard output
it writes lines of JSON: what it found in the folder, then before each operation what it will
make of it, and after its acknowledgement what is done; a reader of the pipe knows, after a kill,
the two states that the folder may have. With `checkpoint` it makes
checkpoints all the time, with `big` packs fill up and are sealed, with `past` it makes snapshots,
deletes them, and copies out of them and through another volume.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
from typing import Final

import cas
from tests.support.corpus import seeded_bytes

VOLUME: Final = "shared"
MIRROR: Final = "mirror"
NAMES: Final = [f"file {number}" for number in range(60)]

Folder = dict[str, tuple[int, int]]
"""Of each file the seed and length of its content."""


def content_of(seed: int, length: int) -> bytes:
    return seeded_bytes(seed, length)


class Driver:
    """Changes its folder at random."""

    def __init__(
        self,
        repository: cas.Repository,
        folder: str,
        seed: int,
        longest: int,
        *,
        has_past: bool = False,
    ) -> None:
        self._volume = repository.volume(VOLUME)
        self._mirror = repository.volume(MIRROR) if has_past else None
        self._snapshots: dict[str, Folder] = {}
        self._folder = folder
        self._random = random.Random(seed)
        self._longest = longest
        self._files: Folder = {}
        with self._volume.view() as view:
            for name, entry in view.list(folder) if view.get(folder) else ():
                # What is there already was checked by the test; its content is told by its time.
                self._files[name] = (entry.mtime_ns, entry.size)
        say({"found": self._files})

    def run(self) -> None:
        while True:
            self._step()

    def _step(self) -> None:
        operations = ["put", "put", "put", "many", "remove", "move", "copy"]
        if self._mirror is not None:
            operations += ["mirror", "restore", "snapshot"]
        operation = self._random.choice(operations)
        if operation == "snapshot":
            self._change_snapshots()
            return
        after = dict(self._files)
        edit = self._volume.edit(author=self._folder)
        edit.make_directory(self._folder, parents=True)
        if self._add(operation, edit, after):
            self._commit(edit, after)

    def _add(self, operation: str, edit: cas.Edit, after: Folder) -> bool:
        """Add the operation to the edit; False where there is nothing to do it with."""
        name, other = self._random.sample(NAMES, 2)
        source, target = f"{self._folder}/{name}", f"{self._folder}/{other}"
        if operation in {"put", "many"}:
            for each in [name] if operation == "put" else self._random.sample(NAMES, 20):
                self._put(edit, after, each)
            return True
        if operation == "restore":
            return self._restore(edit, after, other)
        if name not in after:
            return False
        if operation == "remove":
            edit.remove(source)
        elif operation == "move":
            edit.move(source, target)
        elif operation == "copy":
            edit.copy(source, target)
        else:
            self._mirror_back(edit, name, other)
        if operation != "remove":
            after[other] = after[name]
        if operation in {"remove", "move"}:
            del after[name]
        return True

    def _commit(self, edit: cas.Edit, after: Folder) -> None:
        say({"trying": after})
        try:
            edit.commit()
        except cas.ExpiredError:  # a collection has begun since the view was made
            say({"done": self._files})
            return
        say({"done": after})
        self._files = after

    def _change_snapshots(self) -> None:
        """Make a snapshot, or delete one."""
        if len(self._snapshots) < 3:
            name = f"{self._folder.replace(' ', '-')}-{os.getpid()}-{self._random.randrange(10**9)}"
            try:
                self._volume.create_snapshot(name)
            except cas.ExpiredError:
                return
            self._snapshots[name] = dict(self._files)
            return
        name = self._random.choice(sorted(self._snapshots))
        with self._volume.edit() as edit:
            edit.remove_snapshot(name)
        del self._snapshots[name]

    def _restore(self, edit: cas.Edit, after: Folder, target: str) -> bool:
        """Copy a file out of a snapshot; False where there is none."""
        choice = [(s, f) for s, files in sorted(self._snapshots.items()) for f in files]
        if not choice:
            return False
        snapshot, name = self._random.choice(choice)
        with self._volume.at(self._volume.snapshot(snapshot).commit) as view:
            entry = view.entry(f"{self._folder}/{name}")
            edit.attach(f"{self._folder}/{target}", entry, epoch=view.epoch, nodes=view.nodes)
        after[target] = self._snapshots[snapshot][name]
        return True

    def _mirror_back(self, edit: cas.Edit, name: str, target: str) -> None:
        """Copy a file to the other volume and from there back, where it is then removed."""
        assert self._mirror is not None
        path = f"{self._folder} {name}"
        is_there = False  # what a kill may have left there is an older version
        while not is_there:
            with self._volume.view() as view, contextlib.suppress(cas.ExpiredError):
                there = self._mirror.edit()
                there.attach(
                    path, view.entry(f"{self._folder}/{name}"), epoch=view.epoch, nodes=view.nodes
                )
                there.commit()
                is_there = True
        with self._mirror.view() as view:
            entry = view.entry(path)
            edit.attach(f"{self._folder}/{target}", entry, epoch=view.epoch, nodes=view.nodes)
        with self._mirror.edit() as there:
            there.remove(path)

    def _put(self, edit: cas.Edit, after: Folder, name: str) -> None:
        # Few seeds, so that states and their nodes come back.
        seed = self._random.randrange(8)
        length = self._random.choice([0, 10, 2_000, self._random.randrange(self._longest)])
        upload = self._volume.upload()
        upload.write(content_of(seed, length))
        edit.put(f"{self._folder}/{name}", upload, mtime_ns=seed)
        after[name] = (seed, length)


def say(message: object) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _checkpoint_for_ever(repository: cas.Repository) -> None:
    while True:
        repository.checkpoint()
        repository.engine.history.catch_up_all(limit=1000)


def main(location: str, folder: str, seed: str, *options: str) -> None:
    repository = cas.open(location)
    longest = 20_000_000 if "big" in options else 200_000
    driver = Driver(repository, folder, int(seed), longest, has_past="past" in options)
    if "checkpoint" in options:
        threading.Thread(target=_checkpoint_for_ever, args=(repository,), daemon=True).start()
    driver.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
