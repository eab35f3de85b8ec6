"""Request heads, strictly: bytes in, a `RequestHead` or a `RefusedError` out (RFC 9112).

There is one reading of a head that is taken, or it is refused: bare CR or LF, folded lines,
space before a colon, control characters, two lengths and the like are what request smuggling
is made of. Pure functions, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from dav.http.errors import RefusedError
from dav.http.settings import Limits
from dav.http.target import RequestTarget, check_host, parse_target

BAD_REQUEST: Final = "400 Bad Request"
HEAD_END: Final = b"\r\n\r\n"
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\r\n") + b"\x7f"
_DIGITS: Final = b"0123456789"
_MAX_METHOD: Final = 32
_MAX_LENGTH_DIGITS: Final = 18
_SINGLE: Final = frozenset(
    {
        "HTTP_HOST",
        "HTTP_CONTENT_LENGTH",
        "HTTP_CONTENT_TYPE",
        "HTTP_CONTENT_RANGE",
        "HTTP_AUTHORIZATION",
        "HTTP_DEPTH",
        "HTTP_DESTINATION",
        "HTTP_OVERWRITE",
        "HTTP_LOCK_TOKEN",
        "HTTP_IF_RANGE",
        "HTTP_X_OC_MTIME",
    },
)
_IMITATED: Final = frozenset({"HTTP_HOST", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"})


class Framing(Enum):
    """How the end of a request body is found."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request head that is free of doubt.

    Attributes:
        method: The method's token, as sent.
        target: The request target, taken apart.
        version: (1, 0) or (1, 1); a later minor version counts as 1.1.
        fields: Header fields under their WSGI names (`HTTP_HOST`), values as latin-1 text.
        framing: How the body is delimited.
        length: The body's length in bytes; 0 unless `framing` is LENGTH.
        keep_alive: Whether the client wants the connection kept.
        expects_continue: Whether the client waits for 100 Continue before it sends the body.
    """

    method: str
    target: RequestTarget
    version: tuple[int, int]
    fields: dict[str, str]
    framing: Framing
    length: int
    keep_alive: bool
    expects_continue: bool


def find_head_end(data: bytes, scanned: int, limits: Limits) -> int:
    """Where the head that `data` begins with ends (after its empty line), or 0 if it goes on.

    `scanned` bytes were looked at before. Raises RefusedError as soon as the head cannot
    become a good one: too long, or with a line that ends in a bare LF.
    """
    start = max(scanned - 3, 0)
    end = data.find(HEAD_END, start)
    if end >= 0 and end + 4 <= limits.head:
        return end + 4
    line_end = data.find(b"\n")
    if line_end > limits.request_line or (line_end < 0 and len(data) > limits.request_line):
        raise RefusedError("414 URI Too Long", "The request line is too long.")
    if end >= 0 or len(data) > limits.head:
        raise RefusedError(
            "431 Request Header Fields Too Large",
            "The request head is too long.",
        )
    if data.count(b"\n", start) != data.count(b"\r\n", start):
        # The first byte looked at may be the LF of a CRLF that was cut by `start`.
        first = data[start - 1 : start + 1] == b"\r\n" if start else False
        if data.count(b"\n", start) - first != data.count(b"\r\n", start):
            raise RefusedError(BAD_REQUEST, "A line of the request head ends without CR LF.")
    return 0


def parse_head(data: bytes, limits: Limits) -> RequestHead:
    """Read a whole request head, empty line included. Raises RefusedError."""
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise RefusedError(BAD_REQUEST, "The request head holds control characters.")
    pairs = data.count(b"\r\n")
    if data.count(b"\r") != pairs or data.count(b"\n") != pairs:
        raise RefusedError(BAD_REQUEST, "A line of the request head does not end with CR LF.")
    lines = data[:-4].split(b"\r\n")
    if not lines[0]:
        del lines[0]  # RFC 9112, 2.2: one empty line before the request line is ignored
    if not lines or not lines[0]:
        raise RefusedError(BAD_REQUEST, "There is no request line.")
    if len(lines[0]) > limits.request_line:
        raise RefusedError("414 URI Too Long", "The request line is too long.")
    if len(lines) - 1 > limits.fields:
        raise RefusedError("431 Request Header Fields Too Large", "There are too many fields.")
    method, raw_target, version = _parse_request_line(lines[0])
    fields = _parse_fields(lines)
    target = parse_target(method, raw_target)
    _settle_host(fields, target, version)
    framing, length = _find_framing(fields, version, limits)
    keep_alive = _wants_keep_alive(fields, version)
    return RequestHead(
        method=method,
        target=target,
        version=version,
        fields=fields,
        framing=framing,
        length=length,
        keep_alive=keep_alive,
        expects_continue=_expects_continue(fields, version) and framing is not Framing.NONE,
    )


def _parse_request_line(line: bytes) -> tuple[str, bytes, tuple[int, int]]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1]:  # noqa: PLR2004 - method, target, version
        raise RefusedError(BAD_REQUEST, "The request line is not 'METHOD target HTTP/1.1'.")
    method, target, protocol = parts
    if not method or len(method) > _MAX_METHOD or method.translate(None, _TOKEN):
        raise RefusedError(BAD_REQUEST, "The method is not a token.")
    return method.decode("ascii"), target, _parse_version(protocol)


@lru_cache(maxsize=16)
def _parse_version(protocol: bytes) -> tuple[int, int]:
    """RFC 9112, 2.3: `HTTP/` digit `.` digit; a minor version above 1 is spoken to as 1.1."""
    digits = protocol[5:6] + protocol[7:8]
    if (
        len(protocol) != len(b"HTTP/1.1")
        or not protocol.startswith(b"HTTP/")
        or protocol[6:7] != b"."
        or not digits.isdigit()
    ):
        raise RefusedError(BAD_REQUEST, "The protocol version is malformed.")
    if digits[:1] != b"1":
        raise RefusedError("505 HTTP Version Not Supported", "This server speaks HTTP/1.1.")
    return (1, 0) if digits[1:] == b"0" else (1, 1)


@lru_cache(maxsize=512)
def _field_key(name: bytes) -> str:
    """The WSGI name of a header field; empty if the field is to be dropped."""
    if not name or name.translate(None, _TOKEN):
        raise RefusedError(BAD_REQUEST, "A header field's name is not a token.")
    key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    if b"_" not in name:
        return key
    # In WSGI `Content_Length` cannot be told from `Content-Length`.
    if key in _IMITATED:
        raise RefusedError(BAD_REQUEST, "A header field's name imitates another one.")
    return ""


def _parse_fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon:
            raise RefusedError(BAD_REQUEST, "A header line has no colon, or is a folded line.")
        key = _field_key(name)
        if not key:
            continue
        text = value.strip(b" \t").decode("latin-1")
        if key in fields:
            if key in _SINGLE:
                raise RefusedError(BAD_REQUEST, f"{name.decode('ascii')} is given twice.")
            text = f"{fields[key]}{'; ' if key == 'HTTP_COOKIE' else ', '}{text}"
        fields[key] = text
    return fields


def _settle_host(
    fields: dict[str, str],
    target: RequestTarget,
    version: tuple[int, int],
) -> None:
    """RFC 9112, 3.2: one good Host in HTTP/1.1; an absolute target's authority wins over it."""
    host = fields.get("HTTP_HOST")
    if host is None:
        if version >= (1, 1):
            raise RefusedError(BAD_REQUEST, "The Host field is missing.")
    elif not check_host(host) and not (version == (1, 0) and not host):
        raise RefusedError(BAD_REQUEST, "The Host field is not a host name.")
    if target.authority:
        fields["HTTP_HOST"] = target.authority


def _find_framing(
    fields: dict[str, str],
    version: tuple[int, int],
    limits: Limits,
) -> tuple[Framing, int]:
    """RFC 9112, 6.3, with every doubt refused."""
    coding = fields.get("HTTP_TRANSFER_ENCODING")
    length = fields.pop("HTTP_CONTENT_LENGTH", None)
    if coding is not None:
        if length is not None:
            raise RefusedError(BAD_REQUEST, "Content-Length and Transfer-Encoding exclude another.")
        if version < (1, 1):
            raise RefusedError(BAD_REQUEST, "HTTP/1.0 knows no Transfer-Encoding.")
        _check_coding(coding)
        return Framing.CHUNKED, 0
    if length is None:
        return Framing.NONE, 0
    if not length or len(length) > _MAX_LENGTH_DIGITS or length.strip("0123456789"):
        raise RefusedError(BAD_REQUEST, "Content-Length is not a plain number.")
    size = int(length)
    if limits.body is not None and size > limits.body:
        raise RefusedError("413 Content Too Large", "The body is larger than this server takes.")
    fields["CONTENT_LENGTH"] = str(size)
    return (Framing.LENGTH if size else Framing.NONE), size


def _check_coding(value: str) -> None:
    codings = [coding.strip(" \t").lower() for coding in value.split(",")]
    if codings == ["chunked"]:
        return
    if "" in codings or "chunked" in codings[:-1]:
        raise RefusedError(BAD_REQUEST, "Transfer-Encoding does not end with one 'chunked'.")
    raise RefusedError("501 Not Implemented", "Of transfer codings only 'chunked' is known.")


def _wants_keep_alive(fields: dict[str, str], version: tuple[int, int]) -> bool:
    value = fields.get("HTTP_CONNECTION")
    if value is None:
        return version >= (1, 1)
    options = [option.strip(" \t") for option in value.lower().split(",")]
    if "close" in options:
        return False
    return version >= (1, 1) or "keep-alive" in options


def _expects_continue(fields: dict[str, str], version: tuple[int, int]) -> bool:
    """RFC 9110, 10.1.1: ignored in HTTP/1.0, and only one expectation is known."""
    value = fields.get("HTTP_EXPECT")
    if value is None or version < (1, 1):
        return False
    if value.lower() != "100-continue":
        raise RefusedError("417 Expectation Failed", "Of expectations only 100-continue is known.")
    return True
