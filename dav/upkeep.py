"""What a serving process does beside requests: give up uploads that nobody finishes."""

from __future__ import annotations

import logging
import threading
from typing import Final

import cas
from dav import transfers

INTERVAL_SECONDS: Final = 600.0
_logger = logging.getLogger(__name__)


class Upkeep:
    """Removes expired transfers now and then, in a thread of its own, until closed.

    Args:
        repository: where the transfers are.
        transfer_seconds: life of a transfer since its last part.
        interval_seconds: time between two looks.
    """

    def __init__(
        self,
        repository: cas.Repository,
        transfer_seconds: int,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._repository = repository
        self._transfer_seconds = transfer_seconds
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drive-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, once a look under way is done."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                transfers.remove_expired(self._repository, self._transfer_seconds)
            except cas.CasError:
                _logger.exception("removing expired uploads failed; it is tried again")
