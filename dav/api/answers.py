"""What a request of the API is answered with, and the exception that ends one early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

import cas
from cas import wire
from dav.errors import answer_for, message_for

JSON: Final = "application/json"

Headers = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """Status, body and headers; a body that is no bytes object is streamed."""

    status: int
    body: bytes | Iterable[bytes] = b""
    content_type: str = JSON
    headers: Headers = ()


class RefusedError(Exception):
    """A request ends with this status and this refusal."""

    def __init__(self, status: int, refusal: wire.Refusal, headers: Headers = ()) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal
        self.headers = tuple(headers)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON body of a refusal: a stable code for machines, a sentence for people."""

    kind: str
    message: str
    retry_s: int = 0


def refused(status: int, kind: str, message: str, *, retry_s: int = 0) -> RefusedError:
    """Return a refusal without further details; `retry_s` becomes Retry-After too."""
    headers = [("Retry-After", str(retry_s))] if retry_s else []
    return RefusedError(status, wire.Refusal(kind, message, retry_s=retry_s), headers)


def not_found() -> RefusedError:
    """Return the answer to whoever asks for what is not there, or not for them."""
    return refused(404, "not_found", "there is nothing here for this account")


def message(value: msgspec.Struct, status: int = 200) -> Answer:
    """Return a message of syncd's protocol."""
    return Answer(status, wire.encode_message(value), wire.MEDIA_TYPE)


def document(value: object, status: int = 200, headers: Headers = ()) -> Answer:
    """Return a JSON document."""
    return Answer(status, msgspec.json.encode(value), JSON, headers)


def refusal_of(error: cas.CasError) -> RefusedError:
    """Return what an error of the engine is to a client of the API."""
    found = answer_for(error)
    status, kind = found.status, error.kind
    if isinstance(error, cas.NotKeptError):
        status = HTTPStatus.GONE
    elif isinstance(error, cas.ConflictError | cas.AlreadyExistsError):
        status, kind = HTTPStatus.CONFLICT, "conflict"
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        kind = "busy"
    return refused(status, kind, message_for(error), retry_s=found.retry_s)


def encode_refusal(error: RefusedError, *, as_message: bool) -> Answer:
    """Return the answer of a refusal, as a message of syncd's protocol or as JSON."""
    if as_message:
        found = message(error.refusal, error.status)
    else:
        refusal = error.refusal
        found = document(Problem(refusal.kind, refusal.message, refusal.retry_s), error.status)
    return found._replace(headers=error.headers)
