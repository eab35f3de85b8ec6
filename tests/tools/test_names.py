from __future__ import annotations

import base64
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.names import json_name, mode_text, printable, size_text, time_text

disk_names = st.binary(min_size=1, max_size=40).map(os.fsdecode)


@given(disk_names | st.text())
def test_a_printed_name_cannot_steer_a_terminal_or_break_a_line(name: str) -> None:
    shown = printable(name)
    shown.encode()
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in shown)


@given(st.lists(disk_names, min_size=2, max_size=2, unique=True))
def test_two_names_never_look_the_same_when_printed(names: list[str]) -> None:
    assert printable(names[0]) != printable(names[1])


@given(disk_names)
def test_a_name_in_json_is_exact(name: str) -> None:
    members = json_name("path", name)
    members["path"].encode()
    if "path_base64" in members:
        assert base64.b64decode(members["path_base64"]) == os.fsencode(name)
    else:
        assert members["path"] == name


def test_ordinary_names_are_printed_as_they_are() -> None:
    assert printable("Grüße 👩‍👩‍👧.txt") == "Grüße 👩‍👩‍👧.txt"
    assert printable("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\xff"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (2**60, "1024.0 PiB"),
    ],
)
def test_sizes_read_well(size: int, text: str) -> None:
    assert size_text(size) == text


def test_times_keep_their_nanoseconds() -> None:
    assert time_text(1) == "1970-01-01T00:00:00.000000001Z"
    assert time_text(-1) == "1969-12-31T23:59:59.999999999Z"
    assert time_text(-59_011_459_200 * 10**9) == "0100-01-01T00:00:00.000000000Z"
    assert time_text(2**63 * 1000) is None


def test_modes_are_octal() -> None:
    assert mode_text(0o4755) == "4755"
    assert mode_text(0o44) == "0044"
