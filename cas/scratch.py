"""Small values that need not survive the loss of the catalog: throttles, last-used times, sessions.

They are shared by all processes of a machine. A value may have an expiry, after which it is gone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from cas.catalog import Catalog, ReadTransaction
from cas.clock import Clock

_EXPIRY: Final = struct.Struct(">Q")
_NEVER: Final = 2**64 - 1


class Scratch:
    """A map from bytes to bytes. Shared by threads and processes. Keys: 511 bytes at most."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None where there is none or it has expired."""
        with self._catalog.read() as transaction:
            return self._get(transaction, key)

    def put(self, key: bytes, value: bytes, expires_ns: int | None = None) -> None:
        """Keep a value, until `expires_ns` (nanoseconds since the epoch) if given."""
        with self._catalog.write() as transaction:
            transaction.put_scratch(key, stamped(value, expires_ns))

    def delete(self, key: bytes) -> None:
        """Forget a value; nothing happens where there is none."""
        with self._catalog.write() as transaction:
            transaction.delete_scratch(key)

    def update(
        self,
        key: bytes,
        function: Callable[[bytes | None], bytes | None],
        expires_ns: int | None = None,
    ) -> bytes | None:
        """Replace a value by what the function makes of it (None: forget it), in one step.

        No other process sees or changes the value in between. Returns the new value.
        """
        with self._catalog.write() as transaction:
            value = function(self._get(transaction, key))
            if value is None:
                transaction.delete_scratch(key)
            else:
                transaction.put_scratch(key, stamped(value, expires_ns))
        return value

    def remove_expired(self) -> int:
        """Forget the values that have expired; return how many."""
        now_ns = self._clock.now_ns()
        with self._catalog.read() as reading:
            expired = [
                (key, row)
                for key, row in reading.scratch_rows()
                if _EXPIRY.unpack_from(row)[0] <= now_ns
            ]
        if expired:
            with self._catalog.write() as transaction:
                for key, row in expired:
                    transaction.delete_scratch_row(key, row)
        return len(expired)

    def _get(self, transaction: ReadTransaction, key: bytes) -> bytes | None:
        return fresh(transaction.scratch(key), self._clock.now_ns())


def fresh(row: bytes | None, now_ns: int) -> bytes | None:
    """Return the value that a row holds, None where there is no row or its time is over."""
    if row is None or _EXPIRY.unpack_from(row)[0] <= now_ns:
        return None
    return row[_EXPIRY.size :]


def stamped(value: bytes, expires_ns: int | None) -> bytes:
    """Return the row that holds a value until its time."""
    return _EXPIRY.pack(_NEVER if expires_ns is None else expires_ns) + value
