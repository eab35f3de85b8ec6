"""Names, sizes and times as people and programs read them.

A name in a volume may hold any byte but NUL and `/`: line ends, terminal controls, bytes that are
not UTF-8. Printed for a person it is escaped, so that it can neither break a line nor steer the
terminal; in JSON it is readable, and exact as base64 where it is not UTF-8.
"""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from typing import Final

from cas import printable, printable_line

__all__ = [
    "json_name",
    "mode_text",
    "printable",
    "printable_line",
    "short_time",
    "size_text",
    "time_text",
]

_NANOSECONDS: Final = 1_000_000_000
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNIT_STEP: Final = 1024


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
