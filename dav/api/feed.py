"""The change feed: a WebSocket that tells devices which volumes have a newer state.

One thread runs an event loop with all connections; a second one looks for news while anybody
listens, as `dav.api.news` does. An idle connection costs a few kilobytes and a ping a minute. What
is sent is a hint: a client compares the number with its own and asks `sync/delta`.

A connection is opened with a bearer token, and is good for as long as what stands behind the token
is: a device until it is revoked, any other token until its time is over. Rights are asked anew for
each hint.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import cas
from cas import wire
from dav.access_tokens import LIFETIME_SECONDS
from dav.api.heads import Heads, VolumeState
from dav.auth import Authenticator
from dav.http.listener import FEED_SHARE, most_connections
from dav.identity import Principal, Right

PATH: Final = "/api/v1/ws/sync"
CONNECTIONS_PER_USER: Final = 200
HANDSHAKES: Final = 128
"""Connections that have not signed in yet; an open one ends after ten seconds."""

_INTERVAL_SECONDS: Final = 0.04
_CHECK_SECONDS: Final = 5.0
_PING_SECONDS: Final = 60.0
_MESSAGE_LIMIT: Final = 1024
_REVOKED: Final = 4401
"""Close code: sign in again. From 4000 on, codes are an application's own (RFC 6455, 7.4.2)."""

_logger = logging.getLogger(__name__)
_library_logger = logging.getLogger(f"{__name__}.connections")
_library_logger.setLevel(logging.ERROR)  # a client that goes away is no news


@dataclass(frozen=True)
class _Listener:
    """Who is behind a connection; `until` is when a token that is no device's ends."""

    principal: Principal
    until: float


class _Counted(ServerConnection):
    """A connection that is counted from its beginning on, and cut where there are too many."""

    def __init__(self, there: set[ServerConnection], most: int, *args: Any, **more: Any) -> None:  # noqa: ANN401 - the library's
        super().__init__(*args, **more)
        self._there = there
        self._most = most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once: nothing was said yet."""
        super().connection_made(transport)
        if len(self._there) < self._most:
            self._there.add(self)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._there.discard(self)
        super().connection_lost(exc)


class Feed:
    """The feed of one process, on sockets that listen already. `start` it, and `close` it."""

    def __init__(
        self,
        repository: cas.Repository,
        authenticator: Authenticator,
        listening: Sequence[socket.socket],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._heads = Heads(repository, authenticator.registry)
        self._listening = listening
        self._tls = tls
        self._admitted: WeakKeyDictionary[ServerConnection, _Listener] = WeakKeyDictionary()
        self._listeners: dict[ServerConnection, _Listener] = {}
        self._there: set[ServerConnection] = set()
        self._most = most_connections() // FEED_SHARE
        self._closing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._is_open = threading.Event()
        self._is_closed = threading.Event()
        self._is_wanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="feed", daemon=True),
            threading.Thread(target=self._watch, name="feed-watch", daemon=True),
        ]

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listening[0].getsockname()[1])

    @property
    def is_encrypted(self) -> bool:
        """Whether the connections use TLS by themselves."""
        return self._tls is not None

    def start(self) -> None:
        """Listen, and look for news."""
        for thread in self._threads:
            thread.start()
        self._is_open.wait()

    def close(self) -> None:
        """Close all connections, and end."""
        if not self._is_closed.is_set():
            self._is_closed.set()
            self._is_wanted.set()
            self._loop.call_soon_threadsafe(self._stopping.set)
            for thread in reversed(self._threads):
                thread.join()
            self._loop.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._is_open.set()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            for listening in self._listening:
                server = serve(
                    self._handle,
                    sock=listening,
                    ssl=self._tls,
                    process_request=self._admit,
                    create_connection=cast("type[ServerConnection]", self._connect),
                    compression=None,
                    max_size=_MESSAGE_LIMIT,
                    max_queue=1,
                    ping_interval=_PING_SECONDS,
                    ping_timeout=_PING_SECONDS,
                    server_header=None,
                    logger=_library_logger,
                )
                await stack.enter_async_context(server)
            self._is_open.set()
            await self._stopping.wait()

    def _connect(self, *args: Any, **more: Any) -> ServerConnection:  # noqa: ANN401 - the library's
        most = min(self._most, len(self._listeners) + HANDSHAKES)
        return _Counted(self._there, most, *args, **more)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is not let in; None for one that is."""
        if request.path.partition("?")[0] != PATH:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there is no such feed\n")
        headers = request.headers.get_all("Authorization")
        principal = self._authenticator.by_bearer(headers[0]) if len(headers) == 1 else None
        if principal is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "sign in with a token\n")
        mine = sum(each.principal.name == principal.name for each in self._listeners.values())
        if mine >= CONNECTIONS_PER_USER:
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "too many connections\n")
        self._admitted[connection] = _Listener(principal, time.monotonic() + LIFETIME_SECONDS)
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        """Tell of all volumes once, then of news until the client goes; what it says is unheard."""
        listener = self._listeners[connection] = self._admitted.pop(connection)
        self._is_wanted.set()
        try:
            for state in await asyncio.to_thread(self._heads.all):
                if self._may_hear(listener, state):
                    await connection.send(_text(state))
            async for _ in connection:
                pass
        except ConnectionClosed:
            return
        finally:
            self._listeners.pop(connection, None)
            if not self._listeners and not self._is_closed.is_set():
                self._is_wanted.clear()

    def _watch(self) -> None:
        """Look for news, while there is anybody to tell."""
        checked = time.monotonic()
        while self._is_wanted.wait() and not self._is_closed.is_set():
            try:
                news = self._heads.news()
            except cas.CasError:
                _logger.exception("the newest states cannot be read")
                news = []
            is_due = time.monotonic() - checked >= _CHECK_SECONDS
            if is_due:
                checked = time.monotonic()
            if news or is_due:
                self._loop.call_soon_threadsafe(self._tell, news, is_due)
            self._is_closed.wait(_INTERVAL_SECONDS)

    def _tell(self, news: Iterable[VolumeState], is_due: bool) -> None:  # noqa: FBT001 - of a callback
        """Send hints, and close what is not good any more; in the loop's thread."""
        if is_due:
            self._close_ended()
        for state in news:
            hearing = [
                connection
                for connection, listener in self._listeners.items()
                if self._may_hear(listener, state)
            ]
            broadcast(hearing, _text(state))

    def _close_ended(self) -> None:
        now = time.monotonic()
        for connection, listener in list(self._listeners.items()):
            is_timely = bool(listener.principal.device) or now < listener.until
            if not is_timely or not self._authenticator.stands(listener.principal):
                task = self._loop.create_task(connection.close(_REVOKED, "sign in again"))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _may_hear(self, listener: _Listener, state: VolumeState) -> bool:
        principal = listener.principal
        rights = self._authenticator.rights
        path = principal.scope.path
        return (
            self._authenticator.stands(principal)
            and rights.right(principal, state.volume, path) >= Right.READ
        )


def _text(state: VolumeState) -> str:
    hint = wire.Hint(state.volume.id.hex(), state.sequence, state.root.hex(), state.device)
    return wire.encode_hint(hint)
