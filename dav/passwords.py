"""Passwords that people choose: Argon2id hashes, and few of them at a time.

The cost is OWASP's first choice: 2 passes over 19 MiB, one lane. It takes about 27 ms of one core
here, without the interpreter lock. More memory would buy little (the same password is hashed once
in five minutes) and would show in the server's memory, which is held small on purpose.
"""

from __future__ import annotations

import base64
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cas import InvalidError

PASSES: Final = 2
MEMORY_KIB: Final = 19 * 1024
LANES: Final = 1
SALT_SIZE: Final = 16
HASH_SIZE: Final = 32
PASSWORD_LENGTH_MINIMUM: Final = 8
PASSWORD_SIZE_LIMIT: Final = 1024
"""Bytes of UTF-8; a longer one is refused before any work is done on it."""

_PARAMETERS: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"


def normalize_password(password: str) -> bytes:
    """Return the bytes to hash: NFC, since systems type accents in different ways (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def check_password_rule(password: str, user: str) -> None:
    """Raise unless a user may have this password; length is what counts (NIST SP 800-63B).

    Raises:
        InvalidError: too short, too long, the user's name, or with control characters.
    """
    if len(password) < PASSWORD_LENGTH_MINIMUM:
        raise InvalidError(f"a password needs {PASSWORD_LENGTH_MINIMUM} characters or more")
    if len(normalize_password(password)) > PASSWORD_SIZE_LIMIT:
        raise InvalidError(f"a password may have {PASSWORD_SIZE_LIMIT} bytes")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
        raise InvalidError("a password cannot hold control characters")
    if password.lower() == user:
        raise InvalidError("a password cannot be the user's name")


def hash_password(password: str) -> str:
    """Return the password's hash as a standard `$argon2id$` string, with a fresh salt."""
    return Argon2id(
        salt=secrets.token_bytes(SALT_SIZE),
        length=HASH_SIZE,
        iterations=PASSES,
        lanes=LANES,
        memory_cost=MEMORY_KIB,
    ).derive_phc_encoded(normalize_password(password))


def verify_password(stored: str, password: str) -> bool:
    """Return whether the password is the one whose hash is stored; takes one hash's time."""
    try:
        Argon2id.verify_phc_encoded(normalize_password(password), stored)
    except InvalidKey:
        return False
    return True


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other parameters than today's."""
    return not stored.startswith(_PARAMETERS)


def dummy_hash() -> str:
    """Return a hash of today's cost that no password has.

    An unknown user's password is compared with it, so that the answer takes as long as a known
    user's.
    """
    parts = (secrets.token_bytes(size) for size in (SALT_SIZE, HASH_SIZE))
    return _PARAMETERS + "$".join(base64.b64encode(part).decode().rstrip("=") for part in parts)


class HashGate:
    """Lets one thread at a time hash, and a few wait; the rest are turned away at once.

    So a flood of guesses takes one core and a handful of worker threads, never the server. One
    per process, shared by its threads.
    """

    def __init__(self, waiting_limit: int = 8) -> None:
        self._places = threading.BoundedSemaphore(1 + waiting_limit)
        self._hashing = threading.Lock()

    @contextmanager
    def enter(self) -> Iterator[bool]:
        """Wait for the turn to hash; yields False, at once, where too many wait already."""
        if not self._places.acquire(blocking=False):
            yield False
            return
        try:
            with self._hashing:
                yield True
        finally:
            self._places.release()
