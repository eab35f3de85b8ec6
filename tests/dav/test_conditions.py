from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.conditions import ABSENT, Conditions, EntityTag, State, if_range_holds
from dav.dates import http_date, parse_http_date, rfc3339
from dav.status import HttpError

NOW = State(EntityTag("now"), 784111777)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"


def evaluate(method: str, headers: dict[str, str], state: State = NOW) -> int:
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Conditions.parse(lambda name: named.get(name.lower())).evaluate(method, state)


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, 0),
        ("PUT", {"If_Match": '"now"'}, 0),
        ("PUT", {"If_Match": '"old", "now"'}, 0),
        ("PUT", {"If_Match": "*"}, 0),
        ("PUT", {"If_Match": "now"}, 0),
        ("PUT", {"If_Match": '"old"'}, 412),
        ("PUT", {"If_Match": 'W/"now"'}, 412),
        ("GET", {"If_Match": '"old"'}, 412),
        ("GET", {"If_None_Match": '"now"'}, 304),
        ("HEAD", {"If_None_Match": 'W/"now"'}, 304),
        ("GET", {"If_None_Match": "now"}, 304),
        ("GET", {"If_None_Match": "*"}, 304),
        ("GET", {"If_None_Match": '"old"'}, 0),
        ("PUT", {"If_None_Match": "*"}, 412),
        ("DELETE", {"If_None_Match": '"now"'}, 412),
        ("GET", {"If_Modified_Since": DATE}, 304),
        ("GET", {"If_Modified_Since": BEFORE}, 0),
        ("PUT", {"If_Modified_Since": DATE}, 0),
        ("GET", {"If_Modified_Since": "yesterday"}, 0),
        ("GET", {"If_Modified_Since": DATE, "If_None_Match": '"old"'}, 0),
        ("PUT", {"If_Unmodified_Since": DATE}, 0),
        ("PUT", {"If_Unmodified_Since": BEFORE}, 412),
        ("PUT", {"If_Unmodified_Since": "never"}, 0),
        ("PUT", {"If_Unmodified_Since": BEFORE, "If_Match": '"now"'}, 0),
        ("GET", {"If_Match": '"now"', "If_None_Match": '"now"'}, 304),
    ],
)
def test_conditions_are_evaluated_in_the_order_of_rfc_9110(
    method: str, headers: dict[str, str], expected: int
) -> None:
    assert evaluate(method, headers) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"If_Match": "*"}, 412),
        ({"If_Match": '"now"'}, 412),
        ({"If_None_Match": "*"}, 0),
        ({"If_None_Match": '"now"'}, 0),
        ({"If_Unmodified_Since": BEFORE}, 0),
    ],
)
def test_a_missing_target_matches_nothing(headers: dict[str, str], expected: int) -> None:
    assert evaluate("PUT", headers, ABSENT) == expected


@pytest.mark.parametrize("value", ["", " ", '"a" "b"', '"a', ",", '"a", *', "*, *"])
def test_a_malformed_list_of_tags_is_refused(value: str) -> None:
    with pytest.raises(HttpError) as caught:
        evaluate("PUT", {"If_Match": value})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "value", [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_all_three_forms_of_a_date_are_read(value: str) -> None:
    assert parse_http_date(value) == 784111777


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "784111777",
    ],
)
def test_what_is_no_date_is_none(value: str) -> None:
    assert parse_http_date(value) is None


@given(st.integers(-(10**9), 10**10))
def test_dates_round_trip(seconds: int) -> None:
    assert parse_http_date(http_date(seconds * 10**9 + 999_999_999)) == seconds


def test_times_beyond_the_calendar_are_written_as_its_ends() -> None:
    assert http_date(10**30).startswith("Fri, 31 Dec 9999")
    assert rfc3339(-(10**30)) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, True),
        ('"now"', True),
        ('W/"now"', False),
        ('"old"', False),
        (DATE, True),
        (BEFORE, False),
        ("Sun, 06 Nov 2044 08:49:37 GMT", False),
        ("nonsense", False),
    ],
)
def test_if_range_compares_strongly(value: str | None, *, expected: bool) -> None:
    assert if_range_holds(value, NOW, 2e9) is expected


def test_if_range_trusts_no_date_within_its_own_second() -> None:
    assert not if_range_holds(DATE, NOW, 784111777.5)


def test_no_condition_is_false() -> None:
    assert not Conditions.parse(lambda _name: None)
    assert Conditions.parse(lambda name: "*" if name == "If-Match" else None)
