"""Retention: restic's rules, example by example and against a slower model."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from cas import CalendarSpan, Dated, Retention, retain

SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
NOON: Final = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * SECOND
COUNTED: Final = {
    "last": None,
    "hourly": "%Y-%m-%dT%H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}

times = st.integers(NOON - 3 * 365 * DAY, NOON + 40 * DAY)
items_strategy = st.lists(st.tuples(times, st.booleans()), max_size=60).map(
    lambda found: [Dated(number, *each) for number, each in enumerate(found)]
)
numbers = st.dictionaries(st.sampled_from(sorted(COUNTED)), st.integers(-1, 8))
spans = st.builds(
    CalendarSpan, st.integers(0, 3), st.integers(0, 20), st.integers(0, 80), st.integers(1, 9)
)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def reasons(rules: Retention, *texts: str, zone: ZoneInfo | None = None) -> dict[str, str]:
    """Return the reasons by time, of times that come newest first."""
    items = [Dated(text, ns(text)) for text in reversed(texts)]
    verdicts = retain(items, rules, now_ns=NOON, zone=zone or ZoneInfo("UTC"))
    assert [verdict.key for verdict in verdicts] == list(texts)
    return {verdict.key: ", ".join(verdict.reasons) for verdict in verdicts}


def test_the_newest_of_each_day_is_kept_and_days_without_any_do_not_count() -> None:
    assert reasons(
        Retention(daily=2), "2026-11-20T18", "2026-11-20T09", "2026-11-11T23", "2026-11-10T12"
    ) == {
        "2026-11-20T18": "daily",
        "2026-11-20T09": "",
        "2026-11-11T23": "daily",
        "2026-11-10T12": "",
    }


def test_a_rule_with_some_left_keeps_the_oldest_too() -> None:
    found = reasons(Retention(daily=5), "2026-11-20T18", "2026-11-20T12", "2026-11-20T09")
    assert list(found.values()) == ["daily", "", "oldest daily"]


def test_weeks_are_those_of_iso_and_may_cross_the_year() -> None:
    found = reasons(Retention(weekly=9), "2026-01-05", "2026-01-04", "2025-12-29", "2025-12-28")
    assert list(found.values()) == ["weekly", "weekly", "", "weekly"]


def test_all_reasons_are_told() -> None:
    rules = Retention(last=1, hourly=1, yearly=-1, within=CalendarSpan(days=2))
    assert reasons(rules, "2026-11-20", "2024-11-20") == {
        "2026-11-20": "last, hourly, yearly, within 2d",
        "2024-11-20": "yearly",
    }


def test_a_span_counts_from_the_newest_and_leaves_out_its_very_end() -> None:
    found = reasons(
        Retention(within=CalendarSpan(hours=10)), "2025-11-20T12", "2025-11-20T03", "2025-11-20T02"
    )
    assert list(found.values()) == ["within 10h", "within 10h", ""]


def test_what_is_dated_in_the_future_is_not_where_a_span_ends() -> None:
    rules = Retention(within=CalendarSpan(days=1))
    found = reasons(rules, "2036-01-01", "2026-11-22T10", "2026-11-21T11", "2026-11-20")
    assert list(found.values()) == ["within 1d", "within 1d", "within 1d", ""]
    assert all(reasons(rules, "2036-01-01", "2030-01-01").values())


def test_one_a_day_within_a_year() -> None:
    rules = Retention(within_daily=CalendarSpan(years=1))
    found = reasons(rules, "2026-11-20T18", "2026-11-20T09", "2026-03-01", "2025-11-20T17")
    assert list(found.values()) == ["daily within 1y", "", "daily within 1y", ""]


def test_pinned_ones_stay_and_are_counted() -> None:
    items = [Dated(number, NOON - number * DAY, number == 1) for number in range(4)]
    verdicts = retain(items, Retention(last=2), now_ns=NOON)
    assert [verdict.reasons for verdict in verdicts] == [("last",), ("pinned", "last"), (), ()]
    assert [verdict.is_kept for verdict in verdicts] == [True, True, False, False]


def test_without_rules_everything_stays() -> None:
    assert Retention().is_empty
    assert reasons(Retention(), "2026-11-20", "2026-11-19") == {
        "2026-11-20": "no rule",
        "2026-11-19": "no rule",
    }
    assert retain([], Retention(last=1), now_ns=NOON) == []


def test_days_are_those_of_the_zone() -> None:
    zone = ZoneInfo("Pacific/Auckland")
    rules = Retention(daily=9)
    texts = ("2026-06-02T13", "2026-06-02T11", "2026-06-01T11")
    assert list(reasons(rules, *texts, zone=zone).values()) == ["daily", "daily", "daily"]
    assert list(reasons(rules, *texts).values()) == ["daily", "", "daily"]


def test_both_hours_count_when_clocks_are_set_back() -> None:
    zone = ZoneInfo("Europe/Berlin")
    found = reasons(
        Retention(hourly=2), "2026-10-25T01:30", "2026-10-25T00:30", "2026-10-24T12", zone=zone
    )
    assert list(found.values()) == ["hourly", "hourly", ""]


@pytest.mark.parametrize(
    ("span", "before"),
    [
        ("1m", "2026-03-03T12:00"),
        ("1m1d", "2026-03-02T12:00"),
        ("1y", "2025-03-31T12:00"),
        ("25h", "2026-03-30T11:00"),
        ("14m2d", "2025-01-29T12:00"),
    ],
)
def test_spans_go_by_the_calendar(span: str, before: str) -> None:
    assert CalendarSpan.parse(span).before(ns("2026-03-31T12:00"), UTC) == ns(before)


def test_a_day_is_a_day_where_clocks_change_and_hours_pass() -> None:
    zone = ZoneInfo("Europe/Berlin")
    noon = int(datetime(2026, 3, 29, 12, tzinfo=zone).timestamp()) * SECOND
    assert noon - (CalendarSpan(days=1).before(noon, zone) or 0) == 23 * HOUR
    assert noon - (CalendarSpan(hours=24).before(noon, zone) or 0) == 24 * HOUR


def test_a_span_may_be_longer_than_the_calendar() -> None:
    endless = CalendarSpan.parse("999999y")
    assert endless.before(NOON) is None
    assert CalendarSpan.parse("999999d999999h").before(NOON) is None
    assert all(reasons(Retention(within=endless), "2026-11-20", "1900-01-01").values())


@pytest.mark.parametrize(
    "text", ["", "d", "5", "0d", "-5d", "5x", "5d 3h", "1d1d", "5D", "9999999y"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(cas.InvalidError, match=re.escape(repr(text))):
        CalendarSpan.parse(text)


@given(spans)
def test_a_span_reads_as_it_is_written(span: CalendarSpan) -> None:
    assert CalendarSpan.parse(str(span)) == span


@given(items_strategy, numbers, spans)
def test_it_keeps_what_the_model_keeps(
    items: list[Dated[int]], numbers: dict[str, int], within: CalendarSpan
) -> None:
    rules = Retention(**numbers, within=within)  # type: ignore[arg-type]
    verdicts = retain(items, rules, now_ns=NOON, zone=UTC)
    kept = {verdict.key for verdict in verdicts if verdict.is_kept}
    assert kept == model(items, numbers, within)
    assert sorted(verdict.key for verdict in verdicts) == sorted(item.key for item in items)


@given(items_strategy, numbers)
def test_what_was_kept_is_kept_again(items: list[Dated[int]], numbers: dict[str, int]) -> None:
    # But for the oldest, of which the rules may have kept several: hence the numbers.
    rules = Retention(**{name: abs(number) for name, number in numbers.items()})  # type: ignore[arg-type]
    first = retain(items, rules, now_ns=NOON, zone=UTC)
    kept = {verdict.key for verdict in first if verdict.is_kept}
    second = retain([item for item in items if item.key in kept], rules, now_ns=NOON, zone=UTC)
    assert all(verdict.is_kept for verdict in second)


def model(items: list[Dated[int]], numbers: dict[str, int], within: CalendarSpan) -> set[int]:
    newest_first = sorted(items, key=lambda item: item.time_ns, reverse=True)
    kept = {item.key for item in items if item.is_pinned}
    for rule, number in numbers.items():
        kept |= model_of_one(newest_first, COUNTED[rule], number)
    newest = max((item.time_ns for item in items if item.time_ns <= NOON), default=None)
    cut = None if newest is None else within.before(newest, UTC)
    return kept | {item.key for item in items if cut is None or item.time_ns > cut}


def model_of_one(items: list[Dated[int]], pattern: str | None, number: int) -> set[int]:
    def bucket(item: Dated[int]) -> str:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=item.time_ns // SECOND)
        return f"{moment:{pattern}}" if pattern else str(item.key)

    heads = [next(group).key for _, group in groupby(items, bucket)]
    if number < 0 or len(heads) < number:
        return {*heads, *(item.key for item in items[-1:])}
    return set(heads[:number])
