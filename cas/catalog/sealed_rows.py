"""Rows that are sealed in an encrypted repository, each for its table and key."""

from __future__ import annotations

from typing import Final

from cas.errors import REBUILD_HINT, IntegrityError
from cas.sealing import Sealing

NURSERY: Final = b"nursery "
"""What the rows of a table are sealed for, together with their keys."""
HEADS: Final = b"heads "
JOURNAL: Final = b"journal "
LOCKS: Final = b"locks "
SCRATCH: Final = b"scratch "
STAMP_SIZE: Final = 8
"""Bytes at the start of a scratch value that stay readable."""


class SealedRows:
    """Seals rows where there are keys, and leaves them as they are where there are none."""

    __slots__ = ("_sealing",)

    def __init__(self, sealing: Sealing | None) -> None:
        self._sealing = sealing

    def seal(self, purpose: bytes, row: bytes) -> bytes:
        """Return the bytes to keep."""
        return row if self._sealing is None else self._sealing.seal(purpose, row)

    def open(self, purpose: bytes, row: bytes) -> bytes:
        """Return the bytes as they were before they were sealed.

        Raises:
            IntegrityError: they were changed, or sealed for another row.
        """
        if self._sealing is None:
            return row
        try:
            return self._sealing.open(purpose, row)
        except IntegrityError as error:
            message = f"the catalog is damaged ({error}): {REBUILD_HINT}"
            raise IntegrityError(message) from error

    def scratch_key(self, key: bytes) -> bytes:
        """Return the key of a scratch value as it is kept."""
        return key if self._sealing is None else self._sealing.name("scratch", key)

    def seal_scratch(self, key: bytes, row: bytes) -> bytes:
        """Return a scratch value as it is kept: what it begins with says when it expires."""
        if self._sealing is None:
            return row
        return row[:STAMP_SIZE] + self._sealing.seal(SCRATCH + key, row)

    def open_scratch(self, key: bytes, row: bytes | None) -> bytes | None:
        """Return a scratch value as it was put.

        Raises:
            IntegrityError: it was changed, or is another key's.
        """
        if row is None or self._sealing is None:
            return row
        return self.open(SCRATCH + key, row[STAMP_SIZE:])

    def token_key(self, token: bytes) -> bytes:
        """Return the key of a lock's token, which is as good as the lock to who knows it."""
        return token if self._sealing is None else self._sealing.name("lock token", token)
