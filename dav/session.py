"""Sessions of browsers: a random cookie, its state in the scratch table under a keyed hash.

A session ends after 2 hours without a request, after 24 hours in any case, at logout, and when
its user's epoch is drawn anew or the app password behind it is revoked.

It only ever reads, as `dav.grants` has it: a cookie goes along with requests that other sites make
a browser send, so it must change nothing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import Final

import msgspec
from blake3 import blake3

import cas
from dav.identity import Method, Principal, Scope
from dav.registry import State

IDLE_NS: Final = 2 * 3600 * 1_000_000_000
ABSOLUTE_NS: Final = 24 * 3600 * 1_000_000_000
SEEN_PRECISION_NS: Final = 60 * 1_000_000_000
"""The time of the last request is written down at most this often."""
TOKEN_SIZE: Final = 32

_logger = logging.getLogger(__name__)


class _Session(msgspec.Struct, array_like=True, frozen=True):
    user: str
    epoch: bytes
    created_ns: int
    seen_ns: int
    scope: Scope
    digest: bytes
    """Of the app password that opened it, empty for the user's own password."""


class Sessions:
    """Opens, finds and ends the sessions of one repository. Thread-safe.

    `key` is 32 secret bytes; `clock` returns nanoseconds since the epoch.
    """

    def __init__(self, scratch: cas.Scratch, key: bytes, clock: Callable[[], int]) -> None:
        self._scratch = scratch
        self._key = key
        self._clock = clock

    def open(self, principal: Principal, state: State) -> str:
        """Open a session for somebody who has just signed in; return the cookie's value."""
        token = secrets.token_urlsafe(TOKEN_SIZE)
        now = self._clock()
        used = (app for app in state.app_passwords.values() if app.id == principal.token_id)
        session = _Session(
            user=principal.name,
            epoch=state.users[principal.name].epoch,
            created_ns=now,
            seen_ns=now,
            scope=principal.scope,
            digest=next((app.digest for app in used), b""),
        )
        self._store(token, session)
        return token

    def find(self, token: str, state: State) -> Principal | None:
        """Return who the cookie's value stands for, and keep the session awake."""
        session = self._load(token)
        if session is None:
            return None
        now = self._clock()
        user = state.users.get(session.user)
        app = state.app_passwords.get(session.digest) if session.digest else None
        if (
            user is None
            or user.disabled
            or not compare_digest(user.epoch, session.epoch)
            or (session.digest and (app is None or 0 < app.expires_ns <= now))
        ):
            self.end(token)
            return None
        if now - session.seen_ns >= SEEN_PRECISION_NS:
            self._keep_awake(token, msgspec.structs.replace(session, seen_ns=now))
        return Principal(
            name=user.name,
            role=user.role,
            method=Method.SESSION,
            scope=session.scope,
            token_id=app.id if app is not None else "",
        )

    def end(self, token: str) -> None:
        """End a session; nothing happens where there is none."""
        self._scratch.delete(self._name(token))

    def form_token(self, cookie: str) -> str:
        """Return what a form must carry to come from a page of ours that saw this cookie."""
        return blake3(b"form\0" + cookie.encode("utf-8"), key=self._key).hexdigest(length=16)

    def is_form_token(self, cookie: str, typed: str) -> bool:
        """Return whether a form carried what it must; never without a cookie."""
        expected = self.form_token(cookie).encode("ascii")
        return bool(cookie) and compare_digest(expected, typed.encode("utf-8"))

    def _load(self, token: str) -> _Session | None:
        """Return a session whose time is not over."""
        stored = self._scratch.get(self._name(token))
        if stored is None:
            return None
        session = msgspec.msgpack.decode(stored, type=_Session)
        return session if self._clock() < _end_ns(session) else None

    def _keep_awake(self, token: str, session: _Session) -> None:
        try:
            self._store(token, session)
        except cas.StoreError as error:  # A full disk must not keep anybody from reading.
            _logger.warning("a session cannot be kept awake: %s", error)

    def _store(self, token: str, session: _Session) -> None:
        value = msgspec.msgpack.encode(session)
        self._scratch.put(self._name(token), value, expires_ns=_end_ns(session))

    def _name(self, token: str) -> bytes:
        return b"session/" + blake3(token.encode("utf-8"), key=self._key).digest()


def _end_ns(session: _Session) -> int:
    return min(session.seen_ns + IDLE_NS, session.created_ns + ABSOLUTE_NS)
