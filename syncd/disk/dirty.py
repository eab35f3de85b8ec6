"""Which paths have to be looked at, and when: hints are collected until it is quiet for a moment.

Pure but for its lock: times are seconds of a monotonic clock that the caller reads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

QUIET_S: Final = 0.2
"""After the last hint; programs save a file in several steps."""
LONGEST_S: Final = 2.0
"""After the first hint, however many follow."""
FIRST_BACK_OFF_S: Final = 0.5
LAST_BACK_OFF_S: Final = 30.0
"""How long a file is left alone that was being written when it was read: doubled each time."""
_CALM_S: Final = 60.0
"""After that time the next back-off begins from the first again."""


@dataclass(slots=True)
class Looks:
    """What is to be looked at. `deep` are folders with all below; the empty path is everything."""

    paths: set[str] = field(default_factory=set)
    deep: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.paths or self.deep)


@dataclass(slots=True)
class _BackOff:
    until_s: float
    length_s: float
    is_over: bool = False
    """Whether the path was looked at since: it may be gone, and then nobody settles it."""


class Dirty:
    """Collects hints. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks = Looks()
        self._first_s = self._last_s = 0.0
        self._waiting: dict[str, _BackOff] = {}

    def add(self, paths: Iterable[str], now_s: float, *, deep: bool = False) -> None:
        """Take hints: something happened at these paths, or, `deep`, anywhere below them."""
        with self._lock:
            self._first_s = min(self._first_s, now_s) if self._looks else now_s
            (self._looks.deep if deep else self._looks.paths).update(paths)
            self._last_s = now_s

    def back_off(self, path: str, now_s: float) -> None:
        """Look at a path again later: it was being written."""
        with self._lock:
            before = self._waiting.get(path)
            length_s = FIRST_BACK_OFF_S
            if before is not None and now_s - before.until_s < _CALM_S:
                length_s = min(2 * before.length_s, LAST_BACK_OFF_S)
            self._waiting[path] = _BackOff(now_s + length_s, length_s)

    def settle(self, path: str) -> None:
        """A path was read: what is next to happen to it is news."""
        with self._lock:
            self._waiting.pop(path, None)

    def due_s(self) -> float | None:
        """Return when there will be something to look at, None where nothing is expected."""
        with self._lock:
            times = [one.until_s for one in self._waiting.values() if not one.is_over]
            if self._looks:
                times.append(self._due_s())
            return min(times, default=None)

    def _due_s(self) -> float:
        return min(self._last_s + QUIET_S, self._first_s + LONGEST_S)

    def take(self, now_s: float) -> Looks:
        """Return what is to be looked at now, and forget it.

        A path that was being written is left out until its time has come, hints or not.
        """
        with self._lock:
            taken = Looks()
            if self._looks and self._due_s() <= now_s:
                taken, self._looks = self._looks, Looks()
            for path, waiting in list(self._waiting.items()):
                if waiting.until_s > now_s:
                    taken.paths.discard(path)
                elif not waiting.is_over:
                    taken.paths.add(path)
                    waiting.is_over = True
                elif now_s - waiting.until_s >= _CALM_S:
                    del self._waiting[path]
            return taken
