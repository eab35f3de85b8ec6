"""Linked devices: each has a record, and a refresh token that changes with every use.

A device signs in once, with a password, and from then on exchanges its refresh token for an access
token of 15 minutes and the next refresh token. The record in the registry is the family: to revoke
the device is to remove the record. Which token of the family is the newest is a number beside it,
in LMDB alone: nothing secret is kept, old values even less. A token is
`casdav-device.<id>.<number>.<code>`; the code is a hash of record, number and epoch, keyed by a
secret of the repository.

Who presents a token that was replaced has a copy that somebody else used: the device is revoked,
since nobody can tell which of the two is the thief. One case is not theft: the answer with the next
token was lost. So the last token before the newest one is taken too, within ten minutes and as long
as the newest was never used; it gives that same newest one again.

Where LMDB was lost the numbers begin with what is presented next.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

import cas
from dav import records
from dav.identity import Principal
from dav.records import Device, User
from dav.registry import State, ensure_directory

PREFIX: Final = "casdav-device"
NAME_SIZE_LIMIT: Final = 100
"""Bytes of a device's name."""
DEVICE_LIMIT: Final = 100
"""Devices of one user."""
UNUSED_NS: Final = 90 * 86_400 * 1_000_000_000
"""A device that does not come for so long has to sign in anew."""
LOST_ANSWER_NS: Final = 600 * 1_000_000_000
"""How long the token before the newest one is taken."""

_ID_SIZE: Final = 8
_CODE_SIZE: Final = 32
_TOKEN: Final = re.compile(rf"{PREFIX}\.([0-9a-f]{{16}})\.([0-9]{{1,15}})\.([0-9a-f]{{64}})")
_logger = logging.getLogger(__name__)


class _Newest(msgspec.Struct, array_like=True, frozen=True):
    """The number of the newest token of a device, and when it was given out."""

    number: int
    given_ns: int


class Renewed(NamedTuple):
    """A device that has come again, its user, and its next refresh token."""

    device: Device
    user: User
    refresh_token: str


class Devices:
    """The linked devices of one repository. Thread-safe.

    `clock` returns nanoseconds since the epoch.
    """

    def __init__(self, repository: cas.Repository, clock: Callable[[], int]) -> None:
        self._repository = repository
        self._scratch = repository.scratch
        self._key = repository.secret("device tokens")
        self._clock = clock

    def link(self, state: State, principal: Principal, name: str) -> tuple[Device, str]:
        """Make a device of somebody who has just signed in; return it and its refresh token.

        Raises:
            InvalidError: the name is empty, too long or not printable.
            ConflictError: the user has too many devices.
        """
        name = name.strip()
        size = len(name.encode("utf-8", "surrogatepass"))
        if not 0 < size <= NAME_SIZE_LIMIT or not name.isprintable():
            raise cas.InvalidError(f"a device's name has 1 to {NAME_SIZE_LIMIT} printable bytes")
        user = state.users[principal.name]
        if len(devices_of(state, user)) >= DEVICE_LIMIT:
            raise cas.ConflictError(f"{DEVICE_LIMIT} devices are the most; revoke one first")
        device = Device(
            id=secrets.token_hex(_ID_SIZE),
            user=user.name,
            user_id=user.id,
            family=secrets.token_bytes(16),
            epoch=user.epoch,
            name=name,
            created_ns=self._clock(),
            scope=principal.scope,
            token_id=principal.token_id,
        )
        ensure_directory(self._repository, records.DEVICES, user.name)
        with self._repository.registry.edit(author=user.name) as edit:
            path = records.device_path(device.id)
            edit.put_record(path, records.encode(device), expect=cas.ABSENT)
        self._note(device.id, _Newest(1, self._clock()))
        return device, self._token(device, 1)

    def renew(self, state: State, token: str) -> Renewed | None:
        """Exchange a refresh token; None where it is not valid (any more).

        A token that was replaced before revokes the device.
        """
        found = _TOKEN.fullmatch(token)
        device = state.devices.get(found[1]) if found else None
        if found is None or device is None:
            return None
        number = int(found[2])
        if not compare_digest(self._token(device, number), token):
            return None
        user = standing_user(state, device, self._clock())
        if user is None:
            return None
        following = self._advance(device.id, number)
        if following is None:
            _logger.warning("a token of device %s was used twice: it is revoked", device.id)
            revoke(self._repository, device.id, author=device.user)
            return None
        if following == 0:
            return None
        return Renewed(device, user, self._token(device, following))

    def seen_ns(self, device_id: str) -> int | None:
        """Return when a device has last exchanged its token; None if not known."""
        stored = self._scratch.get(_name(device_id))
        return None if stored is None else msgspec.msgpack.decode(stored, type=_Newest).given_ns

    def _advance(self, device_id: str, number: int) -> int | None:
        """Return the number of the next token; None if the given one was replaced before.

        0 means that the device was away for too long.
        """
        now = self._clock()
        outcome: list[int | None] = []

        def replace(stored: bytes | None) -> bytes | None:
            newest = msgspec.msgpack.decode(stored, type=_Newest) if stored else None
            outcome[:] = [_next_number(newest, number, now)]
            if not outcome[0] or (newest is not None and outcome[0] == newest.number):
                return stored
            return msgspec.msgpack.encode(_Newest(outcome[0], now))

        self._scratch.update(_name(device_id), replace)
        return outcome[0]

    def _note(self, device_id: str, newest: _Newest) -> None:
        self._scratch.put(_name(device_id), msgspec.msgpack.encode(newest))

    def _token(self, device: Device, number: int) -> str:
        said = f"{device.id}.{number}.{device.family.hex()}.{device.epoch.hex()}".encode()
        code = blake3(said, key=self._key).hexdigest(length=_CODE_SIZE)
        return f"{PREFIX}.{device.id}.{number}.{code}"


def _next_number(newest: _Newest | None, number: int, now: int) -> int | None:
    if newest is None or number > newest.number:
        return number + 1
    if newest.given_ns + UNUSED_NS <= now:
        return 0
    if number == newest.number:
        return number + 1
    is_lost_answer = number == newest.number - 1 and now < newest.given_ns + LOST_ANSWER_NS
    return newest.number if is_lost_answer else None


def standing_user(state: State, device: Device, now_ns: int) -> User | None:
    """Return the user of a device, None where either does not stand any more.

    A change of the user's password ends it, and so does the end of the app password that it was
    linked with.
    """
    user = state.users.get(device.user)
    if user is None or user.disabled or user.id != device.user_id or user.epoch != device.epoch:
        return None
    if device.token_id:
        used = (app for app in state.app_passwords.values() if app.id == device.token_id)
        app = next(used, None)
        if app is None or 0 < app.expires_ns <= now_ns:
            return None
    return user


def devices_of(state: State, user: User) -> list[Device]:
    """Return the devices of a user, oldest first."""
    found = [device for device in state.devices.values() if device.user_id == user.id]
    return sorted(found, key=lambda device: (device.created_ns, device.id))


def revoke(repository: cas.Repository, device_id: str, author: str = "") -> None:
    """End a device; the next request with any of its tokens is refused.

    Raises:
        NotFoundError: there is none of this id.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{2 * _ID_SIZE}}}", device_id):
        raise cas.NotFoundError("there is no such device")
    try:
        with repository.registry.edit(author=author) as edit:
            edit.remove(records.device_path(device_id))
    except cas.NotFoundError:
        raise cas.NotFoundError(f"there is no device {device_id}") from None
    repository.scratch.delete(_name(device_id))


def _name(device_id: str) -> bytes:
    return b"device/" + device_id.encode()
