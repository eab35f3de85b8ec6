"""One request of the API: who asks, with which parameters and body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment

import msgspec

import cas
from cas import wire
from dav.api.answers import refused
from dav.environment import header
from dav.identity import Principal

if TYPE_CHECKING:
    from dav.api.news import News
    from dav.api.settings import ApiSettings
    from dav.auth import Authenticator

JSON_SIZE_LIMIT: Final = 64 * 1024
"""Bytes of a JSON body."""
QUERY_FIELD_LIMIT: Final = 20

_Message = TypeVar("_Message")


class Services(NamedTuple):
    """What all requests share."""

    repository: cas.Repository
    authenticator: Authenticator
    settings: ApiSettings
    deliveries: cas.Deliveries
    parts: cas.FileParts
    keys: cas.ContentKeys
    news: News
    feed_url: Callable[[WSGIEnvironment], str]


class Readable(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, fewer only at the end."""


@dataclass(frozen=True)
class Call:
    """One request. `rest` is the path behind the route's own, decoded; `""` for most routes."""

    services: Services
    environ: WSGIEnvironment
    principal: Principal
    rest: str = ""

    @property
    def repository(self) -> cas.Repository:
        """What is served."""
        return self.services.repository

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return str(self.environ["REQUEST_METHOD"])

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return str(self.environ.get("REMOTE_ADDR", ""))

    def header(self, name: str) -> str | None:
        """Return a header's value, None where it is absent."""
        return header(self.environ, name)

    @property
    def account(self) -> bytes:
        """The random id of the user, 16 bytes."""
        user = self.services.authenticator.registry.state().users.get(self.principal.name)
        if user is None:
            raise refused(401, "unauthorized", "this account is gone")
        return user.id

    def body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            RefusedError: 413 where it is longer than `limit` bytes.
            OSError: it could not be read to its end.
        """
        length = self.environ.get("CONTENT_LENGTH")
        is_chunked = "chunked" in (self.header("Transfer-Encoding") or "").lower()
        if not length and not is_chunked:
            return b""
        wanted = int(length) if length else limit + 1
        if wanted <= limit + 1 and not (length and wanted > limit):
            stream: Readable = self.environ["wsgi.input"]
            found = stream.read(wanted)
            if len(found) <= limit:
                return found
        raise refused(413, "invalid", f"a body may have {limit} bytes here")

    def message(self, expected: type[_Message]) -> _Message:
        """Return the message that the body is.

        Raises:
            InvalidError: it is none.
        """
        return wire.decode_message(self.body(wire.REQUEST_SIZE_LIMIT), expected)

    def document(self, expected: type[_Message]) -> _Message:
        """Return what the JSON body holds.

        Raises:
            InvalidError: it is none.
        """
        kind = (self.header("Content-Type") or "application/json").partition(";")[0].strip()
        if kind.lower() != "application/json":
            raise refused(415, "invalid", "the body has to be application/json")
        try:
            return msgspec.json.decode(self.body(JSON_SIZE_LIMIT), type=expected)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise cas.InvalidError(f"the body is not what is expected here: {error}") from error

    def query(self) -> dict[str, bytes]:
        """Return the parameters of the query.

        Raises:
            InvalidError: it is malformed, or has one of them twice.
        """
        text = str(self.environ.get("QUERY_STRING", ""))
        found: dict[str, bytes] = {}
        pairs = text.split("&") if text else []
        if len(pairs) > QUERY_FIELD_LIMIT:
            raise cas.InvalidError("too many parameters in the query")
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals or name in found:
                raise cas.InvalidError(f"the parameter {name!r} is malformed, or there twice")
            found[name] = unquote_to_bytes(value.replace("+", " "))
        return found


def number(query: dict[str, bytes], name: str, default: int, most: int) -> int:
    """Return a parameter that is a number from 0 to `most`.

    Raises:
        InvalidError: it is none.
    """
    value = query.get(name)
    if value is None:
        return default
    if not value.isdigit() or len(value) > len(str(most)) or int(value) > most:
        raise cas.InvalidError(f"{name} has to be a number from 0 to {most}")
    return int(value)


def text(query: dict[str, bytes], name: str, default: str = "") -> str:
    """Return a parameter that is text.

    Raises:
        InvalidError: it is not UTF-8.
    """
    try:
        return query.get(name, default.encode()).decode()
    except UnicodeDecodeError as error:
        raise cas.InvalidError(f"{name} has to be UTF-8") from error
