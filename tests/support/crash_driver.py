"""A process that changes a repository until it is killed, and says what it has been told is done.

    python -m tests.support.crash_driver LOCATION FOLDER SEED [checkpoint] [big]

It owns one folder of the volume `shared` and does one operation at a time. On standard output
it writes lines of JSON: what it found in the folder, then before each operation what it will
make of it, and after its acknowledgement what is done; a reader of the pipe knows, after a kill,
the two states that the folder may have. With `checkpoint` it makes
checkpoints all the time, with `big` packs fill up and are sealed.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from typing import Final

import cas
from tests.support.corpus import seeded_bytes

VOLUME: Final = "shared"
NAMES: Final = [f"file {number}" for number in range(60)]

Folder = dict[str, tuple[int, int]]
"""Of each file the seed and length of its content."""


def content_of(seed: int, length: int) -> bytes:
    return seeded_bytes(seed, length)


class Driver:
    """Changes its folder at random."""

    def __init__(self, repository: cas.Repository, folder: str, seed: int, longest: int) -> None:
        self._volume = repository.volume(VOLUME)
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
        name, other = self._random.sample(NAMES, 2)
        operation = self._random.choice(["put", "put", "put", "many", "remove", "move", "copy"])
        after = dict(self._files)
        edit = self._volume.edit(author=self._folder)
        edit.make_directory(self._folder, parents=True)
        if operation == "put":
            self._put(edit, after, name)
        elif operation == "many":
            for each in self._random.sample(NAMES, 20):
                self._put(edit, after, each)
        elif name not in after:
            return
        elif operation == "remove":
            edit.remove(f"{self._folder}/{name}")
            del after[name]
        elif operation == "move":
            edit.move(f"{self._folder}/{name}", f"{self._folder}/{other}")
            after[other] = after.pop(name)
        else:
            edit.copy(f"{self._folder}/{name}", f"{self._folder}/{other}")
            after[other] = after[name]
        say({"trying": after})
        edit.commit()
        say({"done": after})
        self._files = after

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
    driver = Driver(repository, folder, int(seed), longest)
    if "checkpoint" in options:
        threading.Thread(target=_checkpoint_for_ever, args=(repository,), daemon=True).start()
    driver.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
