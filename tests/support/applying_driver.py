"""A process that changes a linked folder and is killed at one of its renames or transactions.

Run as `applying_driver.py ROOT STATE WHICH [two-steps]`: SIGKILL comes right before the WHICH-th
rename, BEGIN or COMMIT.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.disk.folder import Folder
from syncd.disk.renames import Name, NoRenames, Renames, renames_of_this_system
from syncd.disk.steps import Install, Move, Outcome, RemoveFile
from tests.support.linked import Linked


class Counter:
    def __init__(self, which: int) -> None:
        self._left = which

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class KilledAtRenames:
    def __init__(self, renames: Renames, counter: Counter) -> None:
        self._renames = renames
        self._counter = counter

    def no_replace(self, source: Name, target: Name) -> None:
        self._counter.count()
        self._renames.no_replace(source, target)

    def exchange(self, one: Name, other: Name) -> None:
        self._counter.count()
        self._renames.exchange(one, other)


def change(linked: Linked) -> None:
    """Bring what a server has: `new`, another `edited`, `moved` elsewhere, and `gone` gone."""

    def record(_: list[Outcome]) -> None:
        Base(linked.database).remove(1)

    linked.apply(Install("folder/new", linked.stage(b"new")))
    linked.applier.apply(
        [
            Install("edited", linked.stage(b"theirs"), linked.signature("edited")),
            Move("moved", "folder/moved", linked.signature("moved")),
            RemoveFile("gone", linked.signature("gone")),
        ],
        record,
    )


def main() -> None:
    root, state, which, *two_steps = sys.argv[1:]
    counter = Counter(int(which))
    system = NoRenames() if two_steps else renames_of_this_system()
    with (
        Folder(Path(root), KilledAtRenames(system, counter)) as folder,
        Database(Path(state)) as database,
    ):
        linked = Linked(folder, database)

        def statement(text: str) -> None:
            if text.startswith(("BEGIN", "COMMIT")):
                counter.count()

        database.connection.set_trace_callback(statement)
        change(linked)
    print("done")


if __name__ == "__main__":
    main()
