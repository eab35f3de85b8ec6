"""How many threads each user's requests hold: never so many that others find none."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Final, Generic, TypeVar

_KEPT_SHARE: Final = 4
"""Of the threads, one in so many is kept for others."""

Waiting = TypeVar("Waiting")


class Shares(Generic[Waiting]):
    """Counts the running requests of each user in one process. Thread-safe.

    A slow download holds a thread for as long as it takes, and a client can begin any number of
    them. So the requests of one user have three quarters of the threads at most; what is more
    waits here, without a thread, until one of them is over.
    """

    def __init__(self, threads: int) -> None:
        self._most = max(1, threads - max(1, threads // _KEPT_SHARE))
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[Waiting]] = {}
        self._lock = threading.Lock()

    def take(self, user: str) -> bool:
        """Count a request that begins; False, and not counted, where the user has too many."""
        with self._lock:
            if self._running[user] >= self._most:
                return False
            self._running[user] += 1
        return True

    def wait(self, user: str, waiting: Waiting) -> bool:
        """Keep what begins later, when one of the user's requests is over.

        Returns:
            False where it may begin now.
        """
        with self._lock:
            if self._running[user] < self._most:
                return False
            self._waiting.setdefault(user, deque()).append(waiting)
        return True

    def give_back(self, user: str) -> Waiting | None:
        """Count a request as over that was taken; return what may begin in its place."""
        with self._lock:
            self._running[user] -= 1
            if not self._running[user]:
                del self._running[user]
            waiting = self._waiting.get(user)
            if waiting is None:
                return None
            first = waiting.popleft()
            if not waiting:
                del self._waiting[user]
            return first

    def give_up(self) -> list[Waiting]:
        """Return all that waits; it does not begin any more."""
        with self._lock:
            left = [each for waiting in self._waiting.values() for each in waiting]
            self._waiting.clear()
        return left
