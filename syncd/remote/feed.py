"""Hears of news: by the change feed where it can be had, by requests that wait where not.

    listener = Listener(remote, places, on_news)
    listener.start()

`on_news` is called with a place and a state's number, from the listener's thread. It is a hint:
it may come twice, and what it says may be known already. After each break there is one for every
place, since news may have been missed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

import cas
from cas import wire
from syncd.remote.client import Remote
from syncd.remote.errors import RemoteError, SignedOutError
from syncd.remote.pace import Backoff

_WAIT_SECONDS: Final = 50
_PING_SECONDS: Final = 60.0
_OPEN_SECONDS: Final = 10.0
_MESSAGE_LIMIT: Final = 4096
_FEED_RETRY_SECONDS: Final = 300.0
"""How long requests wait in place of the feed before the feed is tried again."""
_LEAST_WAIT_SECONDS: Final = 1.0
"""Between two requests that ask the server to wait for news."""
_SEVERAL_PAUSE_SECONDS: Final = 5.0
"""Between two looks where requests would have to wait for several places."""

OnNews = Callable[[wire.Place, int], None]
_logger = logging.getLogger(__name__)


class About(msgspec.Struct):
    """What the server says of itself; `feed` is empty where it has none."""

    protocol: int
    feed: str = ""


class Listener:
    """Listens for one account. `close` ends it; the thread is a daemon's.

    `on_error` is told of what keeps it from listening, with None when it listens (again).
    """

    def __init__(
        self,
        remote: Remote,
        places: Iterable[wire.Place],
        on_news: OnNews,
        on_error: Callable[[RemoteError | None], None] = lambda _: None,
    ) -> None:
        self._remote = remote
        self._places = list(places)
        self._on_news = on_news
        self._on_error = on_error
        self._closed = threading.Event()
        self._connection: ClientConnection | None = None
        self._known: dict[wire.Place, int] = {}
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self.is_on_feed = threading.Event()
        """Set while the feed is heard."""

    def start(self) -> None:
        """Listen, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """End listening."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            with suppress(OSError, WebSocketException):
                connection.close()
        self._thread.join(timeout=_OPEN_SECONDS)

    def _run(self) -> None:
        backoff = Backoff()
        while not self._closed.is_set():
            try:
                address = self._address()
                if not (address and self._hear(address, backoff)):
                    self._poll(_FEED_RETRY_SECONDS if address else float("inf"), backoff)
            except RemoteError as error:
                if not self._closed.is_set():
                    self._on_error(error)
                    long = isinstance(error, SignedOutError)
                    self._closed.wait(backoff.pause(_WAIT_SECONDS if long else 0.0))

    def _address(self) -> str:
        """Return where the feed is, empty where there is none that a token may be sent to."""
        address = self._remote.connection.get_json("", About).feed
        is_encrypted = self._remote.connection.url.startswith("https:")
        if is_encrypted and address and not address.startswith("wss:"):
            _logger.info("the change feed is not used: it is not encrypted, as the server is")
            return ""
        return address

    def _hear(self, address: str, backoff: Backoff) -> bool:
        """Listen to the feed until it breaks off; False if it cannot be had."""
        token = self._remote.connection.token()
        try:
            connection = connect(
                address,
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                open_timeout=_OPEN_SECONDS,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PING_SECONDS,
                max_size=_MESSAGE_LIMIT,
                user_agent_header=None,
            )
        except (OSError, WebSocketException, ValueError, TimeoutError) as error:
            _logger.info("the change feed cannot be had: %s", error)
            return False
        with connection:
            self._connection = connection
            self.is_on_feed.set()
            backoff.reset()
            self._on_error(None)
            try:
                for text in connection:
                    self._take(text)
            except (OSError, WebSocketException) as error:
                _logger.info("the change feed broke off: %s", error)
            finally:
                self.is_on_feed.clear()
                self._connection = None
        if not self._closed.is_set():
            self._closed.wait(backoff.pause())
        return True

    def _take(self, text: str | bytes) -> None:
        try:
            hint = wire.decode_hint(text)
            volume = bytes.fromhex(hint.volume)
        except (cas.InvalidError, ValueError) as error:
            _logger.warning("the change feed sent what is no hint: %s", error)
            return
        for place in self._places:
            if place.volume == volume:
                self._known[place] = hint.sequence
                self._on_news(place, hint.sequence)

    def _poll(self, seconds: float, backoff: Backoff) -> None:
        """Ask for news by requests, about as long as said."""
        while seconds > 0 and not self._closed.is_set():
            wait = _WAIT_SECONDS if len(self._places) == 1 else 0
            began = time.monotonic()
            has_news = False
            for place in self._places:
                since = self._known.get(place)
                if since is None:
                    sequence = self._remote.head(place).sequence
                else:
                    delta = self._remote.delta(place, since, limit=1, wait_seconds=wait)
                    sequence = delta.head
                self._on_error(None)
                backoff.reset()
                if sequence != since:
                    has_news = True
                    self._known[place] = sequence
                    self._on_news(place, sequence)
            least = _SEVERAL_PAUSE_SECONDS
            if wait:
                # A server that answers at once without news is not to be asked all the time.
                least = 0.0 if has_news else _LEAST_WAIT_SECONDS
            self._closed.wait(max(0.0, began + least - time.monotonic()))
            seconds -= time.monotonic() - began
