"""How many requests one user, and one address, may send: buckets of tokens in this process.

Guessing passwords is slowed by `dav.throttle` and shared by all processes. This is about load
alone: each process counts for itself, so that counting costs nothing but a dict look-up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

_KEYS_LIMIT: Final = 10_000


class Rates:
    """Buckets by key; each holds `per_minute` tokens and is filled at that pace. Thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, cost: float = 1.0) -> int:
        """Take tokens and return 0, or take none and return how many seconds to wait for them."""
        cost = min(cost, self._capacity)
        now = self._clock()
        with self._lock:
            held, since = self._buckets.pop(key, (self._capacity, now))
            held = min(self._capacity, held + (now - since) * self._capacity / 60)
            is_enough = held >= cost
            self._buckets[key] = (held - cost if is_enough else held, now)
            if len(self._buckets) > _KEYS_LIMIT:
                self._buckets.popitem(last=False)
        return 0 if is_enough else max(1, ceil((cost - held) * 60 / self._capacity))
