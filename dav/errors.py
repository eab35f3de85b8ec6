"""The engine's errors as answers of HTTP: one table, and the lock errors that name resources."""

from __future__ import annotations

from typing import Final, NamedTuple

import cas
from dav.status import HttpError


class Answer(NamedTuple):
    """Status and `DAV:` condition for an error; `retry_s` is the Retry-After in seconds."""

    status: int
    condition: str = ""
    retry_s: int = 0


# The most special class first: the first one that fits is taken.
TABLE: Final[tuple[tuple[type[cas.CasError], Answer], ...]] = (
    (cas.PreconditionError, Answer(412)),
    (cas.QuotaError, Answer(507, "quota-not-exceeded")),
    (cas.StoreFullError, Answer(507, "sufficient-disk-space")),
    (cas.PurgedError, Answer(410)),
    (cas.NotFoundError, Answer(404)),
    (cas.AlreadyExistsError, Answer(405)),
    (cas.ConflictError, Answer(409)),
    (cas.InvalidError, Answer(400)),
    (cas.ReadOnlyError, Answer(403)),
    (cas.LockedError, Answer(423, "lock-token-submitted")),
    (cas.ExpiredError, Answer(503, retry_s=1)),
    (cas.StoreError, Answer(500)),
    (cas.IntegrityError, Answer(500)),
    (cas.FormatError, Answer(500)),
    (cas.WrongKeyError, Answer(500)),
)
"""Error classes of the engine and their answers (design of status codes: RFC 4918, section 11)."""

_TRANSIENT: Final = Answer(503, retry_s=5)


def answer_for(error: cas.CasError) -> Answer:
    """Return the answer for an error of the engine."""
    if isinstance(error, cas.StoreError) and error.transient:
        return _TRANSIENT
    return next((answer for kind, answer in TABLE if isinstance(error, kind)), Answer(500))


def message_for(error: cas.CasError) -> str:
    """Return what a client is told; the paths of the server's disk are not for it."""
    if isinstance(error, cas.QuotaError) or not isinstance(error, cas.StoreError):
        return str(error)
    if isinstance(error, cas.StoreFullError):
        return "the server's disk is full"
    if error.transient:
        return "the server could not store this now: send it again"
    return "the server's disk failed; its log says more"


def to_http(error: cas.CasError) -> HttpError:
    """Return an error of the engine as the end of a request."""
    answer = answer_for(error)
    headers = [("Retry-After", str(answer.retry_s))] if answer.retry_s else []
    message = message_for(error)
    return HttpError(answer.status, message, condition=answer.condition, headers=headers)
