"""One connected socket, plain or TLS, as the few calls that the HTTP layer needs.

Plain sockets stand in blocking mode with kernel timeouts (SO_RCVTIMEO, SO_SNDTIMEO) instead
of Python's: a block of any size then moves with one system call and no copy, and no `poll`
goes before each. A call that waits gives up after `SLICE_SECONDS`, so that its caller can look
at the clock.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

SLICE_SECONDS: Final = 1
_JOIN_LIMIT: Final = 64 * 1024


class Transport(Protocol):
    """What both kinds of sockets offer. Sizes are bytes."""

    def receive_now(self, size: int) -> bytes | None:
        """Up to `size` bytes that have come, b"" at the end, None if nothing has come."""

    def receive(self, size: int) -> bytes | None:
        """Wait for `size` bytes: fewer after a time slice or at the end, None if none came."""

    def receive_into(self, view: memoryview) -> int | None:
        """As `receive`, into `view`; the number of bytes."""

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Send what goes within a time slice; the number of bytes, 0 if none went."""

    def wait_readable(self, seconds: float) -> bool:
        """Whether something comes within `seconds`."""

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""

    def finish_sending(self) -> None:
        """Tell the client that nothing more comes; what it still sends can be read."""

    def drop(self, size: int) -> int | None:
        """After `finish_sending`: drop what comes; as `receive_now`, but the number of bytes."""

    def abort(self) -> None:
        """Break both directions, from any thread; a call that waits returns."""

    def reset(self) -> None:
        """Make `close` a reset: the client sees that the answer was cut."""

    def close(self) -> None:
        """Let go of the socket."""


class PlainTransport:
    """A TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.settimeout(None)
        # struct timeval, as on every 64-bit Unix.
        timeval = struct.pack("@ll", SLICE_SECONDS, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    @property
    def socket(self) -> socket.socket:
        """The socket itself, to be wrapped in TLS."""
        return self._socket

    def receive_now(self, size: int) -> bytes | None:
        """Up to `size` bytes that have come, b"" at the end, None if nothing has come."""
        try:
            return self._socket.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def peek(self) -> bytes | None:
        """The first byte that has come, left where it is; as `receive_now`."""
        try:
            return self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return None

    def receive(self, size: int) -> bytes | None:
        """Wait for `size` bytes: fewer after a time slice or at the end, None if none came."""
        try:
            return self._socket.recv(size, socket.MSG_WAITALL)
        except BlockingIOError:
            return None

    def receive_into(self, view: memoryview) -> int | None:
        """As `receive`, into `view`; the number of bytes."""
        try:
            return self._socket.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            return None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Send what goes within a time slice; the number of bytes, 0 if none went."""
        try:
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0

    def wait_readable(self, seconds: float) -> bool:
        """Whether something comes within `seconds`."""
        return _wait_readable(self._socket.fileno(), seconds)

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._socket.fileno()

    def finish_sending(self) -> None:
        """Tell the client that nothing more comes; what it still sends can be read."""
        with suppress(OSError):  # the client is gone already
            self._socket.shutdown(socket.SHUT_WR)

    def drop(self, size: int) -> int | None:
        """After `finish_sending`: drop what comes; as `receive_now`, but the number of bytes."""
        received = self.receive_now(size)
        return None if received is None else len(received)

    def abort(self) -> None:
        """Break both directions, from any thread; a call that waits returns."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Make `close` a reset: the client sees that the answer was cut."""
        _reset_on_close(self._socket)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


class TlsTransport:
    """A TLS connection over a TCP socket that has not shaken hands yet."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.settimeout(0)
        self._socket = context.wrap_socket(
            sock,
            server_side=True,
            do_handshake_on_connect=False,
        )
        self._blocking = False
        self._ended = False

    @property
    def session(self) -> tuple[str, str]:
        """Protocol version and cipher name, for the WSGI environment."""
        cipher = self._socket.cipher()
        return self._socket.version() or "", cipher[0] if cipher else ""

    def shake_hands(self) -> bool:
        """One step of the handshake; whether it is done. Raises OSError if it failed."""
        try:
            self._socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True

    def receive_now(self, size: int) -> bytes | None:
        """Up to `size` bytes that have come, b"" at the end, None if nothing has come."""
        self._set_blocking(blocking=False)
        try:
            return self._socket.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        except ssl.SSLEOFError:
            return b""

    def receive(self, size: int) -> bytes | None:
        """Wait for some of `size` bytes: one TLS record at most, None if none came."""
        self._set_blocking(blocking=True)
        try:
            return self._socket.recv(size)
        except TimeoutError:
            return None
        except ssl.SSLEOFError:
            return b""

    def receive_into(self, view: memoryview) -> int | None:
        """As `receive`, into `view`; the number of bytes."""
        self._set_blocking(blocking=True)
        try:
            return self._socket.recv_into(view)
        except TimeoutError:
            return None
        except ssl.SSLEOFError:
            return 0

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Send what goes within a time slice; the number of bytes, 0 if none went."""
        self._set_blocking(blocking=True)
        data: bytes | memoryview = buffers[0]
        if len(buffers) > 1:
            # One record for a small answer; a big block goes in a call of its own, uncopied.
            size = sum(map(len, buffers))
            data = b"".join(buffers) if size <= _JOIN_LIMIT else buffers[0]
        try:
            return self._socket.send(data)
        except TimeoutError:
            return 0

    def wait_readable(self, seconds: float) -> bool:
        """Whether something comes within `seconds`."""
        return self._socket.pending() > 0 or _wait_readable(self._socket.fileno(), seconds)

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._socket.fileno()

    def finish_sending(self) -> None:
        """Tell the client that nothing more comes; what it still sends is read undeciphered."""
        if self._ended:
            return
        self._ended = True
        with suppress(OSError, ValueError):
            self._set_blocking(blocking=False)
            self._socket.unwrap()  # sends close_notify; the client's own is not waited for
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def drop(self, size: int) -> int | None:
        """After `finish_sending`: drop what comes; as `receive_now`, but the number of bytes."""
        received = self.receive_now(size)
        return None if received is None else len(received)

    def reset(self) -> None:
        """Make `close` a reset: the client sees that the answer was cut."""
        _reset_on_close(self._socket)

    def abort(self) -> None:
        """Break both directions, from any thread; a call that waits returns."""
        with suppress(OSError):
            # Not SSLSocket.shutdown: that takes the TLS state from under the other thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _set_blocking(self, *, blocking: bool) -> None:
        if blocking is not self._blocking:
            self._socket.settimeout(SLICE_SECONDS if blocking else 0)
            self._blocking = blocking


def _reset_on_close(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))


def _wait_readable(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
