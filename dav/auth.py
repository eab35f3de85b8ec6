"""Finds out who sends a request, from what it carries and nothing else.

In this order, and only the first that the request has:

1. `Authorization: Basic` with an app password, found by its keyed hash.
2. `Authorization: Basic` with the user's own password: the cache of verified passwords, then the
   throttle, then Argon2, one hash at a time in the process.
3. `Authorization: Bearer` with an access token.
4. A browser's session cookie, which reads only.

No answer tells whether there is a user of a name: an unknown or disabled user, one without a
password and a wrong password take the same way, the same one Argon2 hash, the same counters and
the same 401. A refused attempt never sleeps: the client is told to wait (429), so that guessing
holds no worker thread. 429 and not 401, since a client that gets 401 for a right password throws
it away and asks its user.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from wsgiref.types import WSGIEnvironment

import cas
from dav import access_tokens, app_passwords
from dav.access_tokens import AccessTokens, TokenRefusedError
from dav.app_passwords import LastUse
from dav.audit import AuditLog
from dav.challenge import Challenge, Reason
from dav.credentials import Basic, Bearer, parse_authorization, parse_cookies
from dav.devices import Devices, standing_user
from dav.grants import Rights
from dav.identity import Method, Principal, Scope
from dav.password_check import PasswordCheck
from dav.records import AppPassword, User
from dav.registry import Registry, State
from dav.session import Sessions
from dav.usernames import login_name

SESSION_COOKIE: Final = "casdav-session"
SECURE_SESSION_COOKIE: Final = "__Host-casdav-session"
"""Under TLS: a browser takes this name only from this very host, over TLS."""


class Authenticator:
    """Authenticates requests to one repository. One per process, shared by its threads.

    `clock` returns nanoseconds since the epoch; `audit` notes who comes in and who does not.
    """

    def __init__(
        self,
        repository: cas.Repository,
        clock: Callable[[], int] = time.time_ns,
        audit: AuditLog | None = None,
    ) -> None:
        scratch = repository.scratch
        self._audit = audit
        self.registry = Registry(repository)
        self.rights = Rights(self.registry)
        self.sessions = Sessions(scratch, repository.secret("sessions"), clock)
        self._clock = clock
        self.tokens: AccessTokens = access_tokens.access_tokens(repository, clock)
        self.devices = Devices(repository, clock)
        self._last_use = LastUse(scratch, clock)
        self._own_passwords = PasswordCheck(self.registry, clock)

    def authenticate(self, environ: WSGIEnvironment) -> Principal | Challenge:
        """Return who sends the request, or what to answer."""
        header = environ.get("HTTP_AUTHORIZATION")
        if header is None:
            return self._by_session(environ) or Challenge(Reason.NO_CREDENTIALS)
        match parse_authorization(header):
            case Basic(user, password):
                return self.sign_in(user, password, environ.get("REMOTE_ADDR", ""))
            case None:
                return Challenge(Reason.REFUSED)
            case bearer:
                outcome = self._by_token(bearer.token)
                self._note(outcome, "", environ.get("REMOTE_ADDR", ""), Method.JWT)
                return outcome

    def by_bearer(self, header: str) -> Principal | None:
        """Return who an Authorization header with a bearer token stands for, None for nobody."""
        match parse_authorization(header):
            case Bearer(token):
                outcome = self._by_token(token)
                return outcome if isinstance(outcome, Principal) else None
            case _:
                return None

    def stands(self, principal: Principal) -> bool:
        """Return whether a principal with a token may still come in, whatever its token's time."""
        state = self.registry.state()
        if principal.device:
            device = state.devices.get(principal.token_id)
            return device is not None and standing_user(state, device, self._clock()) is not None
        user = state.users.get(principal.name)
        return user is not None and not user.disabled

    def sign_in(self, typed: str, password: str, address: str) -> Principal | Challenge:
        """Return who has this name and password, an app password or the user's own.

        `address` is where the attempt comes from, for the throttle.
        """
        name = login_name(typed)
        exact = app_passwords.parse(password)
        if exact is not None:
            outcome = self._by_app_password(self.registry.state(), name, exact)
        else:
            outcome = self._by_own_password(name, typed, password, address)
        method = Method.PASSWORD if exact is None else Method.APP_PASSWORD
        self._note(outcome, name, address, method)
        return outcome

    def _note(
        self, outcome: Principal | Challenge, name: str, address: str, method: Method
    ) -> None:
        if self._audit is None:
            return
        if isinstance(outcome, Principal):
            self._audit.enter(outcome.name, address, outcome.method, outcome.token_id)
        else:
            self._audit.refuse(name, address, method.value, outcome.reason)

    def _by_own_password(
        self, name: str, typed: str, password: str, address: str
    ) -> Principal | Challenge:
        user = self.registry.state().users.get(name)
        # A name that can be nobody's is counted as it was typed, like one that could.
        challenge = self._own_passwords.check(user, name or typed, password, address)
        if challenge is not None or user is None:
            return challenge or Challenge(Reason.REFUSED)
        return _principal(user, Method.PASSWORD)

    def _by_app_password(self, state: State, name: str, exact: str) -> Principal | Challenge:
        token = app_passwords.find(self.registry.repository, state, exact, self._clock())
        user = state.users.get(name)
        if token is None or user is None or not _belongs(token, user):
            return Challenge(Reason.REFUSED)
        self._last_use.note(token)
        return _principal(user, Method.APP_PASSWORD, token.scope, token.id)

    def _by_token(self, token: str) -> Principal | Challenge:
        try:
            claims = self.tokens.verify(token)
        except TokenRefusedError:
            return Challenge(Reason.REFUSED, bearer=True)
        state = self.registry.state()
        user = state.users.get(claims.sub)
        if user is None or user.disabled or user.epoch.hex() != claims.epoch:
            return Challenge(Reason.REFUSED, bearer=True)
        if not claims.device:
            return _principal(user, Method.JWT, claims.scope)
        device = state.devices.get(claims.device)
        if device is None or standing_user(state, device, self._clock()) != user:
            return Challenge(Reason.REFUSED, bearer=True)
        return Principal(
            user.name, user.role, Method.JWT, claims.scope, device.id, device=device.name
        )

    def _by_session(self, environ: WSGIEnvironment) -> Principal | None:
        cookie = session_cookie(environ)
        return self.sessions.find(cookie, self.registry.state()) if cookie else None


def session_cookie(environ: WSGIEnvironment) -> str:
    """Return the value of a request's session cookie; empty where it has none."""
    cookies = parse_cookies(environ.get("HTTP_COOKIE", ""))
    return cookies.get(session_cookie_name(environ), "")


def session_cookie_name(environ: WSGIEnvironment) -> str:
    """Return how the session cookie is called, which says whether it came over TLS."""
    return SECURE_SESSION_COOKIE if is_secure(environ) else SESSION_COOKIE


def is_secure(environ: WSGIEnvironment) -> bool:
    """Return whether the request came over TLS, to this server or to the proxy in front of it."""
    return bool(environ["wsgi.url_scheme"] == "https")


def _belongs(token: AppPassword, user: User) -> bool:
    """Return whether the app password is this user's, and the user may come in."""
    return token.user == user.name and token.user_id == user.id and not user.disabled


def _principal(
    user: User,
    method: Method,
    scope: Scope = Scope(),  # noqa: B008 - immutable
    token_id: str = "",
) -> Principal:
    return Principal(user.name, user.role, method, scope, token_id)
