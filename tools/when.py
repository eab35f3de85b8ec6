"""WHEN: from the word of a command line to a past state of a volume."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import cas
from tools.names import printable
from tools.parameters import UNIT_SECONDS

_NANOSECONDS: Final = 1_000_000_000
_SEQUENCE: Final = re.compile(r"#(\d{1,19})")
_SPAN: Final = re.compile(r"(\d{1,6})([smhdwy])")
_TIME: Final = re.compile(
    r"(?P<whole>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)"
    r"(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?"
)
_COMMIT: Final = re.compile(r"[0-9a-f]{8,64}")


def view_at(volume: cas.Volume, when: str) -> cas.View:
    """Return the volume as it was; "" is now.

    Raises:
        NotFoundError: it has no such state, or its files are not kept any more.
    """
    if not when:
        return volume.view()
    try:
        volume.snapshot(when)
    except cas.NotFoundError:
        return _without_name(volume, when)
    return volume.at_snapshot(when)[1]


def _without_name(volume: cas.Volume, when: str) -> cas.View:
    if when == "now":
        return volume.view()
    sequence = _SEQUENCE.fullmatch(when)
    if sequence:
        return volume.at_sequence(int(sequence[1]))
    time_ns = time_of(when, datetime.now(UTC))
    if time_ns is not None:
        return volume.at_time(time_ns)
    if _COMMIT.fullmatch(when):
        return volume.at(volume.find_commit(when))
    name = printable(volume.name)
    message = (
        f"{name} has no snapshot {printable(when)!r}, and it is no time, as 2026-11-22T10:00 or 3h "
        f"are, no change, as #123 is, and no commit; see `casdav snapshot list {name}`"
    )
    raise cas.NotFoundError(message)


def time_of(when: str, now: datetime) -> int | None:
    """Return the time that a word means, in nanoseconds since the epoch; None if it is none."""
    if when == "yesterday":
        when = "1d"
    span = _SPAN.fullmatch(when)
    if span:
        ago = int(span[1]) * UNIT_SECONDS[span[2]]
        return int(now.timestamp() * _NANOSECONDS) - ago * _NANOSECONDS
    time = _TIME.fullmatch(when)
    if time is None:
        return None
    fraction = int((time["fraction"] or "").ljust(9, "0"))  # datetime has no nanoseconds
    try:
        whole = datetime.fromisoformat(time["whole"] + (time["zone"] or ""))
        return int(whole.timestamp()) * _NANOSECONDS + fraction
    except (ValueError, OverflowError, OSError):
        return None
