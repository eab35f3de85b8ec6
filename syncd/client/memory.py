"""Giving memory back: a daemon lives long, and its first sync needs much more than all after it."""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import cache
from typing import Protocol


class _Trim(Protocol):
    def __call__(self, kept: int, /) -> int:
        """Give free memory back to the system."""


def give_back() -> None:
    """Give what is not needed any more back to the system, where that can be said (glibc)."""
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> _Trim | None:
    if sys.platform != "linux":
        return None
    found: _Trim | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
