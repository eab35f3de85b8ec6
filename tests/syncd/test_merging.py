"""Two changes of one text: put together where they do not meet, and never otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.merging import TEXT_LIMIT, merge_texts

BASE = b"title\n\none\n\ntwo\n\nthree\n"
LINES = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"\xc3\xa4\n", b"d"]), max_size=9
)
TEXTS = LINES.map(b"".join)


def test_changes_at_different_places_go_together() -> None:
    one = b"Title\n\none\n\ntwo\n\nthree\n"
    other = b"title\n\none\n\ntwo\n\nthree\n\nfour\n"
    assert merge_texts(BASE, one, other) == b"Title\n\none\n\ntwo\n\nthree\n\nfour\n"


def test_a_line_removed_and_another_added() -> None:
    one = b"title\n\ntwo\n\nthree\n"
    other = b"title\n\none\n\ntwo\n\nnew\n\nthree\n"
    assert merge_texts(BASE, one, other) == b"title\n\ntwo\n\nnew\n\nthree\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"title\n\nONE\n\ntwo\n\nthree\n", b"title\n\neins\n\ntwo\n\nthree\n"),
        (BASE + b"mine\n", BASE + b"theirs\n"),
        (b"title\n\n\ntwo\n\nthree\n", b"title\n\nONE\n\ntwo\n\nthree\n"),
        (b"", BASE + b"more\n"),
    ],
)
def test_changes_that_meet_are_not_merged(one: bytes, other: bytes) -> None:
    assert merge_texts(BASE, one, other) is None


def test_line_ends_stay_and_a_change_of_all_of_them_meets_any_other() -> None:
    base = BASE.replace(b"\n", b"\r\n")
    one, other = base.replace(b"one", b"1"), base.replace(b"three", b"3")
    assert merge_texts(base, one, other) == base.replace(b"one", b"1").replace(b"three", b"3")
    assert merge_texts(base, BASE, other) is None


def test_no_newline_at_the_end_stays_so() -> None:
    base = BASE.rstrip()
    assert merge_texts(base, b"new\n" + base, base) == b"new\n" + base
    assert merge_texts(base, b"new\n" + base, base.replace(b"two", b"2")) == (
        b"new\n" + base.replace(b"two", b"2")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"a\0b\n",
        "ä\n".encode("latin-1"),
        "ä\n".encode("utf-16"),
        b"x" * (TEXT_LIMIT + 1),
        b"\n" * 50_001,
    ],
)
def test_what_is_no_text_or_too_large_is_not_merged(content: bytes) -> None:
    assert merge_texts(content, content, content) is None


def test_what_takes_a_bad_algorithm_forever_is_done_at_once() -> None:
    base = b"a\n" * 20_000
    assert merge_texts(base, b"b\n" + base, base + b"c\n") == b"b\n" + base + b"c\n"
    mixed = b"".join(b"%d\n" % (number % 150) for number in range(40_000))
    assert merge_texts(mixed, mixed[9_000:] + mixed[:9_000], mixed) == mixed[9_000:] + mixed[:9_000]


@given(TEXTS, TEXTS)
def test_one_change_is_taken_as_it_is(base: bytes, changed: bytes) -> None:
    assert merge_texts(base, base, changed) == changed
    assert merge_texts(base, changed, base) == changed
    assert merge_texts(base, changed, changed) == changed


@given(TEXTS, TEXTS, TEXTS)
def test_it_makes_no_difference_which_side_is_which(base: bytes, one: bytes, other: bytes) -> None:
    merged = merge_texts(base, one, other)
    assert merged == merge_texts(base, other, one)


@given(TEXTS, TEXTS, TEXTS)
def test_no_line_is_lost_that_either_side_has_written(
    base: bytes, one: bytes, other: bytes
) -> None:
    merged = merge_texts(base, one, other)
    if merged is not None:
        old, new = base.splitlines(), set(merged.splitlines())
        assert {*one.splitlines(), *other.splitlines()} - set(old) <= new
        assert new <= {*old, *one.splitlines(), *other.splitlines()}


@given(TEXTS, TEXTS, TEXTS)
def test_merging_again_what_was_merged_changes_nothing(
    base: bytes, one: bytes, other: bytes
) -> None:
    merged = merge_texts(base, one, other)
    if merged is not None:
        assert merge_texts(other, merged, other) == merged


@given(st.lists(st.integers(0, 30), unique=True, min_size=9), st.data())
def test_edits_with_a_line_between_them_always_merge(
    numbers: list[int], data: st.DataObject
) -> None:
    lines = [b"%d\n" % number for number in numbers]
    first = data.draw(st.integers(0, len(lines) - 3))
    second = data.draw(st.integers(first + 2, len(lines) - 1))
    one, other, both = lines.copy(), lines.copy(), lines.copy()
    one[first] = both[first] = b"mine\n"
    other[second] = both[second] = b"theirs\n"
    assert merge_texts(*map(b"".join, (lines, one, other))) == b"".join(both)
