"""The kinds of words that commands take: `VOLUME:/PATH`, sizes, and moments."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)
_PLACE: Final = re.compile(
    r"([^:@]+)(?:(@)"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?|[^:]*))?"
    r":(.*)",
    re.DOTALL,
)
"""Volume, @, WHEN and path; of all WHENs only a time has colons."""
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_SPAN: Final = re.compile(r"(\d+)\s*([smhdwy])")
_UNIT_BYTES: Final = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P"))}
UNIT_SECONDS: Final = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 7 * 86400,
    "y": 365 * 86400,
}
_NANOSECONDS: Final = 1_000_000_000
WHENS: Final = (
    ("monday", "a snapshot; its name goes before all that follows"),
    ("#1234", "after the change of this number, as `casdav log` shows it"),
    ("2026-11-22T10:00", "a time, local unless it ends with Z or +01:00"),
    ("2026-11-22", "the beginning of that day"),
    ("90m, 3h, 2d, 1w", "so long ago; `yesterday` is 1d"),
    ("6f1b9c04", "a commit: its 64 hex digits, or the first 8 or more of them"),
)
"""What WHEN may be, with examples."""


class Location(NamedTuple):
    """A place in a volume: its name, and a path without slashes at the ends; "" is the root.

    `when` names the state that is meant; "" is the present one.
    """

    volume: str
    path: str
    when: str = ""

    def __str__(self) -> str:
        at = f"@{self.when}" if self.when else ""
        return f"{self.volume}{at}:/{self.path}"

    def below(self, name: str) -> Location:
        """Return the place of a name in this folder."""
        path = f"{self.path}/{name}" if self.path else name
        return Location(self.volume, path, self.when)


class LocationType(click.ParamType[Location]):
    """`VOLUME:/PATH`; the slash may be left out, and `VOLUME:` is the volume's root.

    With `past`, also `VOLUME@WHEN:/PATH`, where WHEN is one of `WHENS`.
    """

    def __init__(self, *, past: bool = False) -> None:
        self.name = "VOLUME[@WHEN]:/PATH" if past else "VOLUME:/PATH"
        self._is_past = past

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        """Return the place that the word names."""
        if isinstance(value, Location):
            return value
        place = _PLACE.fullmatch(str(value))
        volume, at, when, path = place.groups() if place else ("", None, None, "")
        if not volume or "/" in volume or (at and not when):
            self.fail(f"{value!r} is not {self.name}, as in alice:/photos", param, ctx)
        if at and not self._is_past:
            self.fail(f"{value!r}: the past cannot be changed; leave out @{when}", param, ctx)
        return Location(volume, path.strip("/"), when or "")


class SizeType(click.ParamType[int]):
    """A number of bytes with an optional unit: `500M`, `1.5TiB`. Units are powers of 1024."""

    name = "SIZE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a size, as 500M or 1.5T are", param, ctx)
        return int(float(match[1]) * _UNIT_BYTES[match[2].upper()])


class LimitType(SizeType):
    """A size, or `none` for no limit, which is -1: None means to click that nothing was said."""

    name = "SIZE|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes, or -1."""
        return -1 if value == "none" else super().convert(value, param, ctx)


class MomentType(click.ParamType[int]):
    """A moment, as nanoseconds since the epoch: a span ahead of now, or a date in ISO 8601.

    A date without a zone is meant in local time.
    """

    name = "WHEN"

    def __init__(self, *, past: bool = False) -> None:
        self._direction = -1 if past else 1

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the moment."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        match = _SPAN.fullmatch(text)
        if match:
            span = int(match[1]) * UNIT_SECONDS[match[2]]
            now = datetime.now(UTC).timestamp()
            return int((now + self._direction * span) * _NANOSECONDS)
        try:
            return int(datetime.fromisoformat(text).timestamp() * _NANOSECONDS)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither a span, as 30d, nor a date, as 2026-12-31", param, ctx)


class SpanType(click.ParamType[int]):
    """A span of time in seconds: `90s`, `10m`, `2h`, `1d`."""

    name = "SPAN"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        if str(value).strip() == "0":  # nothing is nothing, whatever the unit
            return 0
        match = _SPAN.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a span of time, as 10m or 2h are", param, ctx)
        return int(match[1]) * UNIT_SECONDS[match[2]]


class ShareType(click.ParamType[float]):
    """A share of something, as `5%`; 1 is all of it."""

    name = "SHARE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the share, above 0 and up to 1."""
        if isinstance(value, float):
            return value
        match = _SHARE.fullmatch(str(value).strip())
        share = float(match[1]) / 100 if match else 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} is not a share, as 5% or 100% are", param, ctx)
        return share


LOCATION: Final = LocationType()
PAST_LOCATION: Final = LocationType(past=True)
SIZE: Final = SizeType()
LIMIT: Final = LimitType()
SPAN: Final = SpanType()
SHARE: Final = ShareType()
FUTURE: Final = MomentType()
PAST: Final = MomentType(past=True)


def limit_of(size: int | None) -> int | None:
    """Return a quota in bytes, None for no limit, of what `LIMIT` made or of nothing said."""
    return None if size is None or size < 0 else size
