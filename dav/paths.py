"""From request targets to names and back (RFC 3986; RFC 4918, sections 8.3 and 10.3).

A target is split first and decoded once after that, so that an encoded `?` or `;` stays part of
a name. What could mean two different files to two programs is refused: encoded separators, dot
segments, control characters, bytes that are not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from dav.status import HttpError

TARGET_LIMIT: Final = 16 * 1024
"""Bytes of a percent-encoded request target or Destination."""
NAME_LIMIT: Final = 255
"""Bytes of UTF-8 in one name."""
DEPTH_LIMIT: Final = 255
"""Names in one path."""

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SEPARATOR: Final = re.compile(r"%(2F|5C)|\\", re.IGNORECASE)
# Control characters (C0, DEL, C1), and what XML 1.0 cannot carry.
_UNCARRIABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\\\\]")
_ABSOLUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
# A name of letters and the like, which no encoding changes; its own first dot is looked at below.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]+\Z")

_QUOTED: Final = {code: f"%{code:02X}" for code in range(128) if not _UNRESERVED.match(chr(code))}


class TargetPath(NamedTuple):
    """A decoded path below the server's root.

    `names` holds the segments, outermost first, none for `/`. `is_collection_form` says that the
    target ended in a slash. `query` is what followed a `?`, still encoded.
    """

    names: tuple[str, ...]
    is_collection_form: bool
    query: str = ""


def parse_target(raw: str) -> TargetPath:
    """Return the path of a request target as it stood on the request line.

    Args:
        raw: the target; characters beyond ASCII stand for single bytes (WSGI's latin-1).

    Raises:
        HttpError: 414 where it is too long, 400 where it is not acceptable.
    """
    absolute = _ABSOLUTE.match(raw)
    path = (absolute[3] or "/") if absolute else raw
    path, _, query = path.partition("?")
    return TargetPath(*_decode(path), query)


def parse_destination(value: str, authorities: Collection[str]) -> TargetPath:
    """Return the path of a Destination header: an absolute URI or an absolute path.

    Args:
        value: the header, percent-encoded.
        authorities: `host` or `host:port` under which clients know this server. The scheme is
            not compared: a proxy that ends TLS changes it.

    Raises:
        HttpError: 400 where it is not acceptable, 502 where it names another server.
    """
    raw = value.strip()
    absolute = _ABSOLUTE.match(raw)
    if absolute:
        scheme, authority, path = absolute.groups()
        known = {_plain_authority(known) for known in authorities}
        if scheme.lower() not in {"http", "https"} or _plain_authority(authority) not in known:
            raise HttpError(502, f"the Destination {authority!r} is not this server")
        path = path or "/"
    else:
        path = raw
    if not path.startswith("/"):
        raise HttpError(400, "the Destination must be an absolute URI or an absolute path")
    if "?" in path:
        raise HttpError(400, "the Destination must not have a query")
    return TargetPath(*_decode(path))


def href(names: Iterable[str], *, is_collection: bool) -> str:
    """Return the percent-encoded absolute path of names; collections end in a slash.

    Only unreserved characters stay as they are, so the result needs no escaping in XML or HTML.
    """
    path = "/" + "/".join(quote_name(name) for name in names)
    return path + "/" if is_collection and path != "/" else path


def quote_name(name: str) -> str:
    """Return one name percent-encoded; surrogate escapes become the bytes they stand for."""
    if _UNRESERVED.match(name):
        return name
    if name.isascii():
        return name.translate(_QUOTED)
    return quote(name.encode("utf-8", "surrogateescape"), safe="~")


def is_representable(name: str) -> bool:
    """Whether a name of the store can be shown over WebDAV: UTF-8 that XML and URLs can carry."""
    return _UNCARRIABLE.search(name) is None


def _decode(path: str) -> tuple[tuple[str, ...], bool]:
    if len(path) > TARGET_LIMIT:
        raise HttpError(414, f"a path may have {TARGET_LIMIT} bytes")
    if not path.startswith("/"):
        raise HttpError(400, "the path must begin with a slash")
    if "#" in path:
        raise HttpError(400, "a request target has no fragment; encode # as %23")
    if _BAD_ESCAPE.search(path):
        raise HttpError(400, "a % must be followed by two hexadecimal digits")
    if _ENCODED_SEPARATOR.search(path):
        raise HttpError(400, "a name cannot hold a slash or a backslash")
    # Empty segments carry no name: //a///b is /a/b, as file systems have it.
    names = tuple(_decode_name(segment) for segment in path.split("/") if segment)
    if len(names) > DEPTH_LIMIT:
        raise HttpError(414, f"a path may have {DEPTH_LIMIT} names")
    return names, path.endswith("/")


def _decode_name(segment: str) -> str:
    if _PLAIN.fullmatch(segment) and len(segment) <= NAME_LIMIT:
        return segment
    try:
        encoded = unquote_to_bytes(segment.encode("latin-1"))
        name = encoded.decode("utf-8")
    except UnicodeError as error:
        raise HttpError(400, "the path is not UTF-8") from error
    if name in {".", ".."}:
        raise HttpError(400, "a path must not hold . or .. as a name")
    if not is_representable(name):
        raise HttpError(400, "a name must not hold control characters")
    if len(encoded) > NAME_LIMIT:
        raise HttpError(400, f"a name may have {NAME_LIMIT} bytes of UTF-8, not {len(encoded)}")
    return name


def _plain_authority(authority: str) -> str:
    """Return host and port for comparison: no user, no default port, lower case."""
    host = authority.rpartition("@")[2].strip().lower()
    for port in (":80", ":443"):
        host = host.removesuffix(port)
    return host.rstrip(".")
