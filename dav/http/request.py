"""One request and its answer on a connection: framing, persistence, and what is logged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from cheroot.server import HTTPRequest

from dav.http.access import AccessRecord
from dav.http.body import BodyFraming, ChunkedFraming, LengthFraming, RequestBody
from dav.http.errors import (
    AnswerCutError,
    BodyAwaitedError,
    BodyError,
    BodyIncompleteError,
    BodyTooLargeError,
    BodyUnboundedError,
    ClientGoneError,
    ResponseError,
    TurnAwaitedError,
)
from dav.http.head import Framing, RequestHead
from dav.http.proxy import Peer
from dav.http.response import (
    SERVER_NAME,
    current_date,
    lower_field_name,
    render_error,
    render_head,
    status_code,
)

if TYPE_CHECKING:
    from dav.http.connection import Connection
    from dav.http.listener import StrictServer

SMALL_BODY: Final = 16 * 1024
"""Bytes of a body that can be waited for without a thread."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})
# The connection is this layer's alone (PEP 3333, "Other HTTP Features").
_OURS: Final = frozenset({"connection", "keep-alive", "upgrade", "te", "trailer"})


class Request(HTTPRequest):
    """A request whose head is free of doubt.

    Attributes:
        head: The request head.
        body: The request body, as the application gets it.
        environ: The WSGI environment once it is made.
        peer: Who sent it, by the proxy's word where that is believed.
        whole_length: Size of the answer where the application gave all of it at once.
        body_is_over: Whether no more bytes of the answer are wanted.
        broken: Whether the answer was cut: the client must not take it for a whole one.
        awaits_body: Whether the application is to be called again when the body has come.
        awaits_turn: The user of whose requests fewer have to run before that, if it is so.
        ended_by_close: Whether the answer's end is the connection's end (HTTP/1.0).
    """

    server: StrictServer
    conn: Connection

    def __init__(self, server: StrictServer, conn: Connection, head: RequestHead) -> None:
        super().__init__(server, conn)
        self.head = head
        self.peer = self._find_peer()
        self.body = self._make_body()
        self.environ: dict[str, Any] = {}
        self.whole_length: int | None = None
        self.body_is_over = False
        self.broken = False
        self.close_connection = not head.keep_alive
        self._began = time.monotonic()
        self._code = 0
        self._fields: list[tuple[str, str]] = []
        self._declared: int | None = None
        self._written = 0
        self._bodiless = False
        self.ended_by_close = False
        self.awaits_body = False
        self.awaits_turn: str | None = None
        self._user: str | None = None

    def claim_thread(self, user: str) -> None:
        """Say whose request this is. To be called before anything is done or answered.

        Raises:
            TurnAwaitedError: this user's requests hold so many threads that others might find
                none; let that pass, to be called again when one of them is over.
        """
        if self._user is None:
            if not self.server.shares.take(user):
                raise TurnAwaitedError(user)
            self._user = user

    def await_body(self) -> None:
        """See that all of a small body is here: then reading it keeps no thread waiting.

        For who has not signed in: many such clients could hold all threads. To be called before
        anything is answered.

        Raises:
            BodyAwaitedError: it is not; let that pass, to be called again when it is.
            BodyError: it is too long for that, or does not say how long it is.
        """
        if self.head.framing is Framing.CHUNKED:
            raise BodyUnboundedError("Here a body needs a Content-Length.")
        if self.head.length > SMALL_BODY:
            raise BodyTooLargeError(f"Here a body may have {SMALL_BODY} bytes.")
        if self.conn.stream.buffered < self.head.length:
            if self.head.expects_continue:
                self._send_continue()
            raise BodyAwaitedError

    def respond(self) -> None:
        """Run the application and send its answer; what goes wrong is answered and logged."""
        try:
            self.server.gateway(self).respond()
        except BodyAwaitedError:
            self.awaits_body = True
            return
        except TurnAwaitedError as error:
            (self.awaits_turn,) = error.args
            return
        except BodyError as error:
            self._fail(error.status, str(error), alarm=False)
        except ClientGoneError:
            self.broken = True
            self.close_connection = True
        except AnswerCutError as error:
            self.server.error_log(f"{self.head.method} {self._raw_path()} was cut off: {error}")
            self._fail("503 Service Unavailable", str(error), alarm=False)
        except Exception:  # noqa: BLE001 - whatever an application raises must not end the thread
            self._fail("500 Internal Server Error", "The server failed.", alarm=True)
        finally:
            if self.body.failed:
                self.close_connection = True
            if self._user is not None:
                self.server.end_turn(self._user)
            if not self.awaits_body and self.awaits_turn is None:
                self._log()

    def start(self, status: str, fields: list[tuple[str, str]]) -> None:
        """Take the application's status and fields. Raises ResponseError for bad ones."""
        code = status_code(status)
        kept: list[tuple[str, str]] = []
        declared: int | None = None
        names: set[str] = set()
        for name, value in fields:
            lower = lower_field_name(name)
            if lower == "transfer-encoding":
                raise ResponseError("The application must not set Transfer-Encoding.")
            if lower == "connection" and "close" in value.lower():
                self.close_connection = True
            if lower in _OURS:
                continue
            if lower == "content-length":
                if declared is not None or not (value.isascii() and value.isdigit()):
                    raise ResponseError(f"The application declares the length {value!r}.")
                declared = int(value)
                continue
            names.add(lower)
            kept.append((name, value))
        if "date" not in names:
            kept.append(("Date", current_date()))
        if "server" not in names:
            kept.append(("Server", SERVER_NAME))
        self.status = status
        self._code = code
        self._fields = kept
        self._declared = declared
        self._bodiless = code in _BODILESS or self.head.method == "HEAD"

    def write(self, chunk: bytes | memoryview | tuple[bytes | memoryview, ...]) -> None:
        """Send a block of the answer, in one piece or several; the head goes with the first.

        Raises ResponseError for a block that must not be sent, ClientGoneError.
        """
        if not self.status:
            raise ResponseError("The application wrote before it called start_response.")
        pieces: tuple[bytes | memoryview, ...] = chunk if isinstance(chunk, tuple) else (chunk,)
        pieces = tuple(p if isinstance(p, bytes) else memoryview(p).cast("B") for p in pieces)
        size = sum(map(len, pieces))
        buffers: list[bytes | memoryview] = []
        if not self.sent_headers:
            buffers.append(self._make_head(size))
        if self._bodiless:
            self.body_is_over = True
        else:
            if self._declared is not None and self._written + size > self._declared:
                raise ResponseError("The answer is longer than its Content-Length.")
            if self.chunked_write:
                buffers += [b"%x\r\n" % size, *pieces, b"\r\n"]
            else:
                buffers += pieces
            self._written += size
        if buffers:
            self.sent_headers = True
            self.conn.stream.write(buffers)

    def finish(self) -> None:
        """End the answer. Raises ResponseError if it is shorter than declared, ClientGoneError."""
        if not self.status:
            raise ResponseError("The application did not call start_response.")
        if not self._bodiless and self._declared is not None and self._written < self._declared:
            raise ResponseError("The answer is shorter than its Content-Length.")
        if not self.sent_headers:
            if self.whole_length is None and not self._bodiless:
                self.whole_length = 0
            head = self._make_head(0)
            self.sent_headers = True
            self.conn.stream.write([head])
        if self.chunked_write:
            self.conn.stream.write([b"0\r\n\r\n"])

    def _make_head(self, first: int) -> bytes:
        """Decide framing and persistence, and render the head before `first` bytes of body."""
        self._settle_length(first)
        fields = self._fields
        if self._declared is not None:
            fields.append(("Content-Length", str(self._declared)))
        elif not self._bodiless:
            if self.head.version >= (1, 1):
                self.chunked_write = True
                fields.append(("Transfer-Encoding", "chunked"))
            else:
                self.ended_by_close = True
                self.close_connection = True
        if not self.close_connection:
            self.close_connection = not self._can_persist()
        if self.close_connection:
            fields.append(("Connection", "close"))
        elif self.head.version < (1, 1):
            fields.append(("Connection", "keep-alive"))
        return render_head(self.status, fields)

    def _settle_length(self, first: int) -> None:
        """Find the answer's length if it can be known. Raises ResponseError if it is wrong."""
        if self._code == 204:  # noqa: PLR2004 - RFC 9110, 8.6: no Content-Length in a 204
            self._declared = None
        if self._bodiless:
            return
        if self._declared is None:
            self._declared = self.whole_length
        elif first > self._declared or self.whole_length not in {None, self._declared}:
            raise ResponseError("The answer's length is not its Content-Length.")

    def _can_persist(self) -> bool:
        """Whether the next request can follow: what is left of this one is known and small."""
        if not self.server.can_add_keepalive_connection:
            return False
        if self.body.finished:
            return True
        remaining = self.body.remaining
        if self.body.failed or remaining is None:
            return False
        if self.head.expects_continue and not self.body.received:
            # Nobody can tell whether the client will send the body after this answer.
            return remaining <= self.conn.stream.buffered
        return remaining <= self.server.settings.limits.drain

    def _make_body(self) -> RequestBody:
        framing: BodyFraming | None = None
        stream = self.conn.stream
        if self.head.framing is Framing.LENGTH:
            framing = LengthFraming(stream, self.head.length)
        elif self.head.framing is Framing.CHUNKED:
            framing = ChunkedFraming(stream, self.server.settings.limits)
        return RequestBody(framing, self._send_continue if self.head.expects_continue else None)

    def _send_continue(self) -> None:
        if self.sent_headers:
            raise BodyIncompleteError("The answer was begun before the request body was wanted.")
        if not self.conn.stream.buffered:
            self.conn.stream.write([_CONTINUE])

    def _find_peer(self) -> Peer:
        peer = Peer(self.conn.remote_addr, "https" if self.conn.tls_session else "http", "")
        trust = self.server.proxy_trust
        return peer if trust is None else trust.resolve(self.head.fields, peer)

    def _fail(self, status: str, reason: str, *, alarm: bool) -> None:
        """Answer an error if the answer was not begun; else break it off."""
        self.close_connection = True
        if alarm:
            message = f"{self.head.method} {self._raw_path()} failed"
            self.server.error_log(message, traceback=True)
        if self.sent_headers:
            self.broken = True
            return
        self._code = int(status[:3])
        self._written = 0
        self.sent_headers = True
        answer = render_error(status, reason, with_body=self.head.method != "HEAD")
        try:
            self.conn.stream.write([answer])
        except ClientGoneError:
            self.broken = True

    def _raw_path(self) -> str:
        return self.head.target.raw.partition("?")[0]

    def _log(self) -> None:
        log = self.server.access_log
        if log is None:
            return
        record = AccessRecord(
            method=self.head.method,
            path=self._raw_path(),
            status=self._code if self.sent_headers else 0,
            bytes_in=self.body.received,
            bytes_out=self._written,
            seconds=time.monotonic() - self._began,
            remote=self.peer.address,
            user=str(self.environ.get("casdav.user") or ""),
            protocol="HTTP/1.1" if self.head.version >= (1, 1) else "HTTP/1.0",
            complete=self.sent_headers and not self.broken,
        )
        log(record)
