"""App passwords: random passwords for single programs and devices, easy to type and to revoke.

One is 160 random bits in Crockford's base32 behind a prefix that people and secret scanners
recognise: `casdav-` and eight groups of four. Capitals, spaces, missing hyphens and the usual
slips (O for 0, I and L for 1) do not matter. Only a keyed hash is stored; a fast one is enough,
since nobody can guess 160 bits, and so the guessing of app passwords needs no throttle either.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from blake3 import blake3

import cas
from dav import records
from dav.identity import Scope
from dav.records import AppPassword
from dav.registry import State, ensure_directory, read_state

PREFIX: Final = "casdav-"
RANDOM_SIZE: Final = 20
"""Bytes of randomness: 160 bits, 32 characters."""
LABEL_LENGTH_LIMIT: Final = 100
USED_PRECISION_NS: Final = 60 * 1_000_000_000
"""The time of last use is written down at most this often."""
USED_KEPT_NS: Final = 400 * 86_400 * 1_000_000_000
"""How long the time of last use is remembered."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS: Final = frozenset(_ALPHABET)
_SLIPS: Final = str.maketrans("oil", "011", " -")
_LENGTH: Final = RANDOM_SIZE * 8 // 5
_GROUP: Final = 4
_logger = logging.getLogger(__name__)


def has_prefix(typed: str) -> bool:
    """Return whether somebody typed what looks like the beginning of an app password."""
    return typed.strip().lower().startswith(PREFIX.rstrip("-"))


def parse(typed: str) -> str | None:
    """Return an app password in its one exact form; None if it is none."""
    typed = typed.strip().lower()
    if not has_prefix(typed) or not typed.isascii():
        return None
    characters = typed.removeprefix(PREFIX.rstrip("-")).translate(_SLIPS)
    if len(characters) != _LENGTH or not _LETTERS.issuperset(characters):
        return None
    return _spell(characters)


def digest(repository: cas.Repository, exact: str) -> bytes:
    """Return the keyed hash under which an app password in its exact form is found."""
    return blake3(exact.encode("ascii"), key=repository.secret("app passwords")).digest()


def find(repository: cas.Repository, state: State, exact: str, now_ns: int) -> AppPassword | None:
    """Return the app password of this exact form, if it stands and has not expired.

    Whether its user stands and is not disabled is for the caller to see.
    """
    token = state.app_passwords.get(digest(repository, exact))
    return token if token is not None and not is_expired(token, now_ns) else None


def is_expired(token: AppPassword, now_ns: int) -> bool:
    """Return whether the app password's time is over."""
    return 0 < token.expires_ns <= now_ns


def create_app_password(
    repository: cas.Repository,
    user: str,
    label: str,
    *,
    scope: Scope = Scope(),  # noqa: B008 - immutable
    expires_ns: int = 0,
    author: str = "",
) -> tuple[AppPassword, str]:
    """Make an app password and return its record and, this once, the password itself.

    Args:
        repository: where the user is.
        user: whose it is.
        label: what it is for, shown in lists.
        scope: what it narrows the user's rights to.
        expires_ns: when it ends, nanoseconds since the epoch; 0 for never.
        author: who asked for it, for the journal.

    Raises:
        NotFoundError: there is no such user, or no such volume.
        InvalidError: the label is empty, too long or not printable; it has expired already.
    """
    account = read_state(repository).users.get(user)
    if account is None:
        raise cas.NotFoundError(f"there is no user {user!r}")
    label, scope, now = _check(repository, label, scope, expires_ns)
    password = _spell("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)))
    token = AppPassword(
        id="".join(secrets.choice(_ALPHABET) for _ in range(10)),
        user=user,
        user_id=account.id,
        digest=digest(repository, password),
        label=label,
        created_ns=now,
        expires_ns=expires_ns,
        scope=scope,
    )
    user_path = records.user_path(user)

    def user_stands(state: cas.TreeState) -> None:
        entry = state.get(user_path)
        if entry is None or records.decode(entry.content, records.User).id != account.id:
            raise cas.NotFoundError(f"there is no user {user!r}")

    ensure_directory(repository, records.TOKENS, author)
    with repository.registry.edit(author=author) as edit:
        edit.require(user_stands)
        edit.put_record(records.token_path(token.id), records.encode(token), expect=cas.ABSENT)
    return token, password


def list_app_passwords(repository: cas.Repository, user: str = "") -> list[AppPassword]:
    """Return the app passwords of a user, or of all users, oldest first; expired ones too."""
    tokens = read_state(repository).app_passwords.values()
    chosen = [token for token in tokens if user in {"", token.user}]
    return sorted(chosen, key=lambda token: (token.created_ns, token.id))


def revoke_app_password(repository: cas.Repository, token_id: str, author: str = "") -> None:
    """End an app password; the next request with it is refused.

    Raises:
        NotFoundError: there is none of this id.
    """
    if not token_id or not set(token_id) <= set(_ALPHABET):
        raise cas.NotFoundError(f"there is no app password {token_id!r}")
    try:
        with repository.registry.edit(author=author) as edit:
            edit.remove(records.token_path(token_id))
    except cas.NotFoundError:
        raise cas.NotFoundError(f"there is no app password {token_id!r}") from None
    repository.scratch.delete(_used_key(token_id))


def last_used_ns(repository: cas.Repository, token_id: str) -> int | None:
    """Return when an app password was last used, within a minute; None if not known."""
    stored = repository.scratch.get(_used_key(token_id))
    return int.from_bytes(stored, "big") if stored is not None else None


class LastUse:
    """Writes down when app passwords are used, once a minute each. Thread-safe."""

    def __init__(self, scratch: cas.Scratch, clock: Callable[[], int]) -> None:
        self._scratch = scratch
        self._clock = clock
        self._written: dict[str, int] = {}

    def note(self, token: AppPassword) -> None:
        """Note that the app password was used now."""
        now = self._clock()
        if now - self._written.get(token.id, 0) < USED_PRECISION_NS:
            return
        self._written[token.id] = now
        value = now.to_bytes(8, "big")
        try:
            self._scratch.put(_used_key(token.id), value, expires_ns=now + USED_KEPT_NS)
        except cas.StoreError as error:  # A full disk must not keep anybody from reading.
            _logger.warning("the last use of an app password is not noted: %s", error)


def _check(
    repository: cas.Repository, label: str, scope: Scope, expires_ns: int
) -> tuple[str, Scope, int]:
    """Return label, scope in its plain form, and the time; raise what the maker documents."""
    label = label.strip()
    if not label or len(label) > LABEL_LENGTH_LIMIT or not label.isprintable():
        raise cas.InvalidError(f"a label has 1 to {LABEL_LENGTH_LIMIT} printable characters")
    now = time.time_ns()
    if 0 < expires_ns <= now:
        raise cas.InvalidError("the app password would have expired already")
    path = scope.path.strip("/")
    if path and not scope.volume:
        raise cas.InvalidError("a scope with a path needs the volume that it is in")
    if any(name in {"", ".", ".."} or "\0" in name for name in path.split("/") if path):
        raise cas.InvalidError(f"{scope.path!r} is not a path in a volume")
    if scope.volume:
        repository.volume(scope.volume)
    return label, Scope(scope.read_only, scope.volume, path), now


def _spell(characters: str) -> str:
    groups = [characters[start : start + _GROUP] for start in range(0, len(characters), _GROUP)]
    return PREFIX + "-".join(groups)


def _used_key(token_id: str) -> bytes:
    return b"token-used/" + token_id.encode("ascii")
