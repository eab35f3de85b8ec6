"""The selector: accepts connections, and keeps those that wait for their client."""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dav.http.connection import Connection
from dav.http.errors import ClientGoneError
from dav.http.response import render_error

if TYPE_CHECKING:
    from dav.http.listener import StrictServer

_ACCEPT_BURST: Final = 64
_CHECK_SECONDS: Final = 0.25
_LAST_LINGER_SECONDS: Final = 2.0
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Reception:
    """Where connections wait without a thread. It takes the place of cheroot's ConnectionManager.

    `run` is one thread's; `put` and `stop` may be called from any.
    """

    def __init__(self, server: StrictServer, listeners: list[socket.socket]) -> None:
        self._server = server
        self._listeners = listeners
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._stopping = False
        self._accept_again = 0.0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)
        for listener in listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether an answer may leave its connection open."""
        return not self._stopping

    def put(self, connection: Connection) -> None:
        """Keep a connection until something comes for it. Any thread."""
        if self._stopping and connection.idle:
            connection.close()
            return
        with self._lock:
            self._selector.register(connection.fileno(), selectors.EVENT_READ, connection)

    def stop(self) -> None:
        """Let `run` come back soon, with the listeners closed. Any thread or signal handler."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Let `run` look around now. Any thread or signal handler."""
        with suppress(OSError):  # full of wake-ups, or closed already
            self._wake_sender.send(b"\0")

    def run(self) -> None:
        """Accept and dispatch until `stop`."""
        while not self._stopping:
            self._turn(_CHECK_SECONDS)
        for listener in self._listeners:
            # What the kernel has accepted for us is answered too.
            self._accept(listener)
            with suppress(KeyError):  # accepting was paused
                self._selector.unregister(listener)
            listener.close()

    def drain(self, deadline: float) -> bool:
        """Serve what has begun, until nothing is left or `deadline` (time.monotonic) is over."""
        while self._server.connections:
            self._close_idle()
            if time.monotonic() >= deadline or self._server.is_impatient:
                return False
            self._turn(0.05)
        return True

    def close(self) -> None:
        """Close all that still waits, and the selector."""
        for connection in self._parked():
            self._release(connection)
            connection.close()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _turn(self, seconds: float) -> None:
        listeners: list[socket.socket] = []
        for key, _ in self._selector.select(seconds):
            target = key.data
            if target is None:
                with suppress(BlockingIOError):
                    self._wake_receiver.recv(4096)
            elif isinstance(target, Connection):
                self._release(target)
                self._server.process_conn(target)
            else:
                listeners.append(target)
        # Last: a new connection may close one that waits, which must not be met again above.
        for listener in listeners:
            self._accept(listener)
        self._check()

    def _check(self) -> None:
        """Close what has waited for too long; accept again after a pause."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        for connection in self._parked():
            if connection.deadline <= now:
                self._release(connection)
                if connection.is_half_here:
                    self._server.process_conn(connection)
                else:
                    connection.close()
        if self._accept_again and self._accept_again <= now and not self._stopping:
            self._accept_again = 0.0
            for listener in self._listeners:
                self._selector.register(listener, selectors.EVENT_READ, listener)

    _next_check = 0.0

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_BURST):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._pause_accepting()
                    return
                continue  # that client has gone again
            self._admit(sock, address)

    def _admit(self, sock: socket.socket, address: tuple[str, int]) -> None:
        server = self._server
        try:
            connection = server.ConnectionClass(server, sock, address)
        except OSError:
            sock.close()  # the client has gone again
            return
        if len(server.connections) >= server.connection_limit and not self._evict():
            with suppress(ClientGoneError):
                answer = render_error("503 Service Unavailable", "There are too many connections.")
                connection.stream.write([answer])
            connection.transport.finish_sending()
            connection.close()
            return
        server.connections.add(connection)
        if self._stopping:
            server.process_conn(connection)  # its request may have come already
        else:
            self.put(connection)

    def _evict(self) -> bool:
        """Close one that waits: of the address with the most, the one that waits for longest.

        So a flood from one address closes its own connections, and a new one is not closed before
        its request can come.
        """
        parked = self._parked()
        if not parked:
            return False
        counts = Counter(connection.remote_addr for connection in parked)
        loser = min(parked, key=lambda each: (-counts[each.remote_addr], each.since))
        self._release(loser)
        loser.close()
        return True

    def _pause_accepting(self) -> None:
        """Out of descriptors: make room, and look away for a moment instead of spinning."""
        self._server.error_log("There are no free file descriptors for new connections.")
        self._evict()
        if not self._accept_again:
            for listener in self._listeners:
                self._selector.unregister(listener)
        self._accept_again = time.monotonic() + 2 * _CHECK_SECONDS

    def _close_idle(self) -> None:
        for connection in self._parked():
            if connection.idle or connection.has_lingered(_LAST_LINGER_SECONDS):
                self._release(connection)
                connection.close()

    def _parked(self) -> list[Connection]:
        with self._lock:
            keys = list(self._selector.get_map().values())
        return [key.data for key in keys if isinstance(key.data, Connection)]

    def _release(self, connection: Connection) -> None:
        with self._lock:
            self._selector.unregister(connection.fileno())
