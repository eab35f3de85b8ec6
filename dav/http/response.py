"""Response heads: status and fields in, bytes out. Nothing that could split an answer gets out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from dav.http.errors import ResponseError

SERVER_NAME: Final = "casdav"
_NAME_CHARACTERS: Final = (
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_STATUS_LENGTH: Final = 3


@lru_cache(maxsize=2)
def _format_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def current_date() -> str:
    """The value of a Date field, now."""
    return _format_date(int(time.time()))


@lru_cache(maxsize=512)
def lower_field_name(name: str) -> str:
    """The field name in lower case. Raises ResponseError when it is not a token."""
    if not name or name.strip(_NAME_CHARACTERS):
        raise ResponseError(f"The response field name {name!r} is not a token.")
    return name.lower()


@lru_cache(maxsize=256)
def status_code(status: str) -> int:
    """The number of a WSGI status. Raises ResponseError when there is no good one."""
    code, space, _ = status.partition(" ")
    if len(code) != _STATUS_LENGTH or not (code.isascii() and code.isdigit()) or not space:
        raise ResponseError(f"The response status {status!r} is not a number and a phrase.")
    if not "200" <= code <= "599":
        raise ResponseError(f"The response status {status!r} is not a final one.")
    return int(code)


def render_head(status: str, fields: Sequence[tuple[str, str]]) -> bytes:
    """The bytes of a response head. Raises ResponseError for a character that must not be there."""
    lines = [f"HTTP/1.1 {status}"]
    lines.extend([f"{name}: {value}" for name, value in fields])
    try:
        head = "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ResponseError("A response field holds a character beyond latin-1.") from error
    breaks = len(lines) - 1
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\0" in head:
        # The value is left out of the message: it may hold a secret.
        raise ResponseError("A response field holds a line break or a NUL.")
    return head + b"\r\n\r\n"


def render_error(
    status: str,
    reason: str,
    *,
    with_body: bool = True,
) -> bytes:
    """A whole short answer in plain text, after which the connection closes."""
    body = f"{reason}\n".encode()
    head = render_head(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            ("Date", current_date()),
            ("Server", SERVER_NAME),
        ],
    )
    return head + body if with_body else head
