"""Times as sync clients send them, in seconds: X-OC-Mtime, X-OC-CTime, and properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from dav.dates import NANOSECONDS
from dav.status import HttpError

_SECONDS: Final = re.compile(r"-?\d{1,11}(?:\.\d{1,20})?", re.ASCII)


class ClientTimes(NamedTuple):
    """Nanoseconds since the epoch, None where the client named none."""

    mtime_ns: int | None
    created_ns: int | None

    @property
    def accepted(self) -> list[tuple[str, str]]:
        """Response headers that tell the client that its times were taken."""
        headers = [] if self.mtime_ns is None else [("X-OC-Mtime", "accepted")]
        return headers if self.created_ns is None else [*headers, ("X-OC-CTime", "accepted")]


def read_times(header: Callable[[str], str | None]) -> ClientTimes:
    """Return the times of a request; seconds may have a fraction.

    Raises:
        HttpError: 400 where one is not a number of seconds.
    """
    return ClientTimes(
        _nanoseconds("X-OC-Mtime", header("X-OC-Mtime")),
        _nanoseconds("X-OC-CTime", header("X-OC-CTime")),
    )


def _nanoseconds(name: str, value: str | None) -> int | None:
    if value is None:
        return None
    time_ns = parse_seconds(value)
    if time_ns is None:
        raise HttpError(400, f"{name} must be seconds since 1970, such as 1700000000.25")
    return time_ns


def parse_seconds(text: str) -> int | None:
    """Return the nanoseconds of a number of seconds, which may have a fraction, or None."""
    if not _SECONDS.fullmatch(text.strip()):
        return None
    return int(Decimal(text.strip()) * NANOSECONDS)
