"""Rows of the catalog that find changes: those go that lead to nothing any more."""

from __future__ import annotations

from typing import Final

from cas.catalog import Catalog

_ROWS_AT_ONCE: Final = 2048
_ROWS_READ: Final = 50_000


def forget_history(catalog: Catalog, volume_id: bytes) -> None:
    """Forget all rows of a volume's history, in short transactions."""
    while True:
        with catalog.read() as reading:
            if not reading.history().has_any(volume_id):
                return
        with catalog.write() as transaction:
            transaction.history().forget(volume_id, _ROWS_AT_ONCE)


def forget_before(catalog: Catalog, volume_id: bytes, first: int) -> None:
    """Forget the rows of changes before the first one that is kept, in short transactions.

    The rows of runs go last: as long as there is one, not all is done.
    """
    with catalog.read() as reading:
        oldest = reading.history().run(volume_id, 0)
    if oldest is None or oldest[0] >= first:
        return
    start = b""
    while True:
        with catalog.read() as reading:
            found, start = reading.history().paths_from(volume_id, start, _ROWS_READ)
        keys = [key for key, sequence in found if sequence < first]
        for index in range(0, len(keys), _ROWS_AT_ONCE):
            with catalog.write() as transaction:
                transaction.history().forget_paths(keys[index : index + _ROWS_AT_ONCE])
        if not start:
            break
    is_done = False
    while not is_done:
        with catalog.write() as transaction:
            is_done = transaction.history().forget_runs(volume_id, first, _ROWS_AT_ONCE)
