"""Which records of packs are live: a bit for each, and how much of its pack they take."""

from __future__ import annotations

from cas.catalog import Location
from cas.maintenance.marks import Marks
from cas.packfile import RECORD_OVERHEAD, ROW_SIZE


class Liveness:
    """The live records of all packs."""

    def __init__(self) -> None:
        self._marks = Marks()
        self._sizes: dict[int, int] = {}

    def add(self, location: Location) -> bool:
        """Say that the record there is live; return whether that was not known."""
        if self._marks.has(location.pack, location.number):
            return False
        self._marks.add(location.pack, location.number)
        size = self._sizes.get(location.pack, 0)
        self._sizes[location.pack] = size + location.stored_size + RECORD_OVERHEAD + ROW_SIZE
        return True

    def has(self, location: Location) -> bool:
        """Return whether the record there is live."""
        return self._marks.has(location.pack, location.number)

    def size(self, pack: int) -> int:
        """Return the bytes of the pack that live records take, with their rows in its footer."""
        return self._sizes.get(pack, 0)
