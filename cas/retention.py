"""Retention: what rules keep of states or versions, and why. A pure function, in restic's words.

The rules mean what they mean to `restic forget`, and to everybody who comes from there:

- Newest first, an item is kept by `daily` if its day is another one than that of the item which
  `daily` kept before it, until as many were kept as the rule says. The others go likewise, by hour,
  ISO week, month and year of the local calendar; `last` keeps items as they come.
- While a rule still has some left, it keeps the oldest item of all too: so the history reaches back
  as far as it can before there is enough for the rule.
- `within` keeps what is younger than a span, counted back from the newest item and not from now: a
  history that nobody adds to does not melt away. An item dated in the future is no such newest one.
  `within_daily` and its kin keep one a day within a span.
- An item that is pinned is kept, and is counted by the rules as any other.

It differs from restic in one thing: when clocks are set back, both of the two hours that bear the
same number count as hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from cas.errors import InvalidError

UNLIMITED: Final = -1
"""As a rule's number: all that the rule can keep."""

_Key = TypeVar("_Key", bound=Hashable)
_Bucket: TypeAlias = tuple[int, ...]
_SECOND: Final = 1_000_000_000
_SPAN: Final = re.compile(r"(\d{1,6})([ymdh])")


class CalendarSpan(msgspec.Struct, array_like=True, frozen=True):
    """A span of the calendar, as `1y6m`: years, months, days, hours."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> CalendarSpan:
        """Return the span that is written so: `30d`, `1y6m`, `2d12h`; `m` is months, as in restic.

        Raises:
            InvalidError: it is no span, or none of any length.
        """
        found = [(unit, int(number)) for number, unit in _SPAN.findall(text)]
        units = dict(found)
        written = "".join(match[0] for match in _SPAN.finditer(text))
        if written != text or len(units) < len(found) or not any(units.values()):
            message = f"{text!r} is not a span, as 30d, 1y6m or 12h are (y, m for months, d, h)"
            raise InvalidError(message)
        return cls(*(units.get(unit, 0) for unit in "ymdh"))

    def __str__(self) -> str:
        numbers = zip((self.years, self.months, self.days, self.hours), "ymdh", strict=True)
        return "".join(f"{number}{unit}" for number, unit in numbers if number)

    def before(self, time_ns: int, zone: tzinfo | None = None) -> int | None:
        """Return the time so long before another; None before the calendar begins.

        A day that a month lacks is counted on into the next: a month before the 31st of March is
        the 3rd of March, or the 2nd in a leap year. None as the zone is local time.
        """
        seconds, rest = divmod(time_ns, _SECOND)
        moment = datetime.fromtimestamp(seconds, zone)
        year, month = divmod(moment.year * 12 + moment.month - 1 - self._months, 12)
        try:
            first = moment.replace(year=year, month=month + 1, day=1)
            day = first + timedelta(days=moment.day - 1 - self.days)
            # Calendar days above, hours that pass below: a day may have 23 of them.
            instant = int(day.timestamp()) - self.hours * 3600
        except (ValueError, OverflowError):
            return None
        return instant * _SECOND + rest

    @property
    def _months(self) -> int:
        return self.years * 12 + self.months


class Retention(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Rules. A number says how many to keep, `UNLIMITED` is all, 0 is no such rule."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: CalendarSpan | None = None
    within_hourly: CalendarSpan | None = None
    within_daily: CalendarSpan | None = None
    within_weekly: CalendarSpan | None = None
    within_monthly: CalendarSpan | None = None
    within_yearly: CalendarSpan | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all."""
        return self == Retention()


class Verdict(NamedTuple, Generic[_Key]):
    """What the rules say of an item: it is kept if there is a reason to."""

    key: _Key
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether the item stays."""
        return bool(self.reasons)


class Dated(NamedTuple, Generic[_Key]):
    """Something that rules may keep: its time is nanoseconds since the epoch."""

    key: _Key
    time_ns: int
    is_pinned: bool = False


def retain(
    items: Iterable[Dated[_Key]],
    rules: Retention,
    *,
    now_ns: int,
    zone: tzinfo | None = None,
) -> list[Verdict[_Key]]:
    """Return a verdict for each item, the newest first; equal times stay in their order.

    Without any rule, everything is kept. None as the zone is local time.
    """
    newest_first = sorted(items, key=lambda item: -item.time_ns)
    if rules.is_empty:
        return [Verdict(item.key, ("no rule",)) for item in newest_first]
    newest_ns = next((item.time_ns for item in newest_first if item.time_ns <= now_ns), None)
    counters = list(_counters(rules, newest_ns, zone))
    verdicts = []
    for number, item in enumerate(newest_first):
        is_oldest = number == len(newest_first) - 1
        reasons = ["pinned"] if item.is_pinned else []
        moment = datetime.fromtimestamp(item.time_ns // _SECOND, zone)
        for counter in counters:
            reason = counter.reason(item.time_ns, moment, is_oldest=is_oldest)
            if reason:
                reasons.append(reason)
        verdicts.append(Verdict(item.key, tuple(reasons)))
    return verdicts


class _Counter:
    """One rule at work: how many it may still keep, since when, and what it kept last."""

    def __init__(
        self,
        words: str,
        bucket: Callable[[datetime], _Bucket] | None,
        *,
        left: int = UNLIMITED,
        after_ns: int | None = None,
    ) -> None:
        self._words = words
        self._bucket = bucket
        self._left = left
        self._after_ns = after_ns
        self._latest: _Bucket | None = None

    def reason(self, time_ns: int, moment: datetime, *, is_oldest: bool) -> str | None:
        """Return why this rule keeps the item, and count it; None if it does not."""
        if not self._left or (self._after_ns is not None and time_ns <= self._after_ns):
            return None
        bucket = self._bucket(moment) if self._bucket else None
        is_new = bucket is None or bucket != self._latest
        if not is_new and not is_oldest:
            return None
        self._latest = bucket
        self._left -= self._left > 0
        return self._words if is_new else f"oldest {self._words}"


def _counters(rules: Retention, newest_ns: int | None, zone: tzinfo | None) -> Iterator[_Counter]:
    for words, number, bucket in (
        ("last", rules.last, None),
        ("hourly", rules.hourly, _hour),
        ("daily", rules.daily, _day),
        ("weekly", rules.weekly, _week),
        ("monthly", rules.monthly, _month),
        ("yearly", rules.yearly, _year),
    ):
        if number:
            yield _Counter(words, bucket, left=number)
    for words, span, bucket in (
        ("", rules.within, None),
        ("hourly ", rules.within_hourly, _hour),
        ("daily ", rules.within_daily, _day),
        ("weekly ", rules.within_weekly, _week),
        ("monthly ", rules.within_monthly, _month),
        ("yearly ", rules.within_yearly, _year),
    ):
        if span is not None:
            after_ns = None if newest_ns is None else span.before(newest_ns, zone)
            yield _Counter(f"{words}within {span}", bucket, after_ns=after_ns)


def _hour(moment: datetime) -> _Bucket:
    return (moment.year, moment.month, moment.day, moment.hour, moment.fold)


def _day(moment: datetime) -> _Bucket:
    return (moment.year, moment.month, moment.day)


def _week(moment: datetime) -> _Bucket:
    week = moment.isocalendar()
    return (week.year, week.week)


def _month(moment: datetime) -> _Bucket:
    return (moment.year, moment.month)


def _year(moment: datetime) -> _Bucket:
    return (moment.year,)
