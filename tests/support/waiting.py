"""Waiting for a condition instead of sleeping for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 0.1


def wait_until(
    condition: Callable[[], _Result | None], what: str, *, timeout_seconds: float = 30.0
) -> _Result:
    """Ask until the condition yields something true, and return that.

    Args:
        condition: called again and again, with pauses of 5 to 100 ms.
        what: the end of the sentence "timed out waiting for ...".
        timeout_seconds: when to give up.

    Raises:
        AssertionError: it stayed false until the time was over.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            message = f"timed out after {timeout_seconds:g} s waiting for {what}"
            raise AssertionError(message)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
