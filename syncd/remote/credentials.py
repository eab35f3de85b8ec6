"""A device's tokens: the access token of the moment, and the refresh token that is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from syncd.remote.errors import SignedOutError

_EARLY_SECONDS: Final = 60.0
"""An access token is renewed so long before its end."""


class RefreshTokens(Protocol):
    """Where the refresh token is kept. It changes each time that it is used."""

    def load(self) -> str:
        """Return the token, empty where there is none."""

    def save(self, token: str) -> None:
        """Keep a token in place of the last one; durable on return."""


class TokenAnswer(msgspec.Struct, frozen=True):
    """What the server answers to a sign-in; `expires_in` is seconds."""

    access_token: str
    expires_in: int
    refresh_token: str = ""
    device_id: str = ""

    def __repr__(self) -> str:
        """Leave out the tokens: this may end up in a log."""
        return f"TokenAnswer(expires_in={self.expires_in})"


class Credentials:
    """Gives out a valid access token. Shared by threads.

    `renew` exchanges a refresh token at the server. It raises SignedOutError where that is not
    valid any more, and whatever else keeps it from answering.
    """

    def __init__(self, kept: RefreshTokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._access = ""
        self._until = 0.0

    def access(self, renew: Callable[[str], TokenAnswer]) -> str:
        """Return an access token, a new one where the last one has ended or was refused.

        Raises:
            SignedOutError: the device has to sign in anew.
        """
        with self._lock:
            if not self._access or self._clock() >= self._until:
                self._renew(renew)
            return self._access

    def refused(self, access: str) -> None:
        """Say that the server did not take an access token."""
        with self._lock:
            if access == self._access:
                self._access = ""

    def take(self, answer: TokenAnswer) -> None:
        """Keep what a sign-in gave."""
        with self._lock:
            self._take(answer)

    def _renew(self, renew: Callable[[str], TokenAnswer]) -> None:
        token = self._kept.load()
        if not token:
            raise SignedOutError("this device has not signed in")
        self._take(renew(token))

    def _take(self, answer: TokenAnswer) -> None:
        if answer.refresh_token:
            self._kept.save(answer.refresh_token)  # first: the old one is worth nothing any more
        self._access = answer.access_token
        self._until = self._clock() + max(answer.expires_in - _EARLY_SECONDS, 1.0)


class FixedToken:
    """Credentials of one access token, for a command that is done before it ends."""

    def __init__(self, access: str) -> None:
        self._access = access

    def access(self, renew: Callable[[str], TokenAnswer]) -> str:
        """Return the token."""
        if not self._access:
            raise SignedOutError("the token is not valid any more")
        return self._access

    def refused(self, access: str) -> None:
        """Say that the server did not take it."""
        self._access = ""
