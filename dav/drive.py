"""The drive: every WebDAV request from its method to its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final
from wsgiref.types import StartResponse, WSGIEnvironment

import cas
from dav import answers
from dav.answers import Answer
from dav.challenge import BASIC_CHALLENGE
from dav.errors import to_http
from dav.gate import PRINCIPAL
from dav.grants import Rights
from dav.locked import locked_answer
from dav.methods.copy_move import copy, move
from dav.methods.delete import delete
from dav.methods.get import get
from dav.methods.lock import lock, unlock
from dav.methods.mkcol import mkcol
from dav.methods.options import allow, options
from dav.methods.propfind import propfind
from dav.methods.proppatch import proppatch
from dav.methods.put import put
from dav.request import Request, Services
from dav.settings import DriveSettings
from dav.status import HttpError

METHODS: Final[dict[str, Callable[[Request], Answer]]] = {
    "COPY": copy,
    "DELETE": delete,
    "GET": get,
    "HEAD": get,
    "LOCK": lock,
    "MKCOL": mkcol,
    "MOVE": move,
    "OPTIONS": options,
    "PROPFIND": propfind,
    "PROPPATCH": proppatch,
    "PUT": put,
    "UNLOCK": unlock,
}
"""The methods there are."""

_KNOWN_ELSEWHERE: Final = frozenset(
    {"ACL", "CONNECT", "PATCH", "POST", "REPORT", "SEARCH", "TRACE", "VERSION-CONTROL"}
)
_COPYING: Final = frozenset({"COPY", "MOVE"})
_LOOKS: Final = 3
_logger = logging.getLogger(__name__)


class Drive:
    """A WSGI application over a repository. Shared by threads.

    Args:
        repository: what is served.
        rights: says who may do what.
        settings: limits and names.

    Requests carry their principal in `environ["casdav.principal"]`.
    """

    def __init__(
        self, repository: cas.Repository, rights: Rights, settings: DriveSettings | None = None
    ) -> None:
        self._services = Services(repository, rights, settings or DriveSettings())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request.

        Raises:
            OSError: the request body could not be read to its end; nothing was stored.
        """
        request = Request(self._services, environ)
        try:
            answer = _answer(request)
        except BaseException:
            request.close()
            raise
        start_response(answer.status_line, list(answer.headers))
        if isinstance(answer.body, list | tuple):
            request.close()
            return [] if request.method == "HEAD" else answer.body
        return _Stream(answer.body, request)


class _Stream:
    """A body that is made while it is sent; the request's views stay pinned until its end."""

    def __init__(self, body: Iterable[bytes], request: Request) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Let go of what the body reads from."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        self._request.close()


def _answer(request: Request) -> Answer:
    try:
        return _handled(request)
    except HttpError as problem:
        return answers.error(_with_allow(problem, request))
    except cas.ConflictingLocksError as problem:
        return locked_answer(request, problem)
    except cas.CasError as problem:
        found = to_http(problem)
        is_ours = not isinstance(problem, cas.QuotaError)  # a user who has no room is no news
        if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_ours:
            is_fault = not isinstance(problem, cas.ExpiredError)  # that is a collection at work
            words = request.method, "/".join(request.target.names), problem
            _logger.log(logging.ERROR, "%s %s failed: %s", *words, exc_info=is_fault)
        return answers.error(_with_allow(found, request))


def _handled(request: Request) -> Answer:
    """Let the method answer; again on the newest state if a collection has begun meanwhile.

    What was to be copied may be gone by then, or is as safe as anything: only another look tells.
    """
    handler = _handler(request)
    for _ in range(_LOOKS - 1 if request.method in _COPYING else 0):
        try:
            return handler(request)
        except cas.ExpiredError:
            request.look_again()
    return handler(request)


def _handler(request: Request) -> Callable[[Request], Answer]:
    handler = METHODS.get(request.method)
    if handler is None:
        known = request.method in _KNOWN_ELSEWHERE
        raise HttpError(405 if known else 501, f"there is no method {request.method} here")
    if PRINCIPAL not in request.environ and handler is not options:
        raise HttpError(401, "who are you?", headers=[("WWW-Authenticate", BASIC_CHALLENGE)])
    return handler


def _with_allow(problem: HttpError, request: Request) -> HttpError:
    """Add what the resource allows to a 405 (RFC 9110, section 15.5.6)."""
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        try:
            problem.headers += (("Allow", allow(request)),)
        except HttpError as malformed:
            return malformed  # A target that cannot be read allows nothing.
    return problem
