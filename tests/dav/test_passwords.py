"""Passwords of people: hashed by Argon2id, few at a time."""

from __future__ import annotations

import threading

import pytest

from cas import InvalidError
from dav.passwords import (
    PASSWORD_SIZE_LIMIT,
    HashGate,
    check_password_rule,
    dummy_hash,
    hash_password,
    needs_rehash,
    verify_password,
)
from tests.support import wait_until

WEAKER = (
    "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA"
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


def test_the_right_password_verifies_and_another_does_not() -> None:
    stored = hash_password("correct horse")
    assert verify_password(stored, "correct horse")
    assert not verify_password(stored, "correct horsf")
    assert not verify_password(stored, "")


def test_the_hash_is_the_standard_string_with_its_own_salt() -> None:
    first, second = hash_password("same"), hash_password("same")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second


def test_an_accent_typed_in_two_ways_is_one_password() -> None:
    assert verify_password(hash_password("caf\u00e9 noir"), "cafe\u0301 noir")


def test_only_a_hash_with_other_parameters_needs_a_rehash() -> None:
    assert needs_rehash(WEAKER)
    assert not needs_rehash(hash_password("x"))
    assert not needs_rehash(dummy_hash())


def test_the_dummy_is_a_real_hash_that_nothing_matches() -> None:
    dummy = dummy_hash()
    assert not verify_password(dummy, "")
    assert not verify_password(dummy, "password")
    # As long as a real one, field by field: the same work is done on it.
    assert [len(part) for part in dummy.split("$")] == [
        len(part) for part in hash_password("x").split("$")
    ]


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "with\x00nul",
        "with\nline",
        "alice-alice",
        "é" * PASSWORD_SIZE_LIMIT,
        "\ud800" * 9,
    ],
)
def test_a_password_that_breaks_the_rule_is_refused(password: str) -> None:
    with pytest.raises(InvalidError):
        check_password_rule(password, "alice-alice")


def test_a_long_sentence_in_any_script_is_a_password() -> None:
    check_password_rule("Ein Schwein, vierzehn Bücher & 一只猫", "alice")


def test_the_gate_lets_one_hash_at_a_time_and_turns_away_whom_it_has_no_place_for() -> None:
    gate = HashGate(waiting_limit=1)
    release = threading.Event()
    entered: list[bool] = []

    def hash_something() -> None:
        with gate.enter() as has_entered:
            entered.append(has_entered)
            release.wait(timeout=30)

    threads = [threading.Thread(target=hash_something) for _ in range(3)]
    for thread in threads:
        thread.start()
    # One hashes, one waits, and the third, whichever it is, is told no at once.
    wait_until(lambda: sorted(entered) == [False, True], "one in and one away")
    release.set()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(entered) == [False, True, True]
