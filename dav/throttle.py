"""Slows down the guessing of passwords without locking anybody out.

Three counters, kept in the repository's scratch table, so that all processes share them:

- *address*: failures from one IPv4 address or IPv6 /64, whatever the account. Slows one guesser.
- *account*: failures for one name, from addresses it is not known at. Slows many guessers.
- *pair*: failures for one name from an address where its password was right within 30 days.

An attempt from a known address is judged by its pair alone. So a flood of guesses from elsewhere,
or by a neighbour behind the same router against other names, never slows a user at home. A user
at a new address during an attack waits like the attacker, at most a minute per attempt; an app
password, a JWT, a session and a password verified in the last five minutes are never throttled
at all, because none of them is looked up here.

After some free failures each one doubles the wait. An attempt is counted before its password is
hashed, so that a hundred at once are not a hundred free ones, and is taken back if the password
was right. A refused attempt is not counted: whoever floods does not lengthen the wait. A name
that no user has is counted like any other, or the wait would tell which names there are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

import cas

SECOND_NS: Final = 1_000_000_000
KNOWN_NS: Final = 30 * 86_400 * SECOND_NS
"""How long an address stays known after a right password."""
FORGET_NS: Final = 3600 * SECOND_NS
"""How long after the last failure a counter starts anew."""


class Limit(NamedTuple):
    """How a counter slows: after `free` failures 1 s, doubled by each, `most_seconds` at most."""

    name: str
    free: int
    most_seconds: int

    def wait_ns(self, failures: int) -> int:
        """Return how long to wait after this many failures, in nanoseconds."""
        if failures < self.free:
            return 0
        doublings = min(failures - self.free, 32)
        return min(1 << doublings, self.most_seconds) * SECOND_NS


ADDRESS: Final = Limit("address", free=10, most_seconds=900)
ACCOUNT: Final = Limit("account", free=10, most_seconds=60)
PAIR: Final = Limit("pair", free=5, most_seconds=300)


class _Counter(msgspec.Struct, array_like=True, frozen=True):
    """Failures, when the last one was, and when the next attempt may be."""

    failures: int
    last_ns: int
    next_ns: int


_NONE: Final = _Counter(0, 0, 0)


class Ticket(NamedTuple):
    """An attempt that was counted and may go on: when, and the keys for `Throttle.succeeded`."""

    began_ns: int
    resets: bytes
    refunds: tuple[bytes, ...]
    known: bytes


class Throttle:
    """Counts failed attempts in a scratch table under keyed hashes. Thread-safe.

    `key` is 32 secret bytes; `clock` returns nanoseconds since the epoch.
    """

    def __init__(self, scratch: cas.Scratch, key: bytes, clock: Callable[[], int]) -> None:
        self._scratch = scratch
        self._key = key
        self._clock = clock

    def wait_seconds(self, account: str, address: str) -> int:
        """Return how long an attempt has to wait, in whole seconds; 0 if it may go on now."""
        now = self._clock()
        wait = max(
            self._wait_ns(limit, self._scratch.get(key), now)
            for limit, key in self._counters(account, address)
        )
        return -(-wait // SECOND_NS)

    def begin(self, account: str, address: str) -> Ticket | int:
        """Count an attempt as failed, before its password is hashed.

        Returns:
            the ticket, or the seconds to wait where another attempt came first.
        """
        now = self._clock()
        counted: list[bytes] = []
        for limit, key in self._counters(account, address):
            wait = self._count(limit, key, now)
            if wait:
                for earlier in counted:
                    self._refund(earlier, now)
                return -(-wait // SECOND_NS)
            counted.append(key)
        return Ticket(now, counted[0], tuple(counted[1:]), self._known_key(account, address))

    def succeeded(self, ticket: Ticket) -> None:
        """Take the attempt back: its password was right, and the address is known from now on.

        The account's failures are forgotten; those of the address stay, or a guesser could wash
        them off with an account of his own.
        """
        self._scratch.delete(ticket.resets)
        for key in ticket.refunds:
            self._refund(key, ticket.began_ns)
        expires = self._clock() + KNOWN_NS
        self._scratch.put(ticket.known, expires.to_bytes(8, "big"), expires_ns=expires)

    def _counters(self, account: str, address: str) -> list[tuple[Limit, bytes]]:
        """Return the counters that judge an attempt, the account's own first."""
        network = network_of(address)
        known = self._scratch.get(self._known_key(account, address))
        if known is not None and int.from_bytes(known, "big") > self._clock():
            return [(PAIR, self._name("pair", account, network))]
        return [
            (ACCOUNT, self._name("account", account)),
            (ADDRESS, self._name("address", network)),
        ]

    def _count(self, limit: Limit, key: bytes, now: int) -> int:
        """Count a failure unless the counter says wait; return that wait in nanoseconds."""
        waits: list[int] = []

        def add(stored: bytes | None) -> bytes | None:
            # The engine may call this again if its transaction has to start anew.
            waits[:] = [self._wait_ns(limit, stored, now)]
            if waits[0]:
                return stored
            failures = _current(stored, now).failures + 1
            return msgspec.msgpack.encode(_Counter(failures, now, now + limit.wait_ns(failures)))

        self._scratch.update(key, add, expires_ns=now + FORGET_NS)
        return waits[0]

    def _refund(self, key: bytes, began_ns: int) -> None:
        """Take a failure back, and the wait that it brought unless a later one brought its own."""
        now = self._clock()

        def subtract(stored: bytes | None) -> bytes | None:
            counter = _current(stored, now)
            if counter.failures <= 1:
                return None
            next_ns = 0 if counter.last_ns == began_ns else counter.next_ns
            return msgspec.msgpack.encode(_Counter(counter.failures - 1, counter.last_ns, next_ns))

        self._scratch.update(key, subtract, expires_ns=now + FORGET_NS)

    @staticmethod
    def _wait_ns(limit: Limit, stored: bytes | None, now: int) -> int:
        """Return how long a counter still makes wait.

        Never more than the failures are worth, even where the machine's clock was set back.
        """
        counter = _current(stored, now)
        return min(max(counter.next_ns - now, 0), limit.wait_ns(counter.failures))

    def _known_key(self, account: str, address: str) -> bytes:
        return self._name("known", account, network_of(address))

    def _name(self, *parts: str) -> bytes:
        """Return a scratch key that tells nothing of names and addresses."""
        message = repr(parts).encode("utf-8")
        return b"throttle/" + blake3(message, key=self._key).digest()


def _current(stored: bytes | None, now: int) -> _Counter:
    """Return the counter, empty where it was never counted or long ago."""
    counter = msgspec.msgpack.decode(stored, type=_Counter) if stored else _NONE
    return counter if counter.last_ns + FORGET_NS > now else _NONE


def network_of(address: str) -> str:
    """Return what counts as one guesser: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # A Unix socket's peer, or a test's.
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
