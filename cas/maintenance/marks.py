"""What is known of objects, kept by where they lie: a bit, or 64, for each record of a pack.

So a million files take a few hundred kilobytes, where a set of ids would take a hundred
megabytes.
"""

from __future__ import annotations

from array import array
from typing import Final

from cas.catalog import Location
from cas.formats import PACK_RECORD_LIMIT

_BYTES: Final = PACK_RECORD_LIMIT // 8


class Marks:
    """A set of records, one bit each."""

    def __init__(self) -> None:
        self._packs: dict[int, bytearray] = {}

    def add(self, pack: int, number: int) -> None:
        """Mark a record of the pack with this ordinal."""
        bits = self._packs.get(pack)
        if bits is None:
            bits = self._packs[pack] = bytearray(_BYTES)
        bits[number >> 3] |= 1 << (number & 7)

    def has(self, location: Location) -> bool:
        """Return whether the record there is marked."""
        bits = self._packs.get(location.pack)
        number = location.number
        return (
            bits is not None
            and number < PACK_RECORD_LIMIT
            and bool(bits[number >> 3] >> (number & 7) & 1)
        )

    def take(self, pack: int, number: int) -> bool:
        """Take a mark away; return whether it was there."""
        bits = self._packs.get(pack)
        if bits is None or number >= PACK_RECORD_LIMIT:
            return False
        bit = 1 << (number & 7)
        was_there = bits[number >> 3] & bit
        bits[number >> 3] ^= was_there
        return bool(was_there)

    def copy(self) -> Marks:
        """Return a set of its own with the same marks."""
        other = Marks()
        other._packs = {pack: bytearray(bits) for pack, bits in self._packs.items()}
        return other


class Numbers:
    """A number of 64 bits for each record; 0 for those that were given none."""

    def __init__(self) -> None:
        self._packs: dict[int, array[int]] = {}

    def get(self, location: Location) -> int:
        """Return the record's number."""
        numbers = self._packs.get(location.pack)
        return numbers[location.number] if numbers is not None else 0

    def set(self, location: Location, number: int) -> None:
        """Give the record a number."""
        numbers = self._packs.get(location.pack)
        if numbers is None:
            numbers = self._packs[location.pack] = array("Q", bytes(8 * PACK_RECORD_LIMIT))
        numbers[location.number] = number
