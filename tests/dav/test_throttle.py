"""The throttle slows guessing, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from dav.throttle import ACCOUNT, ADDRESS, PAIR, SECOND_NS, Limit, Throttle, Ticket, network_of
from tests.support.clock import FakeClock

HOME = "192.0.2.1"
AWAY = "198.51.100.7"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        yield made


@pytest.fixture
def throttle(repository: cas.Repository, clock: FakeClock) -> Throttle:
    return Throttle(repository.scratch, b"k" * 32, clock)


def begin(throttle: Throttle, account: str, address: str) -> Ticket:
    ticket = throttle.begin(account, address)
    assert isinstance(ticket, Ticket), f"told to wait {ticket} s"
    return ticket


def fail(throttle: Throttle, account: str, address: str, times: int) -> None:
    for _ in range(times):
        begin(throttle, account, address)


def sign_in(throttle: Throttle, account: str, address: str) -> None:
    throttle.succeeded(begin(throttle, account, address))


@given(st.integers(0, 200), st.sampled_from([ADDRESS, ACCOUNT, PAIR]))
def test_the_wait_never_shrinks_and_has_an_end(failures: int, limit: Limit) -> None:
    assert limit.wait_ns(failures) <= limit.wait_ns(failures + 1) <= limit.most_seconds * SECOND_NS
    assert (limit.wait_ns(failures) == 0) == (failures < limit.free)


def test_some_failures_are_free_then_each_doubles_the_wait(
    throttle: Throttle, clock: FakeClock
) -> None:
    fail(throttle, "alice", HOME, ACCOUNT.free - 1)
    assert throttle.wait_seconds("alice", HOME) == 0
    for seconds in (1, 2, 4, 8):
        fail(throttle, "alice", HOME, 1)
        assert throttle.wait_seconds("alice", HOME) == seconds
        assert throttle.begin("alice", HOME) == seconds
        clock.advance(seconds)
        assert throttle.wait_seconds("alice", HOME) == 0


def test_a_refused_attempt_does_not_lengthen_the_wait(throttle: Throttle) -> None:
    fail(throttle, "alice", HOME, ACCOUNT.free)
    for _ in range(50):
        assert throttle.begin("alice", HOME) == 1
    assert throttle.wait_seconds("alice", HOME) == 1


def test_attempts_at_the_same_moment_get_no_more_than_the_free_ones(throttle: Throttle) -> None:
    tickets: list[Ticket | int] = []
    barrier = threading.Barrier(16)

    def attempt() -> None:
        barrier.wait(timeout=30)
        tickets.extend([throttle.begin("alice", HOME) for _ in range(4)])

    threads = [threading.Thread(target=attempt) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(isinstance(ticket, Ticket) for ticket in tickets) == ACCOUNT.free


def test_one_address_cannot_try_many_names(throttle: Throttle) -> None:
    for number in range(ADDRESS.free):
        begin(throttle, f"user{number}", HOME)
    assert throttle.wait_seconds("another", HOME) == 1
    assert throttle.wait_seconds("another", AWAY) == 0


def test_many_addresses_cannot_try_one_name(throttle: Throttle) -> None:
    for number in range(ACCOUNT.free):
        begin(throttle, "alice", f"203.0.113.{number}")
    assert throttle.wait_seconds("alice", AWAY) == 1
    assert throttle.wait_seconds("bob", AWAY) == 0


def test_a_user_at_a_known_address_does_not_wait_for_an_attack_from_elsewhere(
    throttle: Throttle, clock: FakeClock
) -> None:
    sign_in(throttle, "alice", HOME)
    for _ in range(30):
        clock.advance(throttle.wait_seconds("alice", AWAY))
        begin(throttle, "alice", AWAY)
    assert throttle.wait_seconds("alice", AWAY) > 0
    sign_in(throttle, "alice", HOME)


def test_a_user_at_a_new_address_waits_a_minute_at_most(
    throttle: Throttle, clock: FakeClock
) -> None:
    for number in range(100):
        clock.advance(throttle.wait_seconds("alice", f"203.0.113.{number}"))
        begin(throttle, "alice", f"203.0.113.{number}")
    assert throttle.wait_seconds("alice", HOME) == 60


def test_guessing_from_a_known_address_is_slowed_too(throttle: Throttle) -> None:
    sign_in(throttle, "alice", HOME)
    fail(throttle, "alice", HOME, PAIR.free)
    assert throttle.wait_seconds("alice", HOME) == 1


def test_a_known_address_is_forgotten_after_30_days(throttle: Throttle, clock: FakeClock) -> None:
    sign_in(throttle, "alice", HOME)
    fail(throttle, "alice", AWAY, ACCOUNT.free)
    assert throttle.wait_seconds("alice", HOME) == 0
    clock.advance(30 * 86_400)
    fail(throttle, "alice", AWAY, ACCOUNT.free)
    assert throttle.wait_seconds("alice", HOME) == 1


def test_a_success_makes_the_accounts_failures_forgotten(throttle: Throttle) -> None:
    fail(throttle, "alice", AWAY, ACCOUNT.free - 1)
    sign_in(throttle, "alice", HOME)
    fail(throttle, "alice", "203.0.113.9", ACCOUNT.free - 1)
    assert throttle.wait_seconds("alice", "203.0.113.10") == 0


def test_an_account_of_ones_own_does_not_wash_off_the_addresss_failures(
    throttle: Throttle,
) -> None:
    for number in range(ADDRESS.free - 1):
        begin(throttle, f"user{number}", AWAY)
    sign_in(throttle, "eve", AWAY)
    begin(throttle, "alice", AWAY)
    assert throttle.wait_seconds("bob", AWAY) == 1


def test_counters_start_anew_after_an_hour_of_peace(throttle: Throttle, clock: FakeClock) -> None:
    fail(throttle, "alice", HOME, ACCOUNT.free)
    clock.advance(3600)
    fail(throttle, "alice", HOME, ACCOUNT.free)
    assert throttle.wait_seconds("alice", HOME) == 1


def test_a_clock_that_is_set_back_locks_nobody_out(throttle: Throttle, clock: FakeClock) -> None:
    fail(throttle, "alice", HOME, ACCOUNT.free)
    clock.advance(-86_400)
    assert throttle.wait_seconds("alice", HOME) == 1


def test_two_processes_count_together(
    repository: cas.Repository, throttle: Throttle, clock: FakeClock
) -> None:
    with cas.open(repository.location) as other:
        fail(Throttle(other.scratch, b"k" * 32, clock), "alice", HOME, ACCOUNT.free)
    assert throttle.wait_seconds("alice", HOME) == 1


def test_odd_names_are_counted_like_others(throttle: Throttle) -> None:
    for name in ("\ud800", "a\x00b", "x" * 10_000, ""):
        begin(throttle, name, HOME)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_guesser_is_an_ipv4_address_or_a_64_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_success_takes_no_wait_back_that_a_later_failure_brought(
    throttle: Throttle, clock: FakeClock
) -> None:
    for number in range(ADDRESS.free - 1):
        begin(throttle, f"user{number}", AWAY)
    own = begin(throttle, "eve", AWAY)
    clock.advance(1)
    fail(throttle, "alice", AWAY, 1)
    throttle.succeeded(own)
    assert throttle.wait_seconds("bob", AWAY) == 1
