"""Hears of what other gateways commit, while anybody here waits for news.

Where gateways share a Redis they tell each other. A hint may be lost and there may be no Redis:
so the refs are listed every two seconds as well, and those are asked for that were written since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cas.errors import CasError, StoreError
from cas.formats import REGISTRY_ID
from cas.gateway import Gateway
from cas.ids import Identifier
from cas.refs import ref_name
from cas.stores.base import BlobStore

if TYPE_CHECKING:
    from cas.exchange import Exchange  # its library is loaded only where there is one

POLL_SECONDS: Final = 2.0
_WANTED_SECONDS: Final = 5.0
"""How long one request for news counts."""
_TURN_SECONDS: Final = 0.5
"""How soon a thread that listens sees that it is to end."""
_logger = logging.getLogger(__name__)


class Follower:
    """Keeps the catalog near what others commit, in a thread of its own. Shared by threads."""

    def __init__(
        self,
        gateway: Gateway,
        store: BlobStore,
        identifier: Identifier,
        volume_ids: Callable[[], Iterable[bytes]],
        exchange: Exchange | None,
    ) -> None:
        """`volume_ids` returns those of the volumes that there are."""
        if exchange is not None:
            gateway.tell = exchange.tell
        self._gateway = gateway
        self._store = store
        self._identifier = identifier
        self._volume_ids = volume_ids
        self._exchange = exchange
        self._wanted_until = 0.0
        self._is_wanted = threading.Event()
        self._is_closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._written: dict[str, float] = {}
        self._changed: set[str] = set()
        self._volumes: dict[str, bytes] = {}
        self._has_failed = False

    def want(self) -> None:
        """Let news come for some seconds from now; whoever waits says so again and again."""
        self._wanted_until = time.monotonic() + _WANTED_SECONDS
        if self._is_wanted.is_set() or self._is_closed.is_set():
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="following", daemon=True)
                self._thread.start()
        self._is_wanted.set()

    def close(self) -> None:
        """End, and let go of the exchange."""
        with self._lock:
            self._is_closed.set()
            self._is_wanted.set()
        if self._thread is not None:
            self._thread.join()
        if self._exchange is not None:
            self._exchange.close()

    def _run(self) -> None:
        while self._is_wanted.wait() and not self._is_closed.is_set():
            try:
                self._follow()
                self._has_failed = False
            except CasError as error:
                if not self._has_failed:
                    _logger.warning("news of other gateways are late: %s", error)
                self._has_failed = True
                self._is_closed.wait(_TURN_SECONDS)

    def _follow(self) -> None:
        """Hear, and look, as long as it is wanted."""
        polled = -POLL_SECONDS
        for volume_id in self._hear():
            now = time.monotonic()
            if self._is_closed.is_set():
                return
            if now >= self._wanted_until:
                self._is_wanted.clear()
                return
            if volume_id is not None:
                self._gateway.freshen(volume_id)
            if now - polled >= POLL_SECONDS:
                polled = now
                self._look()

    def _hear(self) -> Iterator[bytes | None]:
        """Yield what is told, and None from time to time."""
        if self._exchange is not None:
            with suppress(StoreError):  # which is in the log; the list of refs is there meanwhile
                yield from self._exchange.hear(_TURN_SECONDS)
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until or self._exchange is None:
            yield None
            self._is_closed.wait(_TURN_SECONDS)

    def _look(self) -> None:
        """Ask for the refs that were written since the last look.

        Times are whole seconds: a ref that was new at the last look may have moved again within
        the same second, so it is asked for once more.
        """
        written = {name: when for name, _, when in self._store.list_dated("refs")}
        before, self._written = self._written, written
        changed = {name for name, when in written.items() if not when or before.get(name) != when}
        if not changed.issubset(self._volumes):
            self._gateway.freshen(REGISTRY_ID)
            self._volumes = {
                ref_name(self._identifier, volume_id): volume_id
                for volume_id in (REGISTRY_ID, *self._volume_ids())
            }
        again, self._changed = self._changed, changed
        for name in sorted((changed | again) & self._volumes.keys()):
            self._gateway.freshen(self._volumes[name])
