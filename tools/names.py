"""Names, sizes and times as people and programs read them.

A name in a volume may hold any byte but NUL and `/`: line ends, terminal controls, bytes that are
not UTF-8. Printed for a person it is escaped, so that it can neither break a line nor steer the
terminal; in JSON it is readable, and exact as base64 where it is not UTF-8.
"""

from __future__ import annotations

import base64
import os
import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

_PLAIN: Final = re.compile(r"[ -\[\]-~]*\Z")
_NANOSECONDS: Final = 1_000_000_000
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNIT_STEP: Final = 1024
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
_FIRST_ESCAPED_BYTE: Final = 0xDC80
_LAST_ESCAPED_BYTE: Final = 0xDCFF


def printable(name: str) -> str:
    r"""Return the name with everything but visible characters and spaces as `\`-escapes."""
    if _PLAIN.match(name):
        return name
    return "".join(map(_printable_character, name))


def printable_line(text: str) -> str:
    """Return a message as one line that cannot steer the terminal."""
    return printable(text).replace("\\\\", "\\")


def _printable_character(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if _FIRST_ESCAPED_BYTE <= ord(character) <= _LAST_ESCAPED_BYTE:
        return f"\\x{ord(character) - 0xDC00:02x}"
    # A joiner makes emoji families; it cannot reorder or hide text.
    if unicodedata.category(character) in _UNSAFE_CATEGORIES and character != "\u200d":
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


def json_name(key: str, name: str) -> dict[str, str]:
    """Return the JSON members for a name: `key`, and `key_base64` where it is not UTF-8.

    `key` then holds an approximation, with U+FFFD for each byte that is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        exact = os.fsencode(name)
        return {
            key: exact.decode("utf-8", "replace"),
            f"{key}_base64": base64.b64encode(exact).decode(),
        }
    return {key: name}


def size_text(size: int) -> str:
    """Return bytes as people read them: `1.5 MiB`."""
    value = float(size)
    for unit in _UNITS:
        if abs(value) < _UNIT_STEP or unit == _UNITS[-1]:
            break
        value /= _UNIT_STEP
    if unit == "B":
        return f"{size} B"
    return f"{value:.1f} {unit}"


def time_text(time_ns: int) -> str | None:
    """Return a time as RFC 3339 in UTC with nanoseconds; None where the year is not in 1-9999."""
    seconds, nanoseconds = divmod(time_ns, _NANOSECONDS)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{moment.replace(tzinfo=None).isoformat()}.{nanoseconds:09d}Z"


def short_time(time_ns: int) -> str:
    """Return a time for a listing: local date and minute, or `-`."""
    try:
        moment = datetime.fromtimestamp(time_ns // _NANOSECONDS, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return "-"
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="minutes")


def mode_text(mode: int) -> str:
    """Return permission bits as four octal digits: `0644`."""
    return f"{mode:04o}"
