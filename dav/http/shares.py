"""How many threads each user's requests hold: never so many that others find none."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

_KEPT_SHARE: Final = 4
"""Of the threads, one in so many is kept for others."""


class Shares:
    """Counts the running requests of each user in one process. Thread-safe.

    A slow download holds a thread for as long as it takes, and a client can begin any number of
    them. So the requests of one user have three quarters of the threads at most.
    """

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads - max(1, threads // _KEPT_SHARE))
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, user: str) -> bool:
        """Count a request that begins; False, and not counted, where the user has too many."""
        with self._lock:
            if self._running[user] >= self._most:
                return False
            self._running[user] += 1
        return True

    def give_back(self, user: str) -> None:
        """Count a request as over that was taken."""
        with self._lock:
            self._running[user] -= 1
            if not self._running[user]:
                del self._running[user]
