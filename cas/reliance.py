"""What views and writes lean on: it is not dropped from under them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from cas.catalog import PackState, ReadTransaction
from cas.errors import ExpiredError, StoreError
from cas.packs import OpenPack


class Pin(NamedTuple):
    """When a view's state was pinned: the nursery's generation and the epoch of that moment."""

    generation: int
    epoch: int


class Lease:
    """Keeps collections from deleting what was found stored since `epoch`, while it is held.

    `number` is told when it is released.
    """

    __slots__ = ("_number", "_release", "epoch")

    def __init__(self, epoch: int, number: int, release: Callable[[int], None]) -> None:
        self.epoch = epoch
        self._number = number
        self._release = release

    def __del__(self) -> None:
        """Let go: a write ends when nobody holds what it leans on, however it ends."""
        self._release(self._number)


class Reliance:
    """What a write leans on: open packs that hold its content, and what it found stored.

    Found content is safe while the write holds a lease. What it takes over from a view, it did
    not look up itself: that holds as long as no collection has begun since the view was made.
    """

    __slots__ = ("_leases", "_seen_epoch", "found", "packs")

    def __init__(self, *leases: Lease) -> None:
        self.packs: set[OpenPack] = set()
        self.found: set[int] = set()
        """Ordinals of the packs that it was found in."""
        self._leases = set(leases)
        self._seen_epoch: int | None = None

    def include(self, other: Reliance) -> None:
        """Lean on all that another write leans on, too."""
        self.packs |= other.packs
        self.found |= other.found
        self._leases |= other._leases
        if other._seen_epoch is not None:
            self.take_over(other._seen_epoch)

    def take_over(self, epoch: int) -> None:
        """Lean on content that was seen by a view of this epoch."""
        self._seen_epoch = epoch if self._seen_epoch is None else min(self._seen_epoch, epoch)

    def let_go(self) -> None:
        """Lean on nothing that was found any more; others who include this still do."""
        self._leases.clear()

    def check(self, epoch: int) -> None:
        """Raise where what leans on this must not be committed in this epoch.

        Raises:
            StoreError: a pack has failed: send the data again; transient.
            ExpiredError: what was taken over may have been collected: look again.
        """
        if any(pack.failed for pack in self.packs):
            raise StoreError("writing to the disk failed: send the data again", transient=True)
        if self._seen_epoch not in {None, epoch}:
            raise ExpiredError("what is to be put may have been collected meanwhile: look again")

    def unfit(self, transaction: ReadTransaction) -> set[int]:
        """Return the ordinals of packs that a collection which waits for no lease has condemned."""
        stored = {pack.ordinal for pack in self.packs if pack.is_stored}
        rows = {ordinal: transaction.pack(ordinal) for ordinal in self.found | stored}
        gone = {PackState.CONDEMNED, PackState.REMOVED}
        return {ordinal for ordinal, row in rows.items() if row is None or row.state in gone}

    def leave(self, unfit: AbstractSet[int]) -> None:
        """Lean on these packs no more: what was in them was found elsewhere, or copied."""
        self.found -= unfit
        self.packs = {pack for pack in self.packs if pack.ordinal not in unfit}


class Relying(Protocol):
    """Content that was stored for an edit, and what it leans on until that is committed."""

    @property
    def relies(self) -> Reliance:
        """What the content leans on."""
