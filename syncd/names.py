"""The names of conflict copies. Pure: the time and the device are given."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import cas

_MARK: Final = re.compile(r" \(conflicted copy [^()]{1,200} \d{4}-\d\d-\d\d \d{6}(?: \d+)?\)")
_PARKED: Final = re.compile(r"(.+) \(syncd is moving this \d+\)", re.DOTALL)
_SUFFIX_LIMIT: Final = 32
"""Bytes behind the last dot that count as a suffix; more is a sentence with a dot in it."""
_DEVICE_LIMIT: Final = 64
"""Bytes of a device's name in a mark."""
_SECOND_NS: Final = 1_000_000_000


def conflict_name(
    name: str, device: str, time_ns: int, is_taken: Callable[[str], bool] = lambda _: False
) -> str:
    """Return `stem (conflicted copy DEVICE YYYY-MM-DD HHMMSS[ n]).suffix`, 255 bytes at most.

    A mark that the name has already gives way to the new one. The stem is cut between characters.

    Args:
        name: of the file that there are two of.
        device: whose file gets the name.
        time_ns: nanoseconds since the epoch, UTC; a time that no calendar has is the epoch.
        is_taken: tells whether a name is in use already.
    """
    stem, suffix = _split(_MARK.sub("", name) or name)
    stamp = _stamp(time_ns)
    label = _cut(re.sub(r"[()/\0]", "-", device).strip() or "device", _DEVICE_LIMIT)
    number = 1
    while True:
        count = f" {number}" if number > 1 else ""
        mark = f" (conflicted copy {label} {stamp}{count})"
        made = _cut(stem, cas.NAME_SIZE_LIMIT - _size(mark) - _size(suffix)) + mark + suffix
        if not is_taken(made):
            return made
        number += 1


def is_conflict_name(name: str) -> bool:
    """Tell whether a name has the mark of a conflict copy."""
    return _MARK.search(name) is not None


def without_mark(name: str) -> str | None:
    """Return the name of what there is a conflict copy of; None of any other name.

    The stem of a long name was cut, and is cut here.
    """
    return _MARK.sub("", name) if is_conflict_name(name) else None


def parking_name(name: str, number: int) -> str:
    """Return the name that something has for a moment while its own is taken."""
    mark = f" (syncd is moving this {number})"
    return _cut(name, cas.NAME_SIZE_LIMIT - _size(mark)) + mark


def without_parking(name: str) -> str | None:
    """Return the name of what a killed process has left parked; None of any other name."""
    found = _PARKED.fullmatch(name)
    return found[1] if found else None


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    if not stem.strip(".") or not dot or _size(suffix) >= _SUFFIX_LIMIT:
        return name, ""
    return stem, dot + suffix


def _stamp(time_ns: int) -> str:
    try:
        time = datetime.fromtimestamp(time_ns // _SECOND_NS, UTC)
    except (OverflowError, OSError, ValueError):
        time = datetime.fromtimestamp(0, UTC)
    return time.strftime("%Y-%m-%d %H%M%S")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _cut(text: str, size: int) -> str:
    """Return the beginning of a text that has so many bytes at most, cut between characters."""
    while _size(text) > size:
        text = text[:-1]
    return text
