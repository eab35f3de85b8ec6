"""Room at the end of LMDB's file, made ahead of what needs it.

LMDB makes its file longer commit by commit, and a sync has to bring the new length and the new
blocks to the disk as well: that takes twice the time of one that finds them there. LMDB goes by
the number of its last page and does not mind zeros behind it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cas.formats import KiB, MiB

_SMALLEST_STEP: Final = 64 * KiB
_LARGEST_STEP: Final = 1 * MiB
_SHARE: Final = 4
"""The room is at most this part of what is in use, so that small catalogs stay small."""


class Room:
    """Keeps zeros behind the pages in use of LMDB's file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._size = 0

    def make(self, used: int) -> None:
        """Make room behind the `used` bytes where little is left.

        Only inside a write transaction: nobody else may be writing to the end of the file.
        """
        if self._size - used >= _SMALLEST_STEP // 2:
            return
        step = min(max(used // _SHARE, _SMALLEST_STEP), _LARGEST_STEP)
        try:
            self._size = os.fstat(self._descriptor).st_size  # others make room too
            if self._size - used < _SMALLEST_STEP // 2:
                self._size += os.pwrite(self._descriptor, bytes(step), self._size)
        except OSError:
            return  # a full disk; whether LMDB needs the room it finds out itself

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
