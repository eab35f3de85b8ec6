"""Reading the WSGI environment: header fields and the request target."""

from __future__ import annotations

from functools import cache
from typing import Final
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from dav.http.gateway import AWAIT_BODY, CLAIM_THREAD

_WITHOUT_PREFIX: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
_PAGE_METHODS: Final = frozenset({"GET", "HEAD"})


def header(environ: WSGIEnvironment, name: str) -> str | None:
    """Return a header's value by one of the names that this code asks for, None if absent."""
    key = _key(name)
    value: str | None = environ.get(key)
    return None if value == "" and key in _WITHOUT_PREFIX else value


def raw_target(environ: WSGIEnvironment) -> str:
    """Return the request target as it was sent; rebuilt where the server does not keep it."""
    raw: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw is not None:
        return raw
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return quote(path.encode("latin-1", "replace"))


def wants_page(environ: WSGIEnvironment) -> bool:
    """Return whether this is a browser that opens a page; DAV clients do not ask for HTML."""
    is_asking = environ["REQUEST_METHOD"] in _PAGE_METHODS
    return is_asking and "text/html" in environ.get("HTTP_ACCEPT", "").lower()


def await_body(environ: WSGIEnvironment) -> None:
    """See that no thread waits for the body of somebody who has not signed in.

    Other servers than ours may let one wait.

    Raises:
        Exception: what the server wants to know, by which it calls the application again when the
            body is here, or answers that it is too long.
    """
    server = environ.get(AWAIT_BODY)
    if server is not None:
        server()


def claim_thread(environ: WSGIEnvironment, user: str) -> None:
    """Say whose request this is, `""` for who has not signed in.

    Raises:
        Exception: what the server wants to know, by which it calls the application again when
            this user's requests hold fewer of its threads, so that others find some.
    """
    server = environ.get(CLAIM_THREAD)
    if server is not None:
        server(user)


@cache
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"
