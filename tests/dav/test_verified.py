"""The cache of verified passwords: never right for longer than it may be."""

from __future__ import annotations

from dav import verified
from dav.verified import VerifiedCache
from tests.support.clock import FakeClock


def test_an_answer_is_kept_for_five_minutes() -> None:
    clock = FakeClock()
    cache = VerifiedCache(clock)
    cache.put("alice", "right", "hash", is_right=True)
    cache.put("alice", "wrong", "hash", is_right=False)
    clock.advance(299)
    assert cache.get("alice", "right", "hash") is True
    assert cache.get("alice", "wrong", "hash") is False
    clock.advance(1)
    assert cache.get("alice", "right", "hash") is None
    assert cache.get("alice", "wrong", "hash") is None


def test_an_answer_counts_only_for_the_hash_it_was_found_against() -> None:
    cache = VerifiedCache(FakeClock())
    cache.put("alice", "secret", "old hash", is_right=True)
    assert cache.get("alice", "secret", "new hash") is None


def test_name_and_password_do_not_run_into_one_another() -> None:
    cache = VerifiedCache(FakeClock())
    cache.put("alice", "secret", "hash", is_right=True)
    assert cache.get("alic", "esecret", "hash") is None
    assert cache.get("alices", "ecret", "hash") is None


def test_a_later_answer_replaces_an_earlier_one() -> None:
    cache = VerifiedCache(FakeClock())
    cache.put("alice", "secret", "old", is_right=True)
    cache.put("alice", "secret", "new", is_right=False)
    assert cache.get("alice", "secret", "new") is False
    cache.put("alice", "secret", "newer", is_right=True)
    assert cache.get("alice", "secret", "newer") is True


def test_a_flood_of_wrong_passwords_pushes_out_only_wrong_ones() -> None:
    cache = VerifiedCache(FakeClock())
    cache.put("alice", "right", "hash", is_right=True)
    cache.put("bob", "first wrong", "hash", is_right=False)
    for number in range(verified.ENTRY_LIMIT):
        cache.put("eve", f"guess {number}", "hash", is_right=False)
    assert cache.get("alice", "right", "hash") is True
    assert cache.get("bob", "first wrong", "hash") is None
    assert cache.get("eve", "guess 0", "hash") is False
