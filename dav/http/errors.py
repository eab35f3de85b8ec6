"""What can go wrong between the socket and the application.

    ListenError (OSError)            the server cannot listen; one line that says why
    RefusedError                     a request head that is answered with an error at once
    BodyError (OSError)              a request body that cannot be read to its end
    ├── BodyIncompleteError          the connection ended before the body did
    ├── BodyTimeoutError             the client stopped sending, or sends too slowly
    ├── BodyMalformedError           the chunked coding is wrong
    ├── BodyTooLargeError            more than the server takes
    └── BodyUnboundedError           it does not say how long it is, where it has to
    BodyAwaitedError                 the application wants to be called when the body has come
    TurnAwaitedError                 and when fewer requests of this user run
    ResponseError                    the application's answer cannot be sent as it is
    AnswerCutError                   the rest of an answer cannot be had any more
    ClientGoneError (OSError)        the client left, or stopped reading the answer

None of them is the engine's: this package knows nothing of the store.
"""

from __future__ import annotations

from typing import ClassVar


class ListenError(OSError):
    """The server cannot listen where it was told to; the message is one line that says why."""


class RefusedError(Exception):
    """A request head that is refused: `status` is the answer's status line without version."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BodyError(OSError):
    """A request body that was not read to its end; nothing of it may be kept.

    `wsgi.input` raises it from every read, never a short read. An application may answer by
    itself; one that lets it pass gets `status` answered. The connection closes in any case.
    """

    status: ClassVar[str] = "400 Bad Request"


class BodyIncompleteError(BodyError):
    """The connection ended before the body did."""


class BodyTimeoutError(BodyError):
    """The client stopped sending, or sends too slowly while others wait."""

    status = "408 Request Timeout"


class BodyMalformedError(BodyError):
    """The chunked coding of the body is wrong (RFC 9112, section 7.1)."""


class BodyTooLargeError(BodyError):
    """The body is larger than the server takes."""

    status = "413 Content Too Large"


class ResponseError(Exception):
    """The application's answer breaks HTTP or WSGI, so it was not sent as it is."""


class AnswerCutError(Exception):
    """The rest of an answer cannot be had any more, for a reason that one line in the log tells.

    An answer that was begun is broken off, so that no client takes it for whole.
    """


class ClientGoneError(OSError):
    """The answer cannot be delivered: the client left, stopped reading, or reads too slowly."""


class BodyUnboundedError(BodyError):
    """The body does not say how long it is, where it has to."""

    status = "411 Length Required"


class BodyAwaitedError(Exception):
    """The application is to be called again when all of the request's body is here."""


class TurnAwaitedError(Exception):
    """The application is to be called again when fewer requests of the user run."""
