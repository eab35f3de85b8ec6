from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.ranges import ByteRange, MultipartRanges, UnsatisfiableError, parse_ranges

CONTENT = bytes(range(256)) * 40


def read(start: int, stop: int) -> Iterator[bytes]:
    yield CONTENT[start:stop]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=10-19", [(10, 20)]),
        ("bytes=990-2000", [(990, 1000)]),
        ("bytes=0-99999999999999999999999999", [(0, 1000)]),
        ("bytes=-10", [(990, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("Bytes = 1-2", [(1, 3)]),
        ("bytes=0-9, 500-509", [(0, 10), (500, 510)]),
        ("bytes=500-509,0-9", [(500, 510), (0, 10)]),
        ("bytes=0-9,,500-509,", [(0, 10), (500, 510)]),
        ("bytes=0-9,5000-", [(0, 10)]),
        ("bytes=0-99,50-149", [(0, 150)]),
        ("bytes=0-9,20-29", [(0, 30)]),
        ("bytes=-10,0-9,-20", [(0, 10), (980, 1000)]),
    ],
)
def test_ranges_are_clipped_and_joined(value: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ranges(value, 1000) == tuple(ByteRange(*one) for one in expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=9-2",
        "bytes=0-1,9-2",
        "bytes=a-b",
        "bytes=0-1-2",
        "bytes=+1-2",
        "items=0-1",
        "bytes=" + ",".join(f"{start * 200}-{start * 200}" for start in range(65)),
    ],
)
def test_what_is_not_understood_is_ignored(value: str | None) -> None:
    assert parse_ranges(value, 100_000) is None


@pytest.mark.parametrize("value", ["bytes=1000-", "bytes=-0", "bytes=2000-3000,1000-"])
def test_ranges_outside_the_content_cannot_be_satisfied(value: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_ranges(value, 1000)


def test_an_empty_file_has_no_first_byte_and_its_last_bytes_are_all_of_it() -> None:
    with pytest.raises(UnsatisfiableError):
        parse_ranges("bytes=0-", 0)
    assert parse_ranges("bytes=-5", 0) is None


def test_content_range_names_the_last_byte() -> None:
    assert ByteRange(10, 20).content_range(1000) == "bytes 10-19/1000"


@given(st.lists(st.integers(0, 20), min_size=2, max_size=9, unique=True))
def test_a_multipart_body_holds_each_range_and_has_the_length_it_says(starts: list[int]) -> None:
    header = "bytes=" + ",".join(f"{start * 400}-{start * 400 + 99}" for start in starts)
    ranges = parse_ranges(header, len(CONTENT))
    assert ranges is not None
    parts = MultipartRanges(ranges, len(CONTENT), "text/plain")
    body = b"".join(parts.stream(read))
    assert len(body) == parts.length
    head = f"Content-Type: {parts.content_type}\r\n\r\n".encode()
    [_, *payload] = message_from_bytes(head + body).walk()
    sent = [(part["Content-Range"], part["Content-Type"]) for part in payload]
    assert sent == [(one.content_range(len(CONTENT)), "text/plain") for one in ranges]
    for one in ranges:
        assert CONTENT[one.start : one.stop] in body
