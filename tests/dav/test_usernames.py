"""User names hold everywhere a name goes: URL, volume, file on any system."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas import InvalidError
from dav.usernames import NAME_SIZE_LIMIT, check_user_name, is_user_name, login_name

BAD = [
    "",
    ".",
    "..",
    "a..b",
    ".hidden",
    "ends.",
    "-dash",
    "ends-",
    "Alice",
    "al ice",
    "al/ice",
    "al\\ice",
    "al:ice",
    "al@ice",
    "al\x00ice",
    "alice\n",
    "аlice",  # noqa: RUF001 - begins with a Cyrillic letter, on purpose
    "alı",  # noqa: RUF001 - dotless i
    "ａlice",  # noqa: RUF001 - full width
    "é",
    "con",
    "con.txt",
    "nul",
    "com1",
    "lpt9.log",
    "dav",
    "registry",
    "remote.php",
    "x" * (NAME_SIZE_LIMIT + 1),
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_breaks_the_rule_is_refused(name: str) -> None:
    assert not is_user_name(name)
    with pytest.raises(InvalidError):
        check_user_name(name)


@pytest.mark.parametrize("name", ["a", "7", "alice", "a.b-c_d", "x" * NAME_SIZE_LIMIT, "console"])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert check_user_name(name) == name


@given(st.text())
def test_an_accepted_name_needs_no_encoding_anywhere(name: str) -> None:
    if is_user_name(name):
        assert quote(name, safe="") == name == name.lower() == name.strip(". ")


@pytest.mark.parametrize(("typed", "meant"), [("Alice", "alice"), ("BOB", "bob"), ("al-1", "al-1")])
def test_capitals_do_not_matter_at_login(typed: str, meant: str) -> None:
    assert login_name(typed) == meant


@pytest.mark.parametrize("typed", ["\u212aate", "alİce", "а", " alice", "alice\x00", "dav"])  # noqa: RUF001
def test_a_look_alike_is_nobody_at_login(typed: str) -> None:
    # The Kelvin sign's lower case is an ASCII k: folding must not reach it.
    assert login_name(typed) == ""
