"""The door of the server: every request is authenticated here, or answered here.

    app = Gate(drive, Authenticator(repository))

What goes in carries `environ["casdav.principal"]` and `environ["casdav.user"]`. What does not:
pages for browsers, OPTIONS of somebody unknown, and everybody who must sign in first. The API
signs its clients in by itself. Clients get
401 with a challenge; a browser that opens a page is sent to the login page.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import cas
from dav.auth import Authenticator
from dav.challenge import Challenge, Reason
from dav.environment import claim_thread, wants_page
from dav.health import health
from dav.http.errors import AnswerCutError
from dav.http.settings import ServerSettings
from dav.identity import Method, Principal
from dav.markup import Response
from dav.pages import Pages

PRINCIPAL: Final = "casdav.principal"
"""The key in the WSGI environment under which the principal stands."""
USER: Final = "casdav.user"
"""The key in the WSGI environment under which the user's name stands, for the access log."""

METHODS: Final = (
    "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
)
_SESSION_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
_logger = logging.getLogger(__name__)


class Api(Protocol):
    """The API, `dav.api.app`, as the gate knows it."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

    def has(self, path: str) -> bool:
        """Return whether a path is one of the API's."""

    def open_feed(self, server: ServerSettings) -> None:
        """Begin the change feed."""

    @property
    def waiting_count(self) -> int:
        """How many requests wait for news."""

    def stop_waiting(self) -> None:
        """End what waits for news."""

    def close(self) -> None:
        """End all that runs."""


class Gate:
    """WSGI middleware. One per process, shared by its threads."""

    def __init__(
        self, app: WSGIApplication, authenticator: Authenticator, api: Api | None = None
    ) -> None:
        self._app = app
        self._api = api
        self._authenticator = authenticator
        self._pages = Pages(authenticator)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or pass it on with its principal."""
        body = self._respond(environ, start_response)
        return body if isinstance(body, list | tuple) else _Body(body)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._api is not None and self._api.has(environ["PATH_INFO"]):
            return self._api(environ, start_response)
        try:
            response = self._answer(environ)
        except cas.CasError:
            _logger.exception("a request cannot be authenticated")
            response = _FAILED
        if response is None:
            return self._app(environ, start_response)
        length = ("Content-Length", str(len(response.body)))
        start_response(response.status, [*response.headers, length])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def open_feed(self, server: ServerSettings) -> None:
        """Begin the change feed beside the server. Raises ListenError."""
        if self._api is not None:
            self._api.open_feed(server)

    @property
    def waiting_count(self) -> int:
        """How many requests wait for news."""
        return self._api.waiting_count if self._api is not None else 0

    def stop_waiting(self) -> None:
        """End what waits for news: the server is told to stop. For signal handlers too."""
        if self._api is not None:
            self._api.stop_waiting()

    def close(self) -> None:
        """End what waits for news, and the change feed: the server has stopped."""
        if self._api is not None:
            self._api.close()

    def _answer(self, environ: WSGIEnvironment) -> Response | None:
        """Return the answer, or None with the principal in the environment."""
        answer = health(environ["PATH_INFO"], self._authenticator.registry)
        if answer is not None:
            return answer
        if self._pages.has(environ["PATH_INFO"]):
            return self._pages.answer(environ)
        outcome = self._authenticator.authenticate(environ)
        if isinstance(outcome, Challenge):
            return self._refusal(environ, outcome)
        return self._admit(environ, outcome)

    def _admit(self, environ: WSGIEnvironment, principal: Principal) -> Response | None:
        environ[PRINCIPAL] = principal
        environ[USER] = principal.name
        claim_thread(environ, principal.name)
        if environ["PATH_INFO"] == "/" and wants_page(environ):
            return self._pages.home(environ, principal)
        if principal.method is Method.SESSION and environ["REQUEST_METHOD"] not in _SESSION_METHODS:
            text = b"A browser's session only reads. Mount the drive to change files.\n"
            return Response("403 Forbidden", [("Content-Type", "text/plain")], text)
        return None

    def _refusal(self, environ: WSGIEnvironment, challenge: Challenge) -> Response:
        if challenge.reason is Reason.NO_CREDENTIALS:
            if environ["REQUEST_METHOD"] == "OPTIONS":
                return _OPTIONS
            if wants_page(environ):
                return self._pages.to_login(environ)
        text = ("Content-Type", "text/plain; charset=utf-8")
        body = f"{challenge.status.partition(' ')[2]}\n".encode()
        return Response(challenge.status, [text, *challenge.headers], body)


class _Body:
    """A body that is read from the store while it is sent.

    What it is read from may be deleted and collected meanwhile, which is nobody's fault: then it
    ends with AnswerCutError.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except cas.ExpiredError as error:
            raise AnswerCutError(str(error)) from error

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


# Windows and some others ask this before they send a password, of the root too. The answer is the
# same for every path, so it tells nothing of what there is.
_OPTIONS: Final = Response(
    "200 OK", [("DAV", "1, 2, 3"), ("MS-Author-Via", "DAV"), ("Allow", METHODS)]
)


_FAILED: Final = Response(
    "503 Service Unavailable",
    [("Content-Type", "text/plain"), ("Retry-After", "10")],
    b"The store of accounts cannot be read or written. The server's log says why.\n",
)


def principal_of(environ: WSGIEnvironment) -> Principal:
    """Return who sends a request that has passed the gate."""
    principal = environ[PRINCIPAL]
    if not isinstance(principal, Principal):
        raise TypeError(f"no principal: {principal!r}")
    return principal
