"""Signing in to the API: bearer tokens and app passwords, and what somebody else is told."""

from __future__ import annotations

from typing import Final
from wsgiref.types import WSGIEnvironment

from cas import wire
from dav.api.answers import RefusedError
from dav.auth import Authenticator
from dav.challenge import Challenge, Reason
from dav.identity import Method, Principal

_KINDS: Final = {401: "unauthorized", 429: "throttled", 503: "busy"}


def sign_in(authenticator: Authenticator, environ: WSGIEnvironment) -> Principal:
    """Return who sends a request. A browser's cookie, which other sites can make it send, is none.

    Raises:
        RefusedError: 401, 429 or 503 for somebody who is not let in.
    """
    if "HTTP_AUTHORIZATION" not in environ:
        raise unauthorized(Challenge(Reason.NO_CREDENTIALS))
    outcome = authenticator.authenticate(environ)
    if isinstance(outcome, Challenge):
        raise unauthorized(outcome)
    if outcome.method is Method.SESSION:
        raise unauthorized(Challenge(Reason.NO_CREDENTIALS))
    return outcome


def unauthorized(challenge: Challenge) -> RefusedError:
    """Return the answer to somebody who is not let in."""
    status, _, words = challenge.status.partition(" ")
    refusal = wire.Refusal(_KINDS[int(status)], words, retry_s=challenge.wait_seconds)
    return RefusedError(int(status), refusal, challenge.headers)
