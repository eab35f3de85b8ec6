"""One client connection, as stages that never wait for a client while they hold a thread.

A thread advances a connection as far as what has come allows, and parks it in the selector when
it needs more. Only an application that reads a body or writes an answer waits in its thread, and
it may have a small body waited for here.

    GREETING ─> HANDSHAKE ─> HEAD ─> (the request runs) ─> DRAIN ─> HEAD ...
      (TLS alone)                      │    ^         └──> LINGER ─> closed
                                       └> BODY, TURN (where the application asks for that)
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cheroot.server import HTTPConnection

from dav.http.access import AccessRecord
from dav.http.errors import RefusedError
from dav.http.head import RequestHead, find_head_end, parse_head
from dav.http.proxy import plain_address
from dav.http.request import Request
from dav.http.response import render_error
from dav.http.stream import Stream
from dav.http.transport import PlainTransport, TlsTransport, Transport

if TYPE_CHECKING:
    from dav.http.listener import StrictServer

_RECEIVE_SIZE: Final = 16 * 1024
_DROP_SIZE: Final = 64 * 1024
_DROP_ROUNDS: Final = 64
_PIPELINE_BURST: Final = 64
_TLS_HANDSHAKE_RECORD: Final = b"\x16"
# A client that sends one request after the other keeps its thread while there are threads to spare.
_NEXT_REQUEST_SECONDS: Final = 0.005


class Stage(Enum):
    """What a connection is doing between requests."""

    GREETING = auto()
    HANDSHAKE = auto()
    HEAD = auto()
    BODY = auto()
    TURN = auto()
    DRAIN = auto()
    LINGER = auto()


class Outcome(Enum):
    """What comes after a step."""

    GO = auto()
    WAIT = auto()
    END = auto()


class Connection(HTTPConnection):
    """A connection of a client.

    Attributes:
        stage: What is waited for, when it is parked.
        since: When (time.monotonic) that began.
        deadline: When it has waited for too long.
        wants_turn: Whether it can go on at once, and only made room for others.
        awaits_turn: The user of whose requests fewer have to run before it can go on.
        tls_session: TLS version and cipher once the handshake is done, else None.
        stream: The bytes that come and go.
    """

    server: StrictServer

    def __init__(self, server: StrictServer, sock: socket.socket, address: tuple[str, int]) -> None:
        # HTTPConnection's own constructor is left out: it makes the slow file objects that this
        # layer replaces, and caches that tie every connection into a reference cycle.
        self.server = server
        self.remote_addr = plain_address(address[0])
        self.remote_port = address[1]
        self.requests_seen = 0
        self.wants_turn = False
        self.awaits_turn: str | None = None
        self.tls_session: tuple[str, str] | None = None
        self._timeouts = server.settings.timeouts
        self._plain = PlainTransport(sock)
        self._set_transport(self._plain)
        self._answered = False
        self._scanned = 0
        self._to_drop = 0
        self._head: RequestHead | None = None
        self.stage = Stage.HEAD if server.tls_context is None else Stage.GREETING
        self.since = 0.0
        self.deadline = 0.0
        self._set_deadline(self._timeouts.head)
        self._steps: dict[Stage, Callable[[], Outcome]] = {
            Stage.GREETING: self._greet,
            Stage.HANDSHAKE: self._shake_hands,
            Stage.HEAD: self._read_head,
            Stage.BODY: self._read_body,
            Stage.TURN: self._take_turn,
            Stage.DRAIN: self._drain,
            Stage.LINGER: self._linger,
        }

    @property
    def is_half_here(self) -> bool:
        """Whether a request has begun and not come to its end: a late one is worth an answer."""
        return self.stage is Stage.BODY or (self.stage is Stage.HEAD and self.stream.buffered > 0)

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has come: closing it now loses nothing."""
        if self.stage is Stage.HEAD:
            return not self.stream.buffered
        return self.stage in {Stage.GREETING, Stage.HANDSHAKE}

    def has_lingered(self, seconds: float) -> bool:
        """Whether its last answer went out that long ago, and the client has not closed yet."""
        return self.stage is Stage.LINGER and time.monotonic() - self.since >= seconds

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self.transport.fileno()

    def communicate(self) -> bool:
        """Go as far as what has come allows. True to park the connection, False to close it."""
        self.wants_turn = False
        self.awaits_turn = None
        self._answered = False
        try:
            for _ in range(_PIPELINE_BURST):
                outcome = self._steps[self.stage]()
                if outcome is Outcome.WAIT:
                    return True
                if outcome is Outcome.END:
                    return False
        except OSError:
            return False  # the client is gone, or speaks broken TLS
        self.wants_turn = True
        return True

    def abort(self) -> None:
        """Break the connection under the thread that works on it."""
        self.transport.abort()

    def close(self) -> None:
        """Close the socket."""
        self.server.forget(self)
        self.transport.close()

    def _set_transport(self, transport: Transport) -> None:
        self.transport = transport
        self.stream = Stream(transport, self._timeouts, self.server.is_pressed)

    def _enter(self, stage: Stage, seconds: float) -> Outcome:
        self.stage = stage
        self._set_deadline(seconds)
        return Outcome.GO

    def _set_deadline(self, seconds: float) -> None:
        self.since = time.monotonic()
        self.deadline = self.since + seconds

    def _greet(self) -> Outcome:
        """Look at the first byte: plain HTTP on a TLS port gets an answer that it understands."""
        first = self._plain.peek()
        if first is None:
            return Outcome.WAIT
        if not first:
            return Outcome.END
        context = self.server.tls_context
        if first != _TLS_HANDSHAKE_RECORD or context is None:
            self._answer("400 Bad Request", "This port speaks HTTPS alone.")
            return self._begin_linger()
        tls = TlsTransport(self._plain.socket, context)
        self._tls = tls
        self._set_transport(tls)
        return self._enter(Stage.HANDSHAKE, self._timeouts.handshake)

    def _shake_hands(self) -> Outcome:
        if not self._tls.shake_hands():
            return Outcome.WAIT
        self.tls_session = self._tls.session
        return self._enter(Stage.HEAD, self._timeouts.head)

    def _read_head(self) -> Outcome:
        try:
            raw = self._receive_head()
            if not isinstance(raw, bytes):
                return raw
            head = parse_head(raw, self.server.settings.limits)
        except RefusedError as refusal:
            return self._refuse(refusal)
        return self._run(head)

    def _read_body(self) -> Outcome:
        """Wait for all of a small body, and run the request anew."""
        head = self._head
        assert head is not None  # noqa: S101 - this stage begins with one
        while self.stream.buffered < head.length:
            received = self.transport.receive_now(_RECEIVE_SIZE)
            if received:
                self.stream.feed(received)
            elif received is not None:
                return Outcome.END
            elif time.monotonic() >= self.deadline:
                return self._refuse(
                    RefusedError("408 Request Timeout", "The request body does not come on.")
                )
            else:
                return Outcome.WAIT
        return self._run(head)

    def _take_turn(self) -> Outcome:
        """Run the request anew, of whose user fewer are running now."""
        head = self._head
        assert head is not None  # noqa: S101 - this stage begins with one
        return self._run(head)

    def _run(self, head: RequestHead) -> Outcome:
        request = Request(self.server, self, head)
        request.respond()
        self.awaits_turn = request.awaits_turn
        if self.awaits_turn is not None:
            self._head = head
            self.stage = Stage.TURN
            return Outcome.WAIT
        if request.awaits_body:
            self._head = head
            return self._enter(Stage.BODY, self._timeouts.head)
        self._head = None
        self.requests_seen += 1
        self._answered = True
        return self._follow(request)

    def _receive_head(self) -> bytes | Outcome:
        """A whole request head, or what to do for want of one. Raises RefusedError."""
        stream = self.stream
        while True:
            data = stream.peek()
            end = find_head_end(data, self._scanned, self.server.settings.limits) if data else 0
            if end:
                self._scanned = 0
                return stream.take(end)
            self._scanned = len(data)
            silent = not data and self._answered and self._stays_silent()
            received = None if silent else self.transport.receive_now(_RECEIVE_SIZE)
            if received:
                if not data:
                    self._set_deadline(self._timeouts.head)
                stream.feed(received)
            elif received is not None:
                return Outcome.END
            elif data and time.monotonic() >= self.deadline:
                raise RefusedError("408 Request Timeout", "The request head is too slow.")
            else:
                return Outcome.WAIT

    def _stays_silent(self) -> bool:
        """Whether nothing comes for a moment; not known when there is no thread to wait in."""
        return self.server.has_spare_threads() and not self.transport.wait_readable(
            _NEXT_REQUEST_SECONDS,
        )

    def _follow(self, request: Request) -> Outcome:
        """What comes after an answer: the next head, the rest of this body, or the end."""
        if request.broken:
            if request.ended_by_close:
                self.transport.reset()
            return Outcome.END
        if request.close_connection:
            if not request.head.keep_alive and request.body.finished and not self.stream.buffered:
                self.transport.finish_sending()
                return Outcome.END
            return self._begin_linger()
        remaining = request.body.remaining
        if remaining:
            self._to_drop = remaining
            return self._enter(Stage.DRAIN, self._timeouts.drain)
        return self._enter(Stage.HEAD, self._timeouts.idle)

    def _drain(self) -> Outcome:
        """Drop the unread rest of a body, to find the next request behind it."""
        self._to_drop -= len(self.stream.take(self._to_drop))
        while self._to_drop:
            received = self.transport.receive_now(min(_DROP_SIZE, self._to_drop))
            if received is None:
                return Outcome.WAIT
            if not received:
                return Outcome.END
            self._to_drop -= len(received)
        return self._enter(Stage.HEAD, self._timeouts.idle)

    def _begin_linger(self) -> Outcome:
        """Say that nothing more comes, but read on: a reset could overtake the answer."""
        self.transport.finish_sending()
        self.stream.take(self.stream.buffered)
        return self._enter(Stage.LINGER, self._timeouts.linger)

    def _linger(self) -> Outcome:
        # From the plain socket: what a client still sends is of no interest, deciphered or not.
        for _ in range(_DROP_ROUNDS):
            received = self.transport.drop(_DROP_SIZE)
            if received is None:
                return Outcome.WAIT
            if not received:
                return Outcome.END
        return Outcome.WAIT

    def _refuse(self, refusal: RefusedError) -> Outcome:
        self._answer(refusal.status, refusal.reason)
        log = self.server.access_log
        if log is not None:
            log(
                AccessRecord(
                    method="-",
                    path="-",
                    status=int(refusal.status[:3]),
                    bytes_in=0,
                    bytes_out=0,
                    seconds=0.0,
                    remote=self.remote_addr,
                    user="",
                    protocol="-",
                    complete=True,
                ),
            )
        return self._begin_linger()

    def _answer(self, status: str, reason: str) -> None:
        # One try, no pace: who does not take so short an answer at once is not waited for.
        with suppress(OSError):
            self.transport.send([render_error(status, reason)])
