"""What a gateway does for its index beside its work: learn what it does not know, consolidate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cas.catalog import Catalog, PackState, record_of_location
from cas.consolidation import UNINDEXED_PACKS, consolidate
from cas.disk import file_lock
from cas.pack_index import PackIndex

_LOCK: Final = "index.lock"
_SWEPT_AT_ONCE: Final = 20_000
"""Rows that are looked at together, in a short transaction."""


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

    def sweep(self) -> None:
        """Forget packs that are gone, once what they had and is still there is found elsewhere.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        with self._catalog.read() as transaction:
            condemned = transaction.condemned()
            rows = [transaction.pack(ordinal) for ordinal in condemned]
        if any(row is not None and row.state is PackState.REMOVED for row in rows):
            self._index.look_for_new()
            sweep(self._catalog)


def sweep(catalog: Catalog) -> None:
    """Forget packs that are gone, and all that leads there."""
    with catalog.read() as transaction:
        gone = {ordinal for ordinal, row in transaction.packs() if row.state is PackState.REMOVED}
    after = b"" if gone else None
    while after is not None:
        with catalog.read() as transaction:
            rows = transaction.location_rows(after, _SWEPT_AT_ONCE)
        after = rows[-1][0] if rows else None
        lost = [object_id for object_id, row in rows if record_of_location(row)[0] in gone]
        if lost:
            with catalog.write() as writing:
                for object_id in lost:
                    if writing.pack_of(object_id) in gone:
                        writing.delete_location(object_id)
    if gone:
        with catalog.write() as writing:
            writing.forget_swept(gone)
