"""Whom long work tells how it gets on, and what it finds: to be inherited from, they do nothing.

Called by one thread, and now and then, not for every record.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from cas.maintenance.damage import Affected, Damage

_POLL_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 3.0


class WaitedFor(NamedTuple):
    """A process that is waited for, by the system's id, and the write for which that is.

    It began at `since_ns`, nanoseconds since the epoch, in the volume of this name. They are 0
    and empty where the process has only not looked yet; the name also where it has none.
    """

    process: int
    since_ns: int = 0
    volume: str = ""


class Watcher:
    """Is told of the stages of long work and of the steps in them.

    What it raises ends the work, as a kill would: without harm, and the next one goes on.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins, of so many steps if that is known."""

    def waiting(self, processes: list[WaitedFor]) -> None:
        """Processes are waited for; told if it takes long, and again when they are others."""

    def queued(self) -> None:
        """Another collection, check, repair or replication is at work, and is waited for."""

    def advance(self, steps: int) -> None:
        """So many steps have been done."""


class Patience:
    """Waits for processes in short turns; every while the watcher is told of those that are new."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._since = time.monotonic()
        self._told: set[WaitedFor] = set()

    def wait_for(self, processes: Iterable[WaitedFor]) -> None:
        """Wait one turn for processes."""
        if time.monotonic() - self._since > _PATIENCE_SECONDS:
            found = set(processes)
            if not found <= self._told:
                self._watcher.waiting(sorted(found))
            self._told |= found
            self._since = time.monotonic()
        self._watcher.advance(0)
        time.sleep(_POLL_SECONDS)


class DamageWatcher(Watcher):
    """Is told of damage too. Its steps are bytes of packs that are read."""

    def damage(self, damage: Damage) -> None:
        """Something is wrong."""

    def affected(self, affected: Affected) -> None:
        """A path is hit by damage."""
