"""The application below `/api/v1`: from a request to its route, and from there to an answer.

    api = Api(repository, authenticator, ApiSettings())
    api(environ, start_response)

Bearer tokens and app passwords open it. A browser's session does not: its cookie goes along with
requests that other sites make.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import cas
from dav.api import states
from dav.api.answers import Answer, RefusedError, encode_refusal, refusal_of, refused
from dav.api.call import Call, Services
from dav.api.feed import PATH as FEED_PATH
from dav.api.feed import Feed
from dav.api.news import News
from dav.api.rates import Rates
from dav.api.routes import Route, all_routes
from dav.api.settings import ApiSettings
from dav.api.signing import sign_in
from dav.auth import Authenticator, is_secure
from dav.environment import await_body, claim_thread
from dav.http.listener import open_listeners
from dav.http.settings import ServerSettings
from dav.http.tls import load_context
from dav.identity import Method, Principal, Role
from dav.status import STATUS_LINES
from dav.throttle import network_of

PREFIX: Final = "/api/v1"

_WITHOUT_CONTENT: Final = frozenset({204, 304})
_WAITING_SHARE: Final = 4  # of the server's threads, one in so many may wait for news
_logger = logging.getLogger(__name__)


class Api:
    """A WSGI application over a repository. One per process, shared by its threads."""

    def __init__(
        self,
        repository: cas.Repository,
        authenticator: Authenticator,
        settings: ApiSettings | None = None,
        threads: int = ServerSettings().threads,
    ) -> None:
        settings = settings or ApiSettings()
        self.news = News(repository)
        self.feed: Feed | None = None
        self._settings = settings
        self._rates = Rates(settings.requests_per_minute)
        self._services = Services(
            repository,
            authenticator,
            settings,
            cas.Deliveries(repository),
            cas.FileParts(repository),
            repository.content_keys(),
            self.news,
            self._feed_url,
        )
        deltas = states.Deltas(states.Waiting(max(1, threads // _WAITING_SHARE)))
        self._routes = {
            (route.method, route.path.removesuffix("{id}")): route
            for route in all_routes(deltas, settings.wait_seconds)
        }

    @staticmethod
    def has(path: str) -> bool:
        """Return whether a path is one of the API's."""
        return path == PREFIX or path.startswith(PREFIX + "/")

    @property
    def waiting_count(self) -> int:
        """How many requests wait for news."""
        return self.news.waiting_count

    def stop_waiting(self) -> None:
        """End what waits for news: the server is told to stop. For signal handlers too."""
        self.news.stop()

    def close(self) -> None:
        """End what waits for news, and the feed: the server has stopped."""
        self.news.close()
        if self.feed is not None:
            self.feed.close()

    def open_feed(self, server: ServerSettings) -> None:
        """Begin the change feed, at the server's addresses on a port of its own.

        Raises:
            ListenError: the port cannot be listened on.
        """
        if not self._settings.feed:
            return
        certificate = server.certificate
        tls = load_context(certificate, server.key) if certificate is not None else None
        sockets = open_listeners(replace(server, port=self._settings.feed_port))
        services = self._services
        self.feed = Feed(services.repository, services.authenticator, sockets, tls)
        self.feed.start()

    def _feed_url(self, environ: WSGIEnvironment) -> str:
        """Return where the client that asks finds the feed, empty where there is none.

        There is none either where TLS ends at a proxy: nobody knows under which address that one
        has the feed, and tokens are not to be sent to this process in the clear.
        """
        if self.feed is None or self._settings.feed_url:
            return self._settings.feed_url
        if is_secure(environ) and not self.feed.is_encrypted:
            return ""
        try:
            host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or "127.0.0.1"
        except ValueError:
            return ""
        host = f"[{host}]" if ":" in host else host
        scheme = "wss" if self.feed.is_encrypted else "ws"
        return f"{scheme}://{host}:{self.feed.port}{FEED_PATH}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request.

        Raises:
            OSError: the request's body could not be read to its end; nothing was stored.
        """
        route: Route | None = None
        try:
            route, rest = self._route(environ)
            answer = route.handler(self._call(environ, route, rest))
        except RefusedError as error:
            answer = encode_refusal(error, as_message=_speaks_messages(route))
        except cas.CasError as error:
            found = refusal_of(error)
            is_ours = not isinstance(error, cas.QuotaError)  # a user who has no room is no news
            if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_ours:
                is_fault = not isinstance(error, cas.ExpiredError)  # that is a collection at work
                words = environ["REQUEST_METHOD"], environ["PATH_INFO"], error
                _logger.log(logging.ERROR, "%s %s failed: %s", *words, exc_info=is_fault)
            answer = encode_refusal(found, as_message=_speaks_messages(route))
        return _send(environ, start_response, answer)

    def _limit(self, environ: WSGIEnvironment, principal: Principal, cost: float) -> None:
        """Count a request.

        Raises:
            RefusedError: 429 for too many.
        """
        address = network_of(environ.get("REMOTE_ADDR", ""))
        by_address = self._rates.take(f"address {address}", cost)
        by_user = self._rates.take(f"user {principal.name}", cost) if principal.name else 0
        wait = max(by_address, by_user)
        if wait:
            raise refused(429, "throttled", "too many requests", retry_s=wait)

    def _route(self, environ: WSGIEnvironment) -> tuple[Route, str]:
        """Return the route of a request, and the rest of its path."""
        path = environ["PATH_INFO"].removeprefix(PREFIX).removeprefix("/")
        method = "GET" if environ["REQUEST_METHOD"] == "HEAD" else environ["REQUEST_METHOD"]
        folder, slash, rest = path.rpartition("/")
        ways = [(path, "")] if not path.endswith("/") else []
        ways += [(folder + slash, rest)] if rest and slash else []
        for known, word in ways:
            found = self._routes.get((method, known))
            if found is not None:
                return found, word
        known_paths = {known for known, _ in ways}
        methods = sorted(each for each, there in self._routes if there in known_paths)
        if methods:
            error = refused(405, "invalid", f"{method} is not for this address")
            raise RefusedError(405, error.refusal, [("Allow", ", ".join(methods))])
        raise refused(404, "not_found", "there is no such address in this API")

    def _call(self, environ: WSGIEnvironment, route: Route, rest: str) -> Call:
        """Return the request with its principal.

        Raises:
            RefusedError: 401, 429 or 503 for somebody who is not let in.
        """
        services = self._services
        principal = _NOBODY
        if route.needs_account:
            principal = sign_in(services.authenticator, environ)
        else:
            await_body(environ)
        environ["casdav.user"] = principal.name
        claim_thread(environ, principal.name)
        self._limit(environ, principal, route.cost)
        return Call(services, environ, principal, rest)


_NOBODY: Final = Principal("", Role.USER, Method.JWT)


def _speaks_messages(route: Route | None) -> bool:
    return route is not None and route.speaks_messages


def _send(
    environ: WSGIEnvironment, start_response: StartResponse, answer: Answer
) -> Iterable[bytes]:
    headers = [("X-Content-Type-Options", "nosniff"), *answer.headers]
    if answer.status not in _WITHOUT_CONTENT:
        headers.append(("Content-Type", answer.content_type))
    if not any(name.lower() == "cache-control" for name, _ in headers):
        headers.append(("Cache-Control", "no-store"))
    if isinstance(answer.body, bytes) and answer.status in _WITHOUT_CONTENT:
        start_response(STATUS_LINES[answer.status], headers)
        return []
    if isinstance(answer.body, bytes):
        headers.append(("Content-Length", str(len(answer.body))))
        start_response(STATUS_LINES[answer.status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]
    start_response(STATUS_LINES[answer.status], headers)
    return answer.body
