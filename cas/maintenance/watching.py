"""Telling somebody how long work gets on."""

from __future__ import annotations


class CollectionWatcher:
    """Is told of the stages of long work and of their steps; this one does nothing with it.

    What it raises ends the work, as a kill would: without harm, and the next one goes on.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins, of so many steps if that is known."""

    def waiting(self, processes: list[int]) -> None:
        """Writes of processes, by the system's ids, are waited for; told once, if it takes long."""

    def advance(self, steps: int) -> None:
        """So many steps have been done."""
