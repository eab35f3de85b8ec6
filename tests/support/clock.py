"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
import time
from typing import Final

SECOND_NS: Final = 1_000_000_000


class FakeClock:
    """Tells nanoseconds since the epoch, beginning at the real time. Thread-safe."""

    def __init__(self) -> None:
        self._now = time.time_ns()
        self._lock = threading.Lock()

    def __call__(self) -> int:
        return self.now_ns()

    def now_ns(self) -> int:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += int(seconds * SECOND_NS)
