"""Reads what a client sends to prove who it is. Pure; whatever is malformed is None.

The limits are generous for people and programs and small for an attacker: nothing here can be
made to do much work.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

HEADER_SIZE_LIMIT: Final = 8192
"""Characters of an Authorization or Cookie header; a longer one counts as malformed."""
FORM_SIZE_LIMIT: Final = 8192
"""Bytes of a form's body."""
FORM_FIELD_LIMIT: Final = 10

_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class Basic(NamedTuple):
    """A user name as typed and a password (RFC 7617)."""

    user: str
    password: str


class Bearer(NamedTuple):
    """A token (RFC 6750)."""

    token: str


def parse_authorization(header: str) -> Basic | Bearer | None:
    """Return the credentials of an Authorization header; None where they are malformed.

    Two headers arrive as one with a comma, which neither scheme can hold: malformed.
    """
    if len(header) > HEADER_SIZE_LIMIT:
        return None
    scheme, _, rest = header.strip(" \t").partition(" ")
    rest = rest.strip(" \t")
    match scheme.lower():
        case "basic":
            return _parse_basic(rest)
        case "bearer" if _BEARER.fullmatch(rest):
            return Bearer(rest)
        case _:
            return None


def _parse_basic(encoded: str) -> Basic | None:
    try:
        decoded = binascii.a2b_base64(encoded.encode("ascii"), strict_mode=True).decode("utf-8")
    except (UnicodeError, binascii.Error):
        return None
    user, colon, password = decoded.partition(":")
    return Basic(user, password) if colon and is_typable(user, password) else None


def is_typable(*texts: str) -> bool:
    """Return whether the texts hold no control characters; RFC 7617 forbids them, NUL first."""
    return not any(map(_CONTROL.search, texts))


def parse_cookies(header: str) -> dict[str, str]:
    """Return the cookies of a Cookie header whose value could be ours; the first of a name wins."""
    cookies: dict[str, str] = {}
    if len(header) > HEADER_SIZE_LIMIT:
        return cookies
    for pair in header.split(";"):
        name, _, value = pair.strip(" \t").partition("=")
        if _COOKIE.fullmatch(value):
            cookies.setdefault(name, value)
    return cookies


def parse_form(content_type: str, body: bytes) -> dict[str, str] | None:
    """Return the fields of a form that a browser sent; None where it is malformed.

    A field sent twice is malformed: no form of ours does that.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    if len(body) > FORM_SIZE_LIMIT:
        return None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FORM_FIELD_LIMIT,
        )
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) and is_typable(*fields.values()) else None
