"""Checks the passwords that people choose: cheaply where it can, in turn and slowed where not.

Every name goes the same way, whether a user has it or not: the cache of verified passwords, the
throttle, one Argon2 hash. So neither the answer nor its time tells which names there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dav import passwords
from dav.accounts import replace_hash
from dav.challenge import Challenge, Reason
from dav.passwords import HashGate
from dav.records import User
from dav.registry import Registry
from dav.throttle import Throttle, Ticket
from dav.verified import VerifiedCache

BUSY_SECONDS: Final = 2
"""When to come back where too many wait to be checked."""

_REFUSED: Final = Challenge(Reason.REFUSED)


class PasswordCheck:
    """Checks for one repository. One per process, shared by its threads.

    `clock` returns nanoseconds since the epoch.
    """

    def __init__(self, registry: Registry, clock: Callable[[], int]) -> None:
        repository = registry.repository
        self._repository = repository
        self._throttle = Throttle(repository.scratch, repository.secret("throttle"), clock)
        self._verified = VerifiedCache(clock)
        self._gate = HashGate()
        self._dummy = passwords.dummy_hash()

    def check(self, user: User | None, name: str, password: str, address: str) -> Challenge | None:
        """Return None where the password is the user's and the user may come in.

        `name` is what was typed, of which `user` is the user if there is one; `address` is where
        the attempt comes from.
        """
        if len(password) > passwords.PASSWORD_SIZE_LIMIT:
            return _REFUSED
        stored = self._dummy
        if user is not None and user.password and not user.disabled:
            stored = user.password
        known = self._verified.get(name, password, stored)
        if known is not None:
            return _verdict(is_right=known)
        wait = self._throttle.wait_seconds(name, address)
        if wait:
            return Challenge(Reason.THROTTLED, wait)
        with self._gate.enter() as has_entered:
            if not has_entered:
                return Challenge(Reason.BUSY, BUSY_SECONDS)
            return self._check_in_turn(user, name, password, stored, address)

    def _check_in_turn(
        self, user: User | None, name: str, password: str, stored: str, address: str
    ) -> Challenge | None:
        """Hash, alone in this process, unless a connection that waited ahead has found out."""
        known = self._verified.get(name, password, stored)
        if known is not None:
            return _verdict(is_right=known)
        ticket = self._throttle.begin(name, address)
        if not isinstance(ticket, Ticket):
            return Challenge(Reason.THROTTLED, ticket)
        is_right = passwords.verify_password(stored, password)
        if is_right and user is not None:
            self._throttle.succeeded(ticket)
            if passwords.needs_rehash(stored):
                stored = passwords.hash_password(password)
                replace_hash(self._repository, user, stored)
        self._verified.put(name, password, stored, is_right=is_right)
        return _verdict(is_right=is_right)


def _verdict(*, is_right: bool) -> Challenge | None:
    return None if is_right else _REFUSED
