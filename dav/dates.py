"""Dates of HTTP (RFC 9110, section 5.6.7) and of WebDAV's creationdate (RFC 3339)."""

from __future__ import annotations

import calendar
import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

NANOSECONDS: Final = 1_000_000_000
"""Nanoseconds in a second."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_DAY: Final = "|".join(_DAYS)
_MONTH: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MONTHS: Final = tuple(_MONTH.split("|"))
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMATS: Final = (
    re.compile(rf"(?:{_DAY}), (?P<day>\d\d) (?P<month>{_MONTH}) (?P<year>\d{{4}}) {_TIME} GMT"),
    re.compile(rf"(?:{_LONG_DAYS}), (?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d\d) {_TIME} GMT"),
    re.compile(rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})"),
)
# Years 1 to 9999 in seconds since the epoch: what the formats can write.
_EARLIEST_S: Final = -62_135_596_800
_LATEST_S: Final = 253_402_300_799


def parse_http_date(value: str) -> int | None:
    """Return the seconds since the epoch of an HTTP date in any of its three forms, or None."""
    text = value.strip()
    for pattern in _FORMATS:
        found = pattern.fullmatch(text)
        if found:
            return _seconds(found)
    return None


def _seconds(found: re.Match[str]) -> int | None:
    year = int(found["year"])
    if len(found["year"]) == len("94"):
        year = _full_year(year)
    month = _MONTHS.index(found["month"]) + 1
    # A leap second is a valid date; datetime does not know it.
    second = min(int(found["second"]), 59)
    try:
        moment = datetime(
            year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), second, 0, UTC
        )
    except ValueError:
        return None
    return calendar.timegm(moment.timetuple())


def _full_year(two_digits: int) -> int:
    """A year that seems more than 50 years ahead is the last one with these digits."""
    this_year = time.gmtime().tm_year
    year = this_year - this_year % 100 + two_digits
    return year - 100 if year > this_year + 50 else year


@lru_cache(maxsize=16_384)
def _http_date(seconds: int) -> str:
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return (
        f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} "
        f"{hour:02}:{minute:02}:{second:02} GMT"
    )


@lru_cache(maxsize=16_384)
def _rfc3339(seconds: int) -> str:
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def http_date(time_ns: int) -> str:
    """Return a time in nanoseconds since the epoch as an IMF-fixdate, cut to the second."""
    return _http_date(_clamped_seconds(time_ns))


def rfc3339(time_ns: int) -> str:
    """Return a time in nanoseconds since the epoch as an RFC 3339 date-time, cut to the second."""
    return _rfc3339(_clamped_seconds(time_ns))


def _clamped_seconds(time_ns: int) -> int:
    seconds = time_ns // NANOSECONDS
    if _EARLIEST_S <= seconds <= _LATEST_S:
        return seconds
    return _EARLIEST_S if seconds < 0 else _LATEST_S
