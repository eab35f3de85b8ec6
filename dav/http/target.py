"""Request targets and host names (RFC 9112, section 3.2; RFC 3986). Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from dav.http.errors import RefusedError

_BAD_REQUEST: Final = "400 Bad Request"
# Raw UTF-8 is let through as bytes: curl sends it for names typed on a command line.
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]+")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)", re.DOTALL)
_HOST: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)"
    r"(?::(?P<port>[0-9]{0,5}))?",
)
_MAX_PORT: Final = 65535
_ESCAPED_SLASH: Final = re.compile(rb"(?i)%2f")


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """A request target, taken apart.

    Attributes:
        raw: The target as sent, as latin-1 text.
        path: The decoded path as WSGI wants it: bytes as latin-1 text. An encoded slash stays
            `%2F`: it is not a separator. `*` for the asterisk form.
        query: The query as sent, without the question mark.
        authority: Host and port of an absolute target, else empty.
    """

    raw: str
    path: str
    query: str
    authority: str


@lru_cache(maxsize=256)
def check_host(value: str) -> bool:
    """Whether `value` is a host name or address with an optional port (RFC 3986, 3.2.2)."""
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    if match["six"] is not None:
        try:
            IPv6Address(match["six"])
        except AddressValueError:
            return False
    return int(match["port"] or 0) <= _MAX_PORT


def parse_target(method: str, raw: bytes) -> RequestTarget:
    """Take a request target apart: origin, absolute or asterisk form. Raises RefusedError."""
    if _TARGET.fullmatch(raw) is None:
        raise RefusedError(_BAD_REQUEST, "The request target holds a character that must not be.")
    if method == "CONNECT":
        raise RefusedError("501 Not Implemented", "This server is no proxy.")
    text = raw.decode("latin-1")
    if raw == b"*":
        if method != "OPTIONS":
            raise RefusedError(_BAD_REQUEST, "The target '*' is for OPTIONS alone.")
        return RequestTarget(raw=text, path="*", query="", authority="")
    authority = ""
    rest = raw
    if not raw.startswith(b"/"):
        authority, rest = _split_absolute(raw)
    path, _, query = rest.partition(b"?")
    if not path and method == "OPTIONS" and not query:
        return RequestTarget(raw=text, path="*", query="", authority=authority)
    if _BAD_ESCAPE.search(path) is not None:
        raise RefusedError(_BAD_REQUEST, "The request target holds a broken percent escape.")
    return RequestTarget(
        raw=text,
        path=_decode_path(path or b"/"),
        query=query.decode("latin-1"),
        authority=authority,
    )


def _split_absolute(raw: bytes) -> tuple[str, bytes]:
    """RFC 9112, 3.2.2: a server has to take the absolute form too."""
    match = _ABSOLUTE.fullmatch(raw)
    if match is None or match[1].lower() not in {b"http", b"https"}:
        raise RefusedError(_BAD_REQUEST, "The request target is neither a path nor an http URL.")
    authority = match[2].decode("latin-1")
    if not check_host(authority):
        raise RefusedError(_BAD_REQUEST, "The request target's host is not a host name.")
    return authority, match[3]


def _decode_path(path: bytes) -> str:
    if b"%" not in path:
        return path.decode("latin-1")
    pieces = [unquote_to_bytes(piece) for piece in _ESCAPED_SLASH.split(path)]
    return b"%2F".join(pieces).decode("latin-1")
