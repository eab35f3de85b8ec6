"""New index objects: for packs that no index object tells of yet, and without packs that go.

Small objects are merged into the next, so that there are few of them whatever the number of
packs, and each row is written a few times at most. Whoever finds enough to do does it; two at
once write the same twice, a crash leaves one object too many: the next time makes that good.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from cas.index_format import PackTable
from cas.index_objects import IndexObject
from cas.pack_index import PackIndex

UNINDEXED_PACKS: Final = 256
"""Packs that no index object tells of, from which on a new one is written."""
_ROWS_LIMIT: Final = 1 << 18
"""Rows of an object (some 14 MB) from which on it is left as it is."""
_PACKS_LIMIT: Final = 1 << 14
_MERGED: Final = 2
"""An object is merged with what is new if it has no more than so many times as many packs."""
_logger = logging.getLogger(__name__)


def consolidate(index: PackIndex, enough: int = UNINDEXED_PACKS) -> int:
    """Let index objects tell of all packs, if at least `enough` are told of by none.

    Returns how many packs that were. What is about to be deleted is left out.

    Raises:
        StoreError, StoreFullError: the blob store cannot be reached or is full; what is written
            by then is of use.
    """
    condemned = index.condemned()
    there = {pack.id: pack for pack in index.listed() if pack.id not in condemned}
    known = list(index.objects.refresh())
    told = frozenset[bytes]().union(*(each.packs for each in known))
    new = [pack for pack_id, pack in there.items() if pack_id not in told]
    if len(new) < enough:
        return 0
    merged = _merged(known, len(new))
    damaged = set(index.objects.damaged)
    tables = [table for some in index.read_tables(new) for table in some]
    for each in merged:
        tables += index.objects.load(each, frozenset(each.packs & there.keys()))
    _write(index, tables)
    index.objects.remove({each.name for each in merged} | damaged)
    _logger.info("index objects tell of %d packs more", len(new))
    return len(new)


def publish_without(index: PackIndex, pack_ids: Collection[bytes]) -> None:
    """Let no index object tell of these packs any more; for whoever is about to delete them.

    Another gateway may bring one back that it was reading; whoever looks for an object is not
    misled by that, as it goes on to other packs where one is gone.

    Raises:
        StoreError, StoreFullError: the blob store cannot be reached or is full; nothing is lost.
    """
    gone = frozenset(pack_ids)
    for each in index.objects.refresh():
        if each.packs & gone:
            _write(index, index.objects.load(each, each.packs - gone))
            index.objects.remove([each.name])


def _merged(known: Iterable[IndexObject], count: int) -> list[IndexObject]:
    """Return the objects that become one with so many new packs, the smallest first."""
    merged: list[IndexObject] = []
    for each in sorted(known, key=lambda each: len(each.packs)):
        if len(each.packs) > _MERGED * count or each.rows > _ROWS_LIMIT // _MERGED:
            break
        merged.append(each)
        count += len(each.packs)
    return merged


def _write(index: PackIndex, tables: Iterable[PackTable]) -> None:
    for part in _parts(tables):
        index.objects.write(part)


def _parts(tables: Iterable[PackTable]) -> Iterator[list[PackTable]]:
    """Yield tables for one object each; a pack that two objects told of is there once."""
    part: dict[bytes, PackTable] = {}
    rows = 0
    for table in tables:
        if table.pack.id in part:
            continue
        part[table.pack.id] = table
        rows += len(table.places)
        if rows >= _ROWS_LIMIT or len(part) >= _PACKS_LIMIT:
            yield list(part.values())
            part, rows = {}, 0
    if part:
        yield list(part.values())
