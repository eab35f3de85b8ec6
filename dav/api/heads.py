"""The newest states of all volumes, and which of them are new since the last look."""

from __future__ import annotations

from typing import NamedTuple

import cas
from dav.registry import Registry


class VolumeState(NamedTuple):
    """A volume's newest state: its number, the id of its tree, whose commit the newest change was.

    `device` is empty where the change came from elsewhere.
    """

    volume: cas.VolumeInfo
    sequence: int
    root: bytes
    device: str = ""


class Heads:
    """Looks at the heads of one repository. `news` is for one thread, the rest for all."""

    def __init__(self, repository: cas.Repository, registry: Registry) -> None:
        self._repository = repository
        self._registry = registry
        self._marks: dict[bytes, bytes] = {}
        self._transaction = 0

    def all(self) -> list[VolumeState]:
        """Return the states of all volumes, without devices."""
        found = (self._look(info) for info in self._registry.state().volumes)
        return [state for state in found if state is not None]

    def news(self) -> list[VolumeState]:
        """Return the states that are new since the last time that this was asked; all at first."""
        transaction = self._repository.last_transaction()
        if transaction == self._transaction:
            return []
        self._transaction = transaction
        found = []
        marks: dict[bytes, bytes] = {}
        for info in self._registry.state().volumes:
            try:
                volume = self._repository.volume(info.name)
            except cas.NotFoundError:
                continue
            marks[info.id] = volume.mark()
            if self._marks.get(info.id) != marks[info.id]:
                state = self._look(info, with_device=True)
                if state is not None:
                    found.append(state)
        self._marks = marks
        return found

    def _look(self, info: cas.VolumeInfo, *, with_device: bool = False) -> VolumeState | None:
        try:
            volume = self._repository.volume(info.name)
        except cas.NotFoundError:
            return None
        with volume.view() as view:
            sequence, root = view.sequence, view.root.content
        device = ""
        if with_device and sequence:
            newest = volume.changes(sequence - 1, sequence)
            device = next((change.device for change in newest), "")
        return VolumeState(info, sequence, root, device)
