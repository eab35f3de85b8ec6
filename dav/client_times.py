"""Times as sync clients send them, in seconds: X-OC-Mtime, X-OC-CTime, and properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from dav.dates import NANOSECONDS
from dav.status import HttpError

_SECONDS: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
# The store keeps nanoseconds in 64 bits: the years 1677 to 2262.
_EARLIEST_NS: Final = -(2**63)
_LATEST_NS: Final = 2**63 - 1


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

    A time that the store cannot keep is left out, and so not accepted: better the file without
    its time than no file.

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
    if not _SECONDS.fullmatch(value.strip()):
        raise HttpError(400, f"{name} must be seconds since 1970, such as 1700000000.25")
    return parse_seconds(value)


def parse_seconds(text: str) -> int | None:
    """Return the nanoseconds of a number of seconds, which may have a fraction.

    None where it is no number, or a time that the store cannot keep.
    """
    if not _SECONDS.fullmatch(text.strip()):
        return None
    return keepable(int(Decimal(text.strip()) * NANOSECONDS))


def keepable(time_ns: int) -> int | None:
    """Return the time if the store can keep it, else None."""
    return time_ns if _EARLIEST_NS <= time_ns <= _LATEST_NS else None
