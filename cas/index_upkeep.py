"""What a gateway does for its index beside its work: learn what it does not know, consolidate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cas.catalog import Catalog
from cas.consolidation import UNINDEXED_PACKS, consolidate
from cas.disk import file_lock
from cas.pack_index import PackIndex

_LOCK: Final = "index.lock"


class IndexUpkeep:
    """Steps for the upkeep of a process: each is short, and comes again."""

    def __init__(self, catalog: Catalog, index: PackIndex, local: Path) -> None:
        """`local` is the directory of this machine's part."""
        self._catalog = catalog
        self._index = index
        self._lock_path = local / _LOCK
        self._rest: Iterator[None] | None = None
        self._is_complete = False
        self._packs_seen = 0

    def learn_some(self) -> None:
        """Learn a part of what the catalog does not know of the packs that were there at start.

        Raises:
            StoreError: the blob store cannot be reached; the next call begins anew.
        """
        if self._is_complete:
            return
        rest, self._rest = self._rest or self._index.learn_all(), None
        for _ in rest:
            self._rest = rest
            return
        self._is_complete = True

    def consolidate(self) -> None:
        """Write an index object if many packs are known that none tells of.

        Raises:
            StoreError, StoreFullError: the blob store cannot be reached or is full.
        """
        if not self._is_complete:
            return
        with self._catalog.read() as transaction:
            packs = transaction.counts()["packs"]
        if self._packs_seen and packs < self._packs_seen + UNINDEXED_PACKS:
            return
        with file_lock(self._lock_path, wait=False) as is_mine:
            if is_mine:  # another process of this machine would write the same
                consolidate(self._index)
                self._packs_seen = packs
