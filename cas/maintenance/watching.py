"""Whom long work tells how it gets on, and what it finds: to be inherited from, they do nothing.

Called by one thread, and now and then, not for every record.
"""

from __future__ import annotations

import time
from typing import Final

from cas.maintenance.damage import Affected, Damage

_POLL_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 3.0


class Watcher:
    """Is told of the stages of long work and of the steps in them.

    What it raises ends the work, as a kill would: without harm, and the next one goes on.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins, of so many steps if that is known."""

    def waiting(self, processes: list[int]) -> None:
        """Processes, by the system's ids, are waited for; told once, if it takes long."""

    def queued(self) -> None:
        """Another collection, check, repair or replication is at work, and is waited for."""

    def advance(self, steps: int) -> None:
        """So many steps have been done."""


class Patience:
    """Waits for processes in short turns; after a while the watcher is told of them, once."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._begun = time.monotonic()
        self._has_told = False

    def wait_for(self, processes: list[int]) -> None:
        """Wait one turn for processes, by the system's ids."""
        if not self._has_told and time.monotonic() - self._begun > _PATIENCE_SECONDS:
            self._watcher.waiting(processes)
            self._has_told = True
        self._watcher.advance(0)
        time.sleep(_POLL_SECONDS)


class DamageWatcher(Watcher):
    """Is told of damage too. Its steps are bytes of packs that are read."""

    def damage(self, damage: Damage) -> None:
        """Something is wrong."""

    def affected(self, affected: Affected) -> None:
        """A path is hit by damage."""
