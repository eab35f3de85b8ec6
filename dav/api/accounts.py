"""Accounts and devices: `register`, `token`, `me`, `devices`."""

from __future__ import annotations

from typing import Literal

import msgspec

from dav import accounts
from dav.access_tokens import LIFETIME_SECONDS
from dav.api.answers import Answer, document, refused
from dav.api.call import Call
from dav.api.signing import unauthorized
from dav.challenge import Challenge, Reason
from dav.devices import devices_of, revoke
from dav.identity import Method
from dav.records import Device


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody wants to be called, and the password."""

    user: str
    password: str


class Registered(msgspec.Struct):
    """The account that was made."""

    user: str


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """A sign-in with a password of one's own or an app password, for a device of a name."""

    grant_type: Literal["password", "refresh_token"]
    user: str = ""
    password: str = ""
    device: str = ""
    refresh_token: str = ""


class Tokens(msgspec.Struct):
    """What a sign-in gives. The refresh token is worth something once."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    device_id: str


class Me(msgspec.Struct):
    """Who asks."""

    user: str
    role: str
    method: str
    device: str
    read_only: bool
    volume: str
    path: str


class DeviceItem(msgspec.Struct):
    """A linked device. Times are nanoseconds since the epoch; `seen_ns` is None if not known."""

    id: str
    name: str
    created_ns: int
    seen_ns: int | None
    is_this: bool


def register(call: Call) -> Answer:
    """Answer `POST register`: make an account, where the operator allows that."""
    if not call.services.settings.registration:
        raise refused(403, "read_only", "accounts are made by the administrator here")
    asked = call.document(Registration)
    made = accounts.create_user(
        call.repository, asked.user, password=asked.password, author=asked.user
    )
    return document(Registered(made.name), 201)


def token(call: Call) -> Answer:
    """Answer `POST token`: sign a device in, or exchange its refresh token."""
    asked = call.document(SignIn)
    authenticator = call.services.authenticator
    if asked.grant_type == "refresh_token":
        renewed = authenticator.devices.renew(authenticator.registry.state(), asked.refresh_token)
        if renewed is None:
            raise unauthorized(Challenge(Reason.REFUSED, bearer=True))
        device, user, refresh_token = renewed
    else:
        outcome = authenticator.sign_in(asked.user, asked.password, call.address)
        if isinstance(outcome, Challenge):
            raise unauthorized(outcome)
        state = authenticator.registry.state()
        user = state.users[outcome.name]
        device, refresh_token = authenticator.devices.link(state, outcome, asked.device)
    access = authenticator.tokens.issue(user, device.scope, device=device.id)
    return document(Tokens(access, "Bearer", LIFETIME_SECONDS, refresh_token, device.id))


def me(call: Call) -> Answer:
    """Answer `GET me`."""
    who = call.principal
    scope = who.scope
    return document(
        Me(who.name, who.role, who.method, who.device, scope.read_only, scope.volume, scope.path)
    )


def list_devices(call: Call) -> Answer:
    """Answer `GET devices`."""
    authenticator = call.services.authenticator
    return document(
        [
            DeviceItem(
                device.id,
                device.name,
                device.created_ns,
                authenticator.devices.seen_ns(device.id),
                device.id == call.principal.token_id and call.principal.method is Method.JWT,
            )
            for device in _own_devices(call)
        ]
    )


def revoke_device(call: Call) -> Answer:
    """Answer `DELETE devices/{id}`: end a device of one's own."""
    if call.principal.scope.read_only:
        raise refused(403, "read_only", "this credential only reads")
    if call.rest not in {device.id for device in _own_devices(call)}:
        raise refused(404, "not_found", "you have no such device")
    revoke(call.repository, call.rest, author=call.principal.name)
    return Answer(204)


def _own_devices(call: Call) -> list[Device]:
    """Return the account's devices; to a credential for one volume, those as narrow as it is."""
    state = call.services.authenticator.registry.state()
    scope = call.principal.scope
    found = devices_of(state, state.users[call.principal.name])
    return [device for device in found if not scope.volume or device.scope == scope]
