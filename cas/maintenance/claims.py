"""Who collects garbage, checks or repairs where several gateways share a blob store: one at a time.

The object `epoch` names it. That is a courtesy, and may go by a clock: a collection is safe beside
another one, and both do the same work. A check beside one would see things that are just changing.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from msgspec.structs import replace

from cas.engine import Engine
from cas.epochs import EpochRecord, update_epoch
from cas.errors import CasError, LockedError
from cas.stores.ownership import gateway_id

BEAT_SECONDS: Final = 60.0
OVERTAKEN_SECONDS: Final = 600
"""After so long without a sign of life another gateway is taken to have died."""
_SECOND_NS: Final = 1_000_000_000
_logger = logging.getLogger(__name__)


class Claim:
    """Says in the blob store that this gateway is at work, as long as the block lasts.

    Nothing is said where the blob store is of one machine alone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.has_collected = False
        """To be set by a collection that came to its end."""

    def __enter__(self) -> Self:
        """Claim.

        Raises:
            LockedError: another gateway is at work.
        """
        if self._engine.gateway is not None:
            self._update(self._claimed)
            self._thread = threading.Thread(target=self._beat, name="casdav-claim", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say that it is over; whoever comes too soon after a failure of that waits a while."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            with suppress(CasError):
                self._update(self._released)

    @property
    def name(self) -> str:
        """Return this gateway's id."""
        return gateway_id(self._engine.local)

    def _claimed(self, record: EpochRecord) -> EpochRecord:
        now_ns = self._engine.clock.now_ns()
        is_fresh = abs(now_ns - record.beat_ns) < OVERTAKEN_SECONDS * _SECOND_NS
        if record.collector not in {"", self.name} and is_fresh:
            raise LockedError(
                f"gc, check or repair is at work on another gateway, {record.host!r}: wait for its "
                f"end; if that gateway has died, try again in {OVERTAKEN_SECONDS // 60} minutes"
            )
        return replace(record, collector=self.name, host=socket.gethostname(), beat_ns=now_ns)

    def _beaten(self, record: EpochRecord) -> EpochRecord:
        if record.collector != self.name:
            return record
        return replace(record, beat_ns=self._engine.clock.now_ns())

    def _released(self, record: EpochRecord) -> EpochRecord:
        if self.has_collected:
            record = replace(record, ended_ns=self._engine.clock.now_ns())
        return replace(record, collector="", host="") if record.collector == self.name else record

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            try:
                self._update(self._beaten)
            except CasError as error:
                _logger.warning("it cannot be said that this gateway is at work: %s", error)

    def _update(self, change: Callable[[EpochRecord], EpochRecord]) -> None:
        update_epoch(self._engine.store, self._engine.chunks.identifier, change)
