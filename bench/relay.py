"""A relay between a client and a server that counts the bytes that pass, and does not look."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.support.network import LOOPBACK

_STEP: Final = 1 << 20


class Relay:
    """Listens on a free port of the loopback address and passes everything on to another.

    Bytes go from socket to pipe to socket within the kernel: neither side waits for Python.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((LOOPBACK, 0))
        self._lock = threading.Lock()
        self._passed = 0
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    @property
    def passed(self) -> int:
        """The bytes that have passed so far, both directions together, without TCP's headers."""
        with self._lock:
            return self._passed

    def run(self) -> None:
        """Accept connections until `close`."""
        with suppress(OSError):  # The listener was closed.
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((LOOPBACK, self._target))
                except ConnectionRefusedError:
                    client.close()
                    continue
                for source, target in ((client, server), (server, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._sockets.add(source)
                    thread = threading.Thread(target=self._pass, args=(source, target))
                    self._threads.append(thread)
                    thread.start()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        with suppress(OSError):  # Wakes the thread that accepts.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in tuple(self._sockets):
            with suppress(OSError):  # Its other end has gone before.
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        reading, writing = os.pipe()
        try:
            with suppress(OSError):  # Either side has gone.
                while count := os.splice(source.fileno(), writing, _STEP):
                    with self._lock:
                        self._passed += count
                    while count:
                        count -= os.splice(reading, target.fileno(), count)
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)
        finally:
            os.close(reading)
            os.close(writing)


@contextmanager
def relaying(target: int) -> Iterator[Relay]:
    """Run a relay to a port of the loopback address."""
    relay = Relay(target)
    accepting = threading.Thread(target=relay.run, daemon=True)
    accepting.start()
    try:
        yield relay
    finally:
        relay.close()
        accepting.join()
