"""What the registry keeps for the server: people, their rights, schedules, as MessagePack arrays.

Paths in the registry: `users/<name>`, `tokens/<id>`, `grants/<volume id, hex>/<user>`,
`schedules/<volume id, hex>`, `devices/<id>`, `audit/<number / 1000>/<number>`. A field may be added
at the end with a default; none is ever removed, reordered or given another meaning.

A name can come back after its user was deleted. So every user has a random id, and what belongs
to a user names that id too: an old token or grant never serves a new user of the same name.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from cas import FormatError
from dav.identity import Right, Role, Scope

USERS: Final = "users"
TOKENS: Final = "tokens"
GRANTS: Final = "grants"
SCHEDULES: Final = "schedules"
DEVICES: Final = "devices"
AUDIT: Final = "audit"


class User(msgspec.Struct, array_like=True, frozen=True):
    """A person with an account.

    `id` is random (16 bytes). `password` is the Argon2id hash, empty where the user has none and
    signs in by app password alone. `epoch` (16 bytes) is drawn anew to end all sessions and JWTs
    of the user. Times are nanoseconds since the epoch, UTC.
    """

    name: str
    id: bytes
    epoch: bytes
    role: Role
    password: str
    created_ns: int
    disabled: bool = False

    def __repr__(self) -> str:
        """Leave out the hash and the epoch: this may end up in a log."""
        return f"User(name={self.name!r}, role={self.role!s}, disabled={self.disabled})"


class AppPassword(msgspec.Struct, array_like=True, frozen=True):
    """A random password for one program or device; only its keyed hash is kept.

    `id` names it in lists and is no secret. `expires_ns` is 0 where it never expires.
    """

    id: str
    user: str
    user_id: bytes
    digest: bytes
    label: str
    created_ns: int
    expires_ns: int = 0
    scope: Scope = Scope()

    def __repr__(self) -> str:
        """Leave out the hash: this may end up in a log."""
        return f"AppPassword(id={self.id!r}, user={self.user!r}, label={self.label!r})"


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """The right that a user was given on somebody else's volume."""

    volume_id: bytes
    user: str
    user_id: bytes
    right: Right
    created_ns: int
    author: str = ""


class Schedule(msgspec.Struct, array_like=True, frozen=True):
    """How many snapshots of each period the server makes of a volume and keeps; 0 for none."""

    volume_id: bytes
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    created_ns: int = 0
    author: str = ""


class Device(msgspec.Struct, array_like=True, frozen=True):
    """A linked device; its refresh tokens are made of this, and none is kept.

    `family` (16 random bytes) and `epoch`, the user's when it was linked, go into the tokens.
    `token_id` is the app password that it was linked with, empty for the user's own password.
    """

    id: str
    user: str
    user_id: bytes
    family: bytes
    epoch: bytes
    name: str
    created_ns: int
    scope: Scope = Scope()
    token_id: str = ""

    def __repr__(self) -> str:
        """Leave out what tokens are made of: this may end up in a log."""
        return f"Device(id={self.id!r}, user={self.user!r}, name={self.name!r})"


class Attempt(msgspec.Struct, array_like=True, frozen=True):
    """Somebody came in, or was refused `count` times; the time is that of the first, in ns.

    `user` is empty where what was typed can be nobody's name, or where there are too many to tell
    apart; `way` is how they tried, `reason` is empty for who came in. `credential` is the id of an
    app password or device.
    """

    time_ns: int
    user: str
    address: str
    way: str
    reason: str = ""
    credential: str = ""
    count: int = 1


class AuditRecord(msgspec.Struct, array_like=True, frozen=True):
    """Attempts in the order of their times, and the BLAKE3 hash of the record before."""

    number: int
    before: bytes
    attempts: list[Attempt]


_encoder = msgspec.msgpack.Encoder()
_Record = TypeVar("_Record", User, AppPassword, Grant, Schedule, Device, AuditRecord)


def encode(record: User | AppPassword | Grant | Schedule | Device | AuditRecord) -> bytes:
    """Return the bytes that the registry keeps for the record."""
    return _encoder.encode(record)


def decode(encoded: bytes, expected: type[_Record]) -> _Record:
    """Return the record that the bytes hold.

    Raises:
        FormatError: they hold no such record.
    """
    try:
        return msgspec.msgpack.decode(encoded, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not a valid {expected.__name__} record: {error}") from error


def user_path(name: str) -> str:
    """Return the registry path of a user."""
    return f"{USERS}/{name}"


def token_path(token_id: str) -> str:
    """Return the registry path of an app password."""
    return f"{TOKENS}/{token_id}"


def grant_path(volume_id: bytes, user: str) -> str:
    """Return the registry path of a user's grant on a volume."""
    return f"{GRANTS}/{volume_id.hex()}/{user}"


def device_path(device_id: str) -> str:
    """Return the registry path of a device."""
    return f"{DEVICES}/{device_id}"


def schedule_path(volume_id: bytes) -> str:
    """Return the registry path of a volume's schedule."""
    return f"{SCHEDULES}/{volume_id.hex()}"
