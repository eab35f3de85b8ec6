"""Which packs a check reads: all, a random share, or the next ones for as long as there is time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from cas.catalog import PackRow
from cas.disk import StoreErrors
from cas.errors import InvalidError
from cas.repository import Repository

Packs = list[tuple[int, PackRow]]
"""Packs by their ordinals."""


class Reading(Protocol):
    """Chooses packs, and may end the reading early."""

    def choose(self, packs: Packs) -> Packs:
        """Return the packs to be read, in that order."""

    def is_over(self) -> bool:
        """Return whether no further pack shall be begun."""

    def note(self, row: PackRow) -> None:
        """Learn that a pack was read."""

    def end(self) -> None:
        """Learn that no further pack is read."""


class Share:
    """A random share of the packs, 1 for all; the same for the same seed and packs."""

    def __init__(self, share: float = 1, seed: int | None = None) -> None:
        if not 0 < share <= 1:
            message = f"a share of {share:.0%} of the packs cannot be read"
            raise InvalidError(message)
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - nobody has to be kept from guessing

    def choose(self, packs: Packs) -> Packs:
        """Return the packs to be read: one at least, if there is any."""
        if self._share == 1:
            return packs
        count = max(1, round(len(packs) * self._share))
        chosen = self._random.sample(packs, min(count, len(packs)))
        return sorted(chosen, key=lambda pack: pack[0])

    def is_over(self) -> bool:
        """Return False: all that was chosen is read."""
        return False

    def note(self, row: PackRow) -> None:
        """Do nothing."""
        del row

    def end(self) -> None:
        """Do nothing."""


class _Place(msgspec.Struct):
    """Where a scrub is: the last pack, in hex, and how many rounds are complete."""

    after: str = ""
    rounds: int = 0


_PLACE_FILE: Final = "scrub.json"


class Scrub:
    """The packs behind those that were read the last time, until the time is over.

    The place is remembered in a file beside the catalog. Packs are read in the order of their
    ids, which are random and for good: each comes once in a round, new ones too.
    """

    def __init__(
        self,
        repository: Repository,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = repository.engine.local / _PLACE_FILE
        self._clock = clock
        self._end = clock() + seconds
        self._place = self._load()
        self._last = ""

    @property
    def rounds(self) -> int:
        """How often all packs have been read since the first scrub."""
        return self._place.rounds

    def choose(self, packs: Packs) -> Packs:
        """Return all packs, those first that were not read in this round."""
        ordered = sorted(packs, key=lambda pack: pack[1].id)
        after = bytes.fromhex(self._place.after)
        turn = sum(row.id <= after for _, row in ordered)
        self._last = ordered[-1][1].id.hex() if ordered else ""
        return ordered[turn:] + ordered[:turn]

    def is_over(self) -> bool:
        """Return whether the time is over."""
        return self._clock() >= self._end

    def note(self, row: PackRow) -> None:
        """Go on behind this pack the next time."""
        self._place.after = row.id.hex()
        if self._place.after == self._last:
            self._place = _Place("", self._place.rounds + 1)

    def end(self) -> None:
        """Remember the place.

        Raises:
            StoreError: the disk failed or is full.
        """
        with StoreErrors():
            new = self._path.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(self._place))
            new.replace(self._path)

    def _load(self) -> _Place:
        try:
            place = msgspec.json.decode(self._path.read_bytes(), type=_Place)
            bytes.fromhex(place.after)
        except (FileNotFoundError, msgspec.DecodeError, ValueError):
            return _Place()
        return place
