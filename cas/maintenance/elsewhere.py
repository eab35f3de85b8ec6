"""What other gateways do to packs while this one looks at them."""

from __future__ import annotations

from collections.abc import Sequence

from cas.catalog import PackRow
from cas.engine import Engine


def was_deleted(engine: Engine, row: PackRow) -> bool:
    """Return whether another gateway has deleted a pack; what it had is looked for from then on.

    Raises:
        StoreError: the blob store cannot be reached.
    """
    gateway, index = engine.gateway, engine.chunks.index
    if gateway is None or index is None:
        return False
    gateway.learn_epoch()
    with engine.catalog.read() as transaction:
        ordinal = transaction.pack_ordinal(row.id)
        is_condemned = ordinal in transaction.condemned()
    if ordinal is not None and is_condemned:
        index.lose(ordinal)
    return is_condemned


def find_elsewhere(engine: Engine, ids: Sequence[bytes], rows: Sequence[bytes | None]) -> bool:
    """Look for what the catalog does not lead to; return whether any of it was found.

    Of what lies in several packs, the catalog has one place at a time.

    Raises:
        StoreError: the blob store cannot be reached.
    """
    index = engine.chunks.index
    missing = [key for key, row in zip(ids, rows, strict=True) if row is None]
    return index is not None and True in {index.find(key) for key in missing}
