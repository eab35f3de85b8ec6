"""Linked devices: tokens that change with each use, theft noticed, every way to end them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from dav import accounts, app_passwords
from dav.devices import DEVICE_LIMIT, LOST_ANSWER_NS, UNUSED_NS, Devices, devices_of, revoke
from dav.identity import Method, Principal, Role, Scope
from dav.registry import State, read_state
from tests.support.clock import FakeClock

SECOND_NS = 1_000_000_000


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        accounts.create_user(made, "alice", role=Role.ADMIN)
        accounts.create_user(made, "bob")
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def devices(repository: cas.Repository, clock: FakeClock) -> Devices:
    return Devices(repository, clock)


def state(repository: cas.Repository) -> State:
    return read_state(repository)


def alice(**more: object) -> Principal:
    return Principal("alice", Role.ADMIN, Method.PASSWORD, **more)  # type: ignore[arg-type]


def test_each_use_gives_the_next_token(repository: cas.Repository, devices: Devices) -> None:
    device, token = devices.link(state(repository), alice(), "laptop")
    seen = {token}
    for _ in range(5):
        renewed = devices.renew(state(repository), token)
        assert renewed is not None
        assert (renewed.device, renewed.user.name) == (device, "alice")
        token = renewed.refresh_token
        assert token not in seen
        seen.add(token)


def test_a_token_that_was_replaced_revokes_the_device(
    repository: cas.Repository, devices: Devices
) -> None:
    _, first = devices.link(state(repository), alice(), "laptop")
    second = devices.renew(state(repository), first)
    assert second is not None
    third = devices.renew(state(repository), second.refresh_token)
    assert third is not None
    assert devices.renew(state(repository), first) is None
    assert state(repository).devices == {}
    assert devices.renew(state(repository), third.refresh_token) is None


def test_an_answer_that_was_lost_is_given_again(
    repository: cas.Repository, devices: Devices, clock: FakeClock
) -> None:
    _, first = devices.link(state(repository), alice(), "laptop")
    lost = devices.renew(state(repository), first)
    again = devices.renew(state(repository), first)
    assert lost is not None
    assert again == lost
    clock.advance(LOST_ANSWER_NS // SECOND_NS)
    assert devices.renew(state(repository), first) is None
    assert state(repository).devices == {}


def test_tokens_that_nobody_gave_out(repository: cas.Repository, devices: Devices) -> None:
    device, token = devices.link(state(repository), alice(), "laptop")
    prefix, _, code = token.rpartition(".")
    wrong = [
        "",
        "x",
        prefix,
        f"{prefix}.{'0' * 64}",
        f"casdav-device.{device.id}.2.{code}",
        f"casdav-device.{'0' * 16}.1.{code}",
        token + "\n",
        token.upper(),
        "casdav-device." + "9" * 100_000,
    ]
    for each in wrong:
        assert devices.renew(state(repository), each) is None
    assert devices.renew(state(repository), token) is not None


def test_a_device_that_stays_away_has_to_sign_in_anew(
    repository: cas.Repository, devices: Devices, clock: FakeClock
) -> None:
    _, token = devices.link(state(repository), alice(), "laptop")
    clock.advance(UNUSED_NS // SECOND_NS)
    assert devices.renew(state(repository), token) is None
    assert len(state(repository).devices) == 1


def test_the_loss_of_the_numbers_signs_nobody_out(
    repository: cas.Repository, devices: Devices
) -> None:
    device, token = devices.link(state(repository), alice(), "laptop")
    repository.scratch.delete(b"device/" + device.id.encode())
    renewed = devices.renew(state(repository), token)
    assert renewed is not None
    assert devices.renew(state(repository), renewed.refresh_token) is not None
    assert devices.renew(state(repository), token) is None


@pytest.mark.parametrize("end", ["password", "disabled", "deleted", "app password", "revoked"])
def test_what_ends_a_device(end: str, repository: cas.Repository, devices: Devices) -> None:
    made, _ = app_passwords.create_app_password(repository, "bob", "link")
    bob = Principal("bob", Role.USER, Method.APP_PASSWORD, Scope(), made.id)
    device, token = devices.link(state(repository), bob, "phone")
    match end:
        case "password":
            accounts.set_password(repository, "bob", "another long password")
        case "disabled":
            accounts.set_disabled(repository, "bob", disabled=True)
        case "deleted":
            accounts.delete_user(repository, "bob")
        case "app password":
            app_passwords.revoke_app_password(repository, made.id)
        case _:
            revoke(repository, device.id)
    assert devices.renew(state(repository), token) is None
    assert (device.id in state(repository).devices) == (end not in {"deleted", "revoked"})


def test_names_and_numbers_are_bounded(repository: cas.Repository, devices: Devices) -> None:
    for name in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(cas.InvalidError):
            devices.link(state(repository), alice(), name)
    for number in range(DEVICE_LIMIT):
        devices.link(state(repository), alice(), f"device {number}")
    with pytest.raises(cas.ConflictError):
        devices.link(state(repository), alice(), "one more")
    assert len(devices_of(state(repository), state(repository).users["alice"])) == DEVICE_LIMIT
    with pytest.raises(cas.NotFoundError):
        revoke(repository, "../users/alice")


def test_nothing_secret_is_shown(repository: cas.Repository, devices: Devices) -> None:
    device, _ = devices.link(state(repository), alice(), "laptop")
    assert device.family.hex() not in repr(device)
    assert str(device.family) not in repr(device)
