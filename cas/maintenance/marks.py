"""What is known of objects, kept by where they lie: a bit, or 64, for each record of a pack.

So a million files take a few hundred kilobytes, where a set of ids would take a hundred
megabytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from cas.catalog import Location
from cas.formats import PACK_RECORD_LIMIT

_BYTES: Final = PACK_RECORD_LIMIT // 8
_NONE: Final = bytearray(_BYTES)


class Marks:
    """A set of records, one bit each."""

    def __init__(self) -> None:
        self._packs: dict[int, bytearray] = {}

    def __len__(self) -> int:
        """Return in how many packs records are marked."""
        return len(self._packs)

    def count(self) -> int:
        """Return how many records are marked."""
        return sum(int.from_bytes(bits, "little").bit_count() for bits in self._packs.values())

    def bits(self, pack: int) -> bytearray:
        """Return the bits of a pack, in the order of its records, the lowest of a byte first."""
        return self._packs.get(pack, _NONE)

    def add(self, pack: int, number: int) -> bool:
        """Mark a record of the pack with this ordinal; return whether it was not marked."""
        bits = self._packs.get(pack)
        if bits is None:
            bits = self._packs[pack] = bytearray(_BYTES)
        bit = 1 << (number & 7)
        is_new = not bits[number >> 3] & bit
        bits[number >> 3] |= bit
        return is_new

    def add_all(self, pack: int, numbers: Iterable[int]) -> None:
        """Mark several records of a pack."""
        bits = self._packs.get(pack)
        if bits is None:
            bits = self._packs[pack] = bytearray(_BYTES)
        for number in numbers:
            bits[number >> 3] |= 1 << (number & 7)

    def drop(self, pack: int) -> None:
        """Mark none of a pack's records."""
        self._packs.pop(pack, None)

    def has(self, pack: int, number: int) -> bool:
        """Return whether the record is marked."""
        bits = self._packs.get(pack)
        return (
            bits is not None
            and number < PACK_RECORD_LIMIT
            and bool(bits[number >> 3] >> (number & 7) & 1)
        )


class Numbers:
    """A number of 64 bits for each record; 0 for those that were given none."""

    def __init__(self) -> None:
        self._packs: dict[int, array[int]] = {}

    def get(self, location: Location) -> int:
        """Return the record's number."""
        numbers = self._packs.get(location.pack)
        if numbers is None or location.number >= PACK_RECORD_LIMIT:
            return 0
        return numbers[location.number]

    def set(self, location: Location, number: int) -> None:
        """Give the record a number; a place that cannot be is let alone."""
        if location.number >= PACK_RECORD_LIMIT:
            return
        numbers = self._packs.get(location.pack)
        if numbers is None:
            numbers = self._packs[location.pack] = array("Q", bytes(8 * PACK_RECORD_LIMIT))
        numbers[location.number] = number
