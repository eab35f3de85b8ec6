from __future__ import annotations

import time

import click
import pytest

from tools.parameters import FUTURE, LIMIT, LOCATION, PAST, SIZE, Location, SpanType, limit_of


@pytest.mark.parametrize(
    ("word", "volume", "path"),
    [
        ("alice:/a/b", "alice", "a/b"),
        ("alice:a", "alice", "a"),
        ("alice:", "alice", ""),
        ("alice:/", "alice", ""),
        ("alice:/a:b/", "alice", "a:b"),
    ],
)
def test_a_place_is_a_volume_and_a_path(word: str, volume: str, path: str) -> None:
    assert LOCATION.convert(word, None, None) == Location(volume, path)


@pytest.mark.parametrize("word", ["alice", "", ":/a", "/a/b", "./a:b"])
def test_what_names_no_volume_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(click.BadParameter, match="alice:/photos"):
        LOCATION.convert(word, None, None)


@pytest.mark.parametrize(
    ("word", "size"),
    [("0", 0), ("500", 500), ("1k", 1024), ("1.5M", 1572864), ("2GiB", 2**31), ("1 TB", 2**40)],
)
def test_sizes_have_binary_units(word: str, size: int) -> None:
    assert SIZE.convert(word, None, None) == size


@pytest.mark.parametrize("word", ["", "-1", "1X", "many", "1.2.3M"])
def test_what_is_no_size_is_refused(word: str) -> None:
    with pytest.raises(click.BadParameter, match="not a size"):
        SIZE.convert(word, None, None)


def test_no_limit_can_be_said() -> None:
    assert limit_of(LIMIT.convert("none", None, None)) is None
    assert limit_of(LIMIT.convert("1K", None, None)) == 1024
    assert limit_of(None) is None


def test_a_moment_is_a_span_from_now_or_a_date() -> None:
    now = time.time_ns()
    day = 86_400 * 10**9
    assert abs(FUTURE.convert("2d", None, None) - (now + 2 * day)) < day / 100
    assert abs(PAST.convert("2d", None, None) - (now - 2 * day)) < day / 100
    assert FUTURE.convert("2027-01-31T00:00:00+00:00", None, None) == 1_801_353_600 * 10**9
    with pytest.raises(click.BadParameter, match="neither a span"):
        FUTURE.convert("soon", None, None)


def test_no_time_needs_no_unit() -> None:
    assert SpanType().convert("0", None, None) == 0
