"""The pages for browsers, without scripts: login, logout, the volumes and how to mount them.

`dav.gate` decides which requests come here. A form counts only if it carries the token of a page
that this browser got: a keyed hash of a cookie that other sites cannot read.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs, quote
from wsgiref.types import WSGIEnvironment

from dav.auth import (
    Authenticator,
    is_secure,
    session_cookie,
    session_cookie_name,
)
from dav.challenge import Challenge, Reason
from dav.credentials import FORM_SIZE_LIMIT, parse_cookies, parse_form
from dav.environment import await_body
from dav.home import home_page
from dav.identity import Principal
from dav.markup import ASKED_ICON, ICON, PAGE_HEADERS, STYLE_SHEET, Html, Response, page, render

LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
LOGIN_COOKIE: Final = "casdav-login"
SECURE_LOGIN_COOKIE: Final = "__Host-casdav-login"

_NEXT: Final = re.compile(r"/dav/[!-\[\]-~]{0,4000}", re.ASCII)
_OK: Final = "200 OK"
_WORDS: Final = {
    Reason.REFUSED: ("403 Forbidden", "The user name or the password is wrong."),
    Reason.THROTTLED: ("429 Too Many Requests", "Too many attempts. Try again in {} seconds."),
    Reason.BUSY: ("503 Service Unavailable", "The server is busy. Try again in {} seconds."),
}


class Pages:
    """Answers browsers. One per process, shared by its threads."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._sessions = authenticator.sessions
        self._routes: Mapping[str, Mapping[str, Callable[[WSGIEnvironment], Response]]] = {
            LOGIN: {"GET": self._login_form, "HEAD": self._login_form, "POST": self._login},
            LOGOUT: {"POST": self._logout},
            STYLE_SHEET: dict.fromkeys(("GET", "HEAD"), _style_sheet),
            ICON: dict.fromkeys(("GET", "HEAD"), _icon),
            ASKED_ICON: dict.fromkeys(("GET", "HEAD"), _asked_icon),
        }

    def has(self, path: str) -> bool:
        """Return whether a path is one of these pages, whoever asks."""
        return path in self._routes

    def answer(self, environ: WSGIEnvironment) -> Response:
        """Return the answer to a request for one of these pages."""
        methods = self._routes[environ["PATH_INFO"]]
        handler = methods.get(environ["REQUEST_METHOD"])
        if handler is None:
            return _plain("405 Method Not Allowed", ("Allow", ", ".join(methods)))
        return handler(environ)

    def home(self, environ: WSGIEnvironment, principal: Principal) -> Response:
        """Return the page with the volumes that somebody may open."""
        cookie = session_cookie(environ)
        if cookie:
            token = self._sessions.form_token(cookie)
            header = render("signed_in.html", name=principal.name, token=token)
        else:
            header = render("name.html", name=principal.name)
        body = home_page(environ, principal, self._authenticator.rights)
        return Response(_OK, list(PAGE_HEADERS), page("casdav", header, body))

    def to_login(self, environ: WSGIEnvironment) -> Response:
        """Send a browser to the login page, and back here after it."""
        target = safe_next(str(environ.get("REQUEST_URI", "")))
        query = f"?next={quote(target, safe='/')}" if target else ""
        return _redirect(LOGIN + query)

    def _login_form(self, environ: WSGIEnvironment) -> Response:
        target = safe_next(parse_qs(environ.get("QUERY_STRING", "")).get("next", [""])[0])
        if isinstance(self._authenticator.authenticate(environ), Principal):
            return _redirect(target or "/")
        return self._form(environ, _OK, target)

    def _form(
        self, environ: WSGIEnvironment, status: str, target: str, user: str = "", message: str = ""
    ) -> Response:
        """Return the login page, with the cookie that its form needs."""
        cookie = _login_cookie(environ) or secrets.token_urlsafe(32)
        body = render(
            "login.html",
            message=render("message.html", text=message) if message else Html(),
            token=self._sessions.form_token(cookie),
            next=target,
            user=user,
        )
        set_cookie = _set_cookie(environ, _login_cookie_name(environ), cookie)
        return Response(
            status, [*PAGE_HEADERS, set_cookie], page("Sign in to casdav", Html(), body)
        )

    def _login(self, environ: WSGIEnvironment) -> Response:
        fields = _read_form(environ)
        if fields is None:
            return _plain("400 Bad Request")
        target = safe_next(fields.get("next", ""))
        user = fields.get("user", "")
        if not self._is_own_form(environ, _login_cookie(environ), fields):
            expired = "The page was too old. Please sign in again."
            return self._form(environ, "403 Forbidden", target, user, expired)
        address = environ.get("REMOTE_ADDR", "")
        outcome = self._authenticator.sign_in(user, fields.get("password", ""), address)
        if isinstance(outcome, Challenge):
            status, words = _WORDS[outcome.reason]
            refusal = self._form(environ, status, target, user, words.format(outcome.wait_seconds))
            if outcome.wait_seconds:
                refusal.headers.append(("Retry-After", str(outcome.wait_seconds)))
            return refusal
        before = session_cookie(environ)
        if before:
            self._sessions.end(before)
        environ["casdav.user"] = outcome.name
        token = self._sessions.open(outcome, self._authenticator.registry.state())
        return _redirect(
            target or "/",
            _set_cookie(environ, session_cookie_name(environ), token),
            _set_cookie(environ, _login_cookie_name(environ), ""),
        )

    def _logout(self, environ: WSGIEnvironment) -> Response:
        fields = _read_form(environ)
        cookie = session_cookie(environ)
        if fields is None or not self._is_own_form(environ, cookie, fields):
            return _redirect("/")  # Nothing to end, or nobody who may end it.
        self._sessions.end(cookie)
        return _redirect(LOGIN, _set_cookie(environ, session_cookie_name(environ), ""))

    def _is_own_form(
        self, environ: WSGIEnvironment, cookie: str, fields: Mapping[str, str]
    ) -> bool:
        """Return whether a form was sent from a page of ours in the same browser."""
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in {"same-origin", "none"}:
            return False
        return self._sessions.is_form_token(cookie, fields.get("form", ""))


def safe_next(target: str) -> str:
    """Return where to go after login if that is a path of the drive; empty if it is not."""
    return target if _NEXT.fullmatch(target) else ""


def _login_cookie_name(environ: WSGIEnvironment) -> str:
    return SECURE_LOGIN_COOKIE if is_secure(environ) else LOGIN_COOKIE


def _login_cookie(environ: WSGIEnvironment) -> str:
    return parse_cookies(environ.get("HTTP_COOKIE", "")).get(_login_cookie_name(environ), "")


def _set_cookie(environ: WSGIEnvironment, name: str, value: str) -> tuple[str, str]:
    """Return a header that sets a cookie until the browser closes; an empty value removes it."""
    attributes = ["Path=/", "HttpOnly", "SameSite=Strict"]
    if is_secure(environ):
        attributes.append("Secure")
    if not value:
        attributes.append("Max-Age=0")
    return "Set-Cookie", "; ".join([f"{name}={value}", *attributes])


def _read_form(environ: WSGIEnvironment) -> dict[str, str] | None:
    """Return the fields of a request's form; None where it is malformed or too long."""
    await_body(environ)
    length = environ.get("CONTENT_LENGTH") or ""
    if length:
        if not length.isdecimal() or int(length[:9]) > FORM_SIZE_LIMIT:
            return None
        size = int(length)
    elif environ.get("wsgi.input_terminated"):
        size = FORM_SIZE_LIMIT + 1
    else:
        return None
    body = b""
    while len(body) < size:
        piece = environ["wsgi.input"].read(size - len(body))
        if not piece:
            break
        body += piece
    return parse_form(environ.get("CONTENT_TYPE", ""), body)


def _redirect(target: str, *headers: tuple[str, str]) -> Response:
    return _plain("303 See Other", ("Location", target), *headers)


def _plain(status: str, *headers: tuple[str, str]) -> Response:
    kept = [pair for pair in PAGE_HEADERS if pair[0] != "Content-Type"]
    text = ("Content-Type", "text/plain; charset=utf-8")
    return Response(status, [text, *kept, *headers], status.partition(" ")[2].encode() + b"\n")


def _style_sheet(_environ: WSGIEnvironment) -> Response:
    return _file("casdav.css", "text/css; charset=utf-8")


def _icon(_environ: WSGIEnvironment) -> Response:
    return _file("casdav.svg", "image/svg+xml")


def _asked_icon(environ: WSGIEnvironment) -> Response:
    # A text is shown in a sandbox, which counts as another origin.
    status, headers, body = _icon(environ)
    kept = [pair for pair in headers if pair[0] != "Cross-Origin-Resource-Policy"]
    return Response(status, [*kept, ("Cross-Origin-Resource-Policy", "cross-origin")], body)


def _file(name: str, content_type: str) -> Response:
    kept = [pair for pair in PAGE_HEADERS if pair[0] not in {"Content-Type", "Cache-Control"}]
    caching = ("Cache-Control", "max-age=3600")
    body = files("dav").joinpath("static", name).read_bytes()
    return Response(_OK, [("Content-Type", content_type), caching, *kept], body)
