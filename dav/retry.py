"""Changes that rest on what was read: done again when the state has moved on in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import cas

ATTEMPTS: Final = 50
"""How often a change is tried; each failure means that another change of the entry succeeded."""

_Result = TypeVar("_Result")


def until_unchanged(attempt: Callable[[], _Result]) -> _Result:
    """Return what `attempt` does; it reads, then commits under the condition of what it read.

    Raises:
        PreconditionError: others were faster each time.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except cas.PreconditionError:
            continue
    return attempt()
