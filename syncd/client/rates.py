"""How fast bytes go, over the last seconds, and how long the rest will take. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0
"""Over which time a rate is taken: less jumps, more is old news."""
_STEP_S: Final = 0.25


class Rate:
    """Counts one direction. One thread at a time; times are of a monotonic clock."""

    def __init__(self) -> None:
        self.total = 0
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, size: int, now_s: float) -> None:
        """So many bytes have gone by."""
        if not self._samples or now_s - self._samples[-1][0] >= _STEP_S:
            self._samples.append((now_s, self.total))
        while len(self._samples) > 1 and now_s - self._samples[1][0] > WINDOW_S:
            self._samples.popleft()
        self.total += size

    def per_second(self, now_s: float) -> float:
        """Return bytes per second, 0 where nothing has gone by for the whole window."""
        recent = [sample for sample in self._samples if now_s - sample[0] <= WINDOW_S]
        if not recent:
            return 0.0
        since_s, before = recent[0]
        return (self.total - before) / max(now_s - since_s, _STEP_S)


def seconds_for(left: int, per_second: float) -> float | None:
    """Return how long bytes take that are left, None where nobody can tell."""
    if not left:
        return 0.0
    return left / per_second if per_second else None
