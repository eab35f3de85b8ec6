"""A process that writes files, removes them and purges some, until it is killed.

    python -m tests.support.purging_driver LOCATION FIRST

It writes a line of JSON before and after each purge. What file a number stands for, the functions
here say.
"""

from __future__ import annotations

import json
import sys
from itertools import count

import cas
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, remove

VOLUME = "alice"
SIZE = 12_000
"""Bytes of a file: less than the smallest chunk of a longer one, so that it is one chunk."""


def content(number: int) -> bytes:
    return seeded_bytes(number, SIZE)


def is_purged(number: int) -> bool:
    return number % 3 != 0


def is_elsewhere(number: int) -> bool:
    return number % 5 == 0


def main() -> None:
    location, first = sys.argv[1], int(sys.argv[2])
    with cas.open(location) as repository:
        volume = repository.volume(VOLUME)
        for number in count(first):
            path = f"folder/{number}"
            put(volume, path, content(number))
            if is_elsewhere(number):
                with volume.edit() as edit:
                    edit.copy(path, f"elsewhere/{number}")
            if number % 7 == 0:
                volume.create_snapshot(f"s{number}")
            remove(volume, path)
            if is_purged(number):
                say("purging", number)
                cas.purge_path(repository, volume, path)
                say("purged", number)
            else:
                say("removed", number)


def say(what: str, number: int) -> None:
    sys.stdout.write(json.dumps([what, number]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
