"""Remembers for a few minutes which passwords were right and which were wrong.

WebDAV clients send the password with every request. Hashing it each time would cost more than all
the rest; a wrong one that a program repeats is no new guess and is not worth a hash either. The
cache holds keyed hashes under a key that lives and dies with the process, and each answer counts
only for the stored hash it was found against: a changed password is seen at once.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from blake3 import blake3

from dav.passwords import normalize_password

LIFETIME_NS: Final = 300 * 1_000_000_000
ENTRY_LIMIT: Final = 4096


class _Answer(NamedTuple):
    stored: str
    is_right: bool
    expires_ns: int


class VerifiedCache:
    """The answers of the last five minutes, the newest 4096 of each kind. Thread-safe.

    The kinds are kept apart so that a flood of wrong passwords pushes out no right one.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, _Answer] = OrderedDict()
        self._wrong: OrderedDict[bytes, _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, user: str, password: str, stored: str) -> bool | None:
        """Return whether the password is right for the stored hash; None where not known."""
        name = self._name(user, password)
        with self._lock:
            answer = self._right.get(name) or self._wrong.get(name)
        if answer is None or answer.stored != stored or answer.expires_ns <= self._clock():
            return None
        return answer.is_right

    def put(self, user: str, password: str, stored: str, *, is_right: bool) -> None:
        """Remember an answer."""
        name = self._name(user, password)
        answer = _Answer(stored, is_right, self._clock() + LIFETIME_NS)
        chosen, other = (self._right, self._wrong) if is_right else (self._wrong, self._right)
        with self._lock:
            other.pop(name, None)
            chosen[name] = answer
            chosen.move_to_end(name)
            while len(chosen) > ENTRY_LIMIT:
                chosen.popitem(last=False)

    def _name(self, user: str, password: str) -> bytes:
        """Hash both, the first with its length, so that no two pairs run into one another."""
        typed = user.encode("utf-8", "surrogatepass")
        message = len(typed).to_bytes(4, "big") + typed + normalize_password(password)
        return blake3(message, key=self._key).digest()
