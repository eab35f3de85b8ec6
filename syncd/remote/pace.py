"""How fast and how often: a bucket of bytes per second, and pauses that grow."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0
_BURST_SECONDS: Final = 0.25


class TokenBucket:
    """Lets bytes pass at a rate in bytes per second, None for no limit. Shared by threads.

    A quarter of a second's worth may pass at once. What is more than that is let pass whole and
    paid for afterwards, so that no piece is too large for a slow rate.
    """

    def __init__(
        self,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._patience = threading.Lock()
        self._free_at = 0.0

    @property
    def rate(self) -> float | None:
        """Bytes per second, None for no limit."""
        return self._rate

    def set_rate(self, rate: float | None) -> None:
        """Change the rate, from the next piece on."""
        with self._lock:
            self._rate = rate
            self._free_at = 0.0

    def take(self, size: int, sleep: Callable[[float], object] | None = None) -> None:
        """Wait until `size` bytes may pass, by `sleep`, which may end earlier than it is asked."""
        with self._lock:
            if self._rate is None:
                return
            now = self._clock()
            start = max(self._free_at, now - _BURST_SECONDS)
            self._free_at = start + size / self._rate
            wait = start - now
        if wait > 0:
            (sleep or self._sleep)(wait)

    def take_patiently(self, size: int, sleep: Callable[[float], object] | None = None) -> None:
        """Wait until `size` bytes may pass and all that passed before is paid for.

        So those who `take` never wait for more than one of those who are patient. Where `sleep`
        returns True the wait is over.
        """
        with self._patience:
            while (wait := self._debt_s()) > 0:
                if (sleep or self._sleep)(min(wait, _BURST_SECONDS)) is True:
                    return
            self.take(size, sleep)

    def _debt_s(self) -> float:
        with self._lock:
            return 0.0 if self._rate is None else self._free_at - self._clock()


class PatientBucket(TokenBucket):
    """The patient way into another bucket, whose rate it has."""

    def __init__(self, bucket: TokenBucket) -> None:
        super().__init__()
        self._bucket = bucket

    @property
    def rate(self) -> float | None:
        """Bytes per second, None for no limit."""
        return self._bucket.rate

    def take(self, size: int, sleep: Callable[[float], object] | None = None) -> None:
        """Wait until `size` bytes may pass and nobody else is in debt."""
        self._bucket.take_patiently(size, sleep)


class Backoff:
    """Pauses between attempts: doubled each time, between half and all of it by chance."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()
        self._next = FIRST_PAUSE_SECONDS

    def pause(self, at_least: float = 0.0) -> float:
        """Return how many seconds to wait, `at_least` what the server has asked for."""
        jitter = self._chance.uniform(0.5, 1.0)
        found = max(self._next * jitter, at_least + self._chance.uniform(0.0, 1.0) * bool(at_least))
        self._next = min(self._next * 2, LONGEST_PAUSE_SECONDS)
        return found

    def reset(self) -> None:
        """Begin anew: something went well."""
        self._next = FIRST_PAUSE_SECONDS
