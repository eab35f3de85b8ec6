"""Requests to one server: pooled connections, retries with growing pauses, tokens, limits.

Every request of the protocol may be sent again: reads are pure, chunks are named by their content,
commits carry a key. So a lost answer is asked for once more, and nothing happens twice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import urllib3

import cas
from cas import wire
from syncd.remote.credentials import TokenAnswer
from syncd.remote.errors import (
    RefusedError,
    SignedOutError,
    UnreachableError,
    UntrustedError,
    refused,
)
from syncd.remote.pace import Backoff, TokenBucket

ANSWER_SIZE_LIMIT: Final = 2 * wire.BATCH_SIZE + 4 * 1024 * 1024
"""Bytes of an answer that are read; a larger one is not the protocol's."""
JSON_SIZE_LIMIT: Final = 1024 * 1024
ATTEMPTS: Final = 6
"""How often a request is sent before the server counts as unreachable."""

_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 60.0
_PIECE: Final = 64 * 1024
_JSON: Final = "application/json"
_LONGEST_RETRY_SECONDS: Final = 3600.0
_BUSY: Final = frozenset({429, 502, 503, 504})
_Message = TypeVar("_Message")


class AccessTokens(Protocol):
    """Where access tokens come from; `syncd.remote.credentials` has two."""

    def access(self, renew: _Renew, /) -> str:
        """Return an access token."""

    def refused(self, access: str, /) -> None:
        """Say that the server did not take it."""


class _Renew(Protocol):
    def __call__(self, refresh_token: str, /) -> TokenAnswer:
        """Exchange a refresh token."""


class Connection:
    """One server. Shared by threads; `close` ends what runs and waits.

    `up` and `down` limit the bytes of bodies. `url` is `https://host[:port]`, with no path.
    """

    def __init__(
        self,
        url: str,
        tokens: AccessTokens,
        *,
        up: TokenBucket | None = None,
        down: TokenBucket | None = None,
        connections: int = 8,
        ca_file: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise cas.InvalidError(f"{url!r} is not the address of a server: https://host")
        if parts.path.strip("/") or parts.query or parts.username:
            raise cas.InvalidError(f"{url!r}: a server's address has no path and no password")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.up = up or TokenBucket()
        self.down = down or TokenBucket()
        self._tokens = tokens
        self._closed = threading.Event()
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=False,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            ca_certs=ca_file,
        )

    def get(
        self,
        path: str,
        query: Mapping[str, str | int | bytes],
        expected: type[_Message],
        *,
        wait_seconds: float = 0.0,
    ) -> _Message:
        """Ask for a message; `wait_seconds` is how long the server may take to begin with it.

        Raises:
            RemoteError: there is none.
        """
        target = path + ("?" + _encoded(query) if query else "")
        return _decoded(self._ask("GET", target, None, wait_seconds), expected)

    def post(self, path: str, body: msgspec.Struct, expected: type[_Message]) -> _Message:
        """Send a message and return the one that answers it.

        Raises:
            RemoteError: there is none.
        """
        return _decoded(self._ask("POST", path, wire.encode_message(body), 0.0), expected)

    def token(self) -> str:
        """Return an access token, for the change feed.

        Raises:
            RemoteError: there is none to be had.
        """
        return self._tokens.access(self.renew)

    def post_json(self, path: str, body: object, expected: type[_Message]) -> _Message:
        """Send a JSON document without a token, once: signing in is not tried again by itself.

        Raises:
            RemoteError: there is no answer, or a refusal.
        """
        encoded = msgspec.json.encode(body)
        headers = {"Content-Type": _JSON}
        status, answer, retry_s = self._send("POST", path, encoded, headers, 0.0)
        if status in _BUSY:
            raise UnreachableError(f"the server is busy ({status})", retry_s)
        if status >= 400:  # noqa: PLR2004 - where errors begin in HTTP
            raise _refusal(status, answer)
        return _decoded_json(answer, expected)

    def ask_json(self, method: str, path: str, body: object, expected: type[_Message]) -> _Message:
        """Send a JSON document, or none, in this account's name, and return the one that answers.

        Raises:
            RemoteError: there is none.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        return _decoded_json(self._ask(method, path, encoded, 0.0, _JSON), expected)

    def get_json(self, path: str, expected: type[_Message]) -> _Message:
        """Return a JSON document that needs no token.

        Raises:
            RemoteError: there is none.
        """
        status, answer, retry_s = self._send("GET", path, None, {}, 0.0)
        if status in _BUSY:
            raise UnreachableError(f"the server is busy ({status})", retry_s)
        if status >= 400:  # noqa: PLR2004 - where errors begin in HTTP
            raise _refusal(status, answer)
        return _decoded_json(answer, expected)

    def renew(self, refresh_token: str) -> TokenAnswer:
        """Exchange a refresh token for a new pair.

        Raises:
            SignedOutError: it is not valid any more.
            RemoteError: there was no answer.
        """
        asked = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return self.post_json("token", asked, TokenAnswer)
        except RefusedError as error:
            if error.status in {400, 401, 403}:
                raise SignedOutError("this device's sign-in is not valid any more") from error
            raise

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until `close`.

        Raises:
            UnreachableError: it was closed.
        """
        if self._closed.wait(seconds):
            raise UnreachableError("the connection was closed")

    def close(self) -> None:
        """Close all connections; what waits ends with UnreachableError."""
        self._closed.set()
        self._pool.clear()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        wait_seconds: float,
        content_type: str = wire.MEDIA_TYPE,
    ) -> bytes:
        backoff = Backoff()
        last = UnreachableError("the server was not asked")
        is_renewed = False
        for attempt in range(ATTEMPTS):
            if attempt:
                self.pause(backoff.pause(last.retry_s))
            access = self._tokens.access(self.renew)
            headers = {"Authorization": f"Bearer {access}", "Content-Type": content_type}
            try:
                status, answer, retry_s = self._send(method, path, body, headers, wait_seconds)
            except UnreachableError as error:
                last = error
                continue
            if status == 401:  # noqa: PLR2004 - Unauthorized
                self._tokens.refused(access)
                if is_renewed:
                    raise SignedOutError("the server does not take this device's token")
                is_renewed = True
                last = UnreachableError("the server did not take the token")
                continue
            if status in _BUSY:
                last = UnreachableError(f"the server is busy ({status})", retry_s)
                continue
            if status >= 400:  # noqa: PLR2004 - where errors begin in HTTP
                raise _refusal(status, answer)
            return answer
        raise last

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        wait_seconds: float,
    ) -> tuple[int, bytes, float]:
        """Return status, body and Retry-After of one answer, whatever it says."""
        if self._closed.is_set():
            raise UnreachableError("the connection was closed")
        if body is not None:
            self.up.take(len(body), self._closed.wait)
            if self._closed.is_set():
                raise UnreachableError("the connection was closed")
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS + wait_seconds)
        url = f"{self.url}/api/v1/{path}"
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
                decode_content=False,
            )
            try:
                answer = self._read(response)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"no answer from {self.url}: {error}") from error
        return response.status, answer, _retry_after(response.headers.get("Retry-After"))

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        pieces = []
        size = 0
        while piece := response.read(_PIECE):
            size += len(piece)
            if size > ANSWER_SIZE_LIMIT:
                raise UntrustedError("the server's answer is too large")
            self.down.take(len(piece), self._closed.wait)
            pieces.append(piece)
        return b"".join(pieces)


def _refusal(status: int, answer: bytes) -> RefusedError:
    try:
        refusal = wire.decode_message(answer, wire.Refusal)
    except cas.InvalidError:
        refusal = _plain_refusal(status, answer)
    return refused(status, refusal)


class _Problem(msgspec.Struct):
    kind: str
    message: str


def _plain_refusal(status: int, answer: bytes) -> wire.Refusal:
    """Return a refusal that came as JSON, or from a proxy in between."""
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return wire.Refusal("error", f"the server answered {status}")
    return wire.Refusal(problem.kind, problem.message)


def _decoded(answer: bytes, expected: type[_Message]) -> _Message:
    try:
        return wire.decode_message(answer, expected)
    except cas.InvalidError as error:
        raise UntrustedError(f"the server's answer is malformed: {error}") from error


def _decoded_json(answer: bytes, expected: type[_Message]) -> _Message:
    try:
        return msgspec.json.decode(answer[:JSON_SIZE_LIMIT], type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UntrustedError(f"the server's answer is malformed: {error}") from error


def _encoded(query: Mapping[str, str | int | bytes]) -> str:
    return "&".join(
        f"{name}={quote(value if isinstance(value, bytes) else str(value), safe='')}"
        for name, value in query.items()
    )


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After; 0 of a date, which our servers never send."""
    return (
        min(float(value), 3600.0)
        if value is not None and value.isascii() and value.isdigit()
        else 0.0
    )
