"""Steps that go together: one write to the state before them, and one after."""

from __future__ import annotations

from typing import Final

from syncd.disk.staging import Staged
from syncd.disk.steps import Install
from syncd.disk.steps import Step as DiskStep
from syncd.plan import Step

BATCH: Final = 256
"""Steps of one batch."""
BATCH_SIZE: Final = 64 * 1024 * 1024
"""Bytes of staged files after which a batch is carried out."""


class Batch:
    """Some steps, each with what it is on the disk.

    Attributes:
        steps: the steps.
        failures: why some, by node, could not even be translated.
        nodes: all that it changes: a second step of one of them belongs into the next batch.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[Step, list[DiskStep]]] = []
        self.failures: dict[int, OSError] = {}
        self.nodes: set[int] = set()
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether it is to be carried out before anything is added."""
        return len(self.steps) >= BATCH or self._size >= BATCH_SIZE

    def add(self, step: Step, some: list[DiskStep]) -> None:
        """Add a step with what it is on the disk."""
        self.steps.append((step, some))
        self.nodes.add(step.node)
        self._size += sum(
            inner.staged.signature.size for inner in some if isinstance(inner, Install)
        )

    def staged(self) -> list[Staged]:
        """Return the files that are staged for it."""
        return [
            inner.staged for _, some in self.steps for inner in some if isinstance(inner, Install)
        ]
