"""Says that a server keeps somebody waiting, before the time of what waits is over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

TOLD_SECONDS: Final = 3.0
"""How long one waits without a word."""
_QUIET_SECONDS: Final = 60.0
"""How long nothing is said again: a server would tell of each request."""
_logger = logging.getLogger(__name__)


class SlowAnswers:
    """Watches calls of any thread: where one takes longer, that is logged, once a minute at most.

    A thread of its own looks, from the first call on; it ends with `close`.
    """

    def __init__(
        self,
        place: str,
        patience_seconds: float,
        told_seconds: float = TOLD_SECONDS,
        tell: Callable[[str], None] = _logger.warning,
    ) -> None:
        """`place` is what is waited for, `patience_seconds` how long."""
        self._message = (
            f"waiting for {place}, which has not answered for {told_seconds:g} s: is it there? It "
            f"is tried for {patience_seconds:g} s (timeout= in the location)"
        )
        self._told_seconds = told_seconds
        self._tell = tell
        self._changed = threading.Condition()
        self._due: dict[object, float] = {}
        self._quiet_until = 0.0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, allowed_seconds: float = 0.0) -> Iterator[None]:
        """Watch what is done in the block, which may take so long beside the answer."""
        call = object()
        due = time.monotonic() + self._told_seconds + allowed_seconds
        with self._changed:
            self._due[call] = due
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="slow-answers", daemon=True)
                self._thread.start()
            elif due == min(self._due.values()):
                self._changed.notify()  # it waits until a later time, or for good
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(call, None)

    def close(self) -> None:
        """End the thread that looks."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                left = min(self._due.values(), default=None)
                if left is None:
                    self._changed.wait()
                elif left > (now := time.monotonic()):
                    self._changed.wait(left - now)
                else:
                    self._due = {call: due for call, due in self._due.items() if due > now}
                    if now >= self._quiet_until:
                        self._quiet_until = now + _QUIET_SECONDS
                        self._tell(self._message)
