"""Who sends a request: every way in, and the attacks on each."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

import cas
from dav import accounts, app_passwords, passwords
from dav.access_tokens import access_tokens
from dav.auth import Authenticator
from dav.challenge import Challenge, Reason
from dav.identity import Method, Principal, Role, Scope
from dav.throttle import ACCOUNT, ADDRESS
from tests.support.clock import SECOND_NS, FakeClock

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"
OLD_PARAMETERS = Argon2id(salt=b"s" * 16, length=32, iterations=1, lanes=1, memory_cost=8192)


class CountedArgon2:
    """Argon2id as the library has it, counting how often it is asked."""

    def __init__(self) -> None:
        self.verified = 0

    def verify_phc_encoded(self, secret: bytes, encoded: str) -> None:
        self.verified += 1
        Argon2id.verify_phc_encoded(secret, encoded)

    def __call__(self, **options: Any) -> Any:  # noqa: ANN401 - the library's own
        return Argon2id(**options)


@pytest.fixture
def argon2(monkeypatch: pytest.MonkeyPatch) -> CountedArgon2:
    counted = CountedArgon2()
    monkeypatch.setattr("dav.passwords.Argon2id", counted)
    return counted


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        accounts.create_user(made, "alice", password=PASSWORD)
        accounts.create_user(made, "root", password=PASSWORD, role=Role.ADMIN)
        accounts.create_user(made, "device")
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def authenticator(repository: cas.Repository, clock: FakeClock) -> Authenticator:
    return Authenticator(repository, clock)


def environ(authorization: str | None = None, address: str = HERE) -> dict[str, Any]:
    whole = {"wsgi.url_scheme": "http", "REMOTE_ADDR": address}
    return whole if authorization is None else {**whole, "HTTP_AUTHORIZATION": authorization}


def basic(user: str, password: str, address: str = HERE) -> dict[str, Any]:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return environ(f"Basic {encoded}", address)


def bearer(token: str) -> dict[str, Any]:
    return environ(f"Bearer {token}")


def reason(outcome: Principal | Challenge) -> Reason | None:
    return outcome.reason if isinstance(outcome, Challenge) else None


def admitted(outcome: Principal | Challenge) -> Principal:
    assert isinstance(outcome, Principal), outcome
    return outcome


# --- Basic with the user's own password ---------------------------------------------------------


def test_the_own_password_lets_in_with_all_rights(authenticator: Authenticator) -> None:
    who = admitted(authenticator.authenticate(basic("root", PASSWORD)))
    assert who == Principal("root", Role.ADMIN, Method.PASSWORD)


def test_the_name_is_read_without_case(authenticator: Authenticator) -> None:
    assert admitted(authenticator.authenticate(basic("Alice", PASSWORD))).name == "alice"


def test_the_own_password_is_hashed_once_in_five_minutes(
    authenticator: Authenticator, clock: FakeClock, argon2: CountedArgon2
) -> None:
    for _ in range(50):
        admitted(authenticator.authenticate(basic("alice", PASSWORD)))
    assert argon2.verified == 1
    clock.advance(301)
    admitted(authenticator.authenticate(basic("alice", PASSWORD)))
    assert argon2.verified == 2


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", "wrong"),
        ("nobody", PASSWORD),
        ("device", PASSWORD),
        ("disabled", PASSWORD),
        ("not a name!", PASSWORD),
        ("аlice", PASSWORD),  # noqa: RUF001 - begins with a Cyrillic letter, on purpose
        ("", PASSWORD),
        ("alice", ""),
    ],
)
def test_whoever_is_refused_costs_one_hash_and_gets_the_same_answer(
    repository: cas.Repository, clock: FakeClock, argon2: CountedArgon2, user: str, password: str
) -> None:
    accounts.create_user(repository, "disabled", password=PASSWORD)
    accounts.set_disabled(repository, "disabled", disabled=True)
    outcome = Authenticator(repository, clock).authenticate(basic(user, password))
    assert outcome == Challenge(Reason.REFUSED)
    assert argon2.verified == 1


def test_known_and_unknown_names_are_slowed_alike(
    authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    outcomes = {
        user: [
            reason(authenticator.authenticate(basic(user, f"guess {n}", f"203.0.113.{n}")))
            for n in range(ACCOUNT.free + 3)
        ]
        for user in ("alice", "nobody")
    }
    assert outcomes["alice"] == outcomes["nobody"]
    assert outcomes["alice"][ACCOUNT.free :] == [Reason.THROTTLED] * 3
    assert argon2.verified == 2 * ACCOUNT.free


def test_throttled_guesses_are_not_hashed_and_say_when_to_come_back(
    authenticator: Authenticator, clock: FakeClock
) -> None:
    for number in range(ADDRESS.free):
        assert authenticator.sign_in("alice", f"guess {number}", HERE) == Challenge(Reason.REFUSED)
    throttled = authenticator.sign_in("alice", PASSWORD, HERE)
    assert throttled == Challenge(Reason.THROTTLED, 1)
    assert throttled.status.startswith("429")
    assert throttled.headers == [("Retry-After", "1")]
    clock.advance(1)
    assert admitted(authenticator.sign_in("alice", PASSWORD, HERE)).name == "alice"


def test_a_program_that_repeats_one_wrong_password_makes_one_guess(
    authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    for _ in range(100):
        assert authenticator.sign_in("alice", "old password", HERE) == Challenge(Reason.REFUSED)
    assert argon2.verified == 1
    assert admitted(authenticator.sign_in("alice", PASSWORD, HERE)).name == "alice"


def test_an_attack_does_not_touch_who_is_in_already(
    repository: cas.Repository, authenticator: Authenticator
) -> None:
    _, app_password = app_passwords.create_app_password(repository, "alice", "phone")
    token = access_tokens(repository, authenticator._clock).issue(  # noqa: SLF001 - the test's own
        accounts.get_user(repository, "alice")
    )
    admitted(authenticator.sign_in("alice", PASSWORD, HERE))
    for number in range(ACCOUNT.free + 5):
        authenticator.sign_in("alice", f"guess {number}", f"203.0.113.{number}")
        authenticator.sign_in("alice", f"other {number}", HERE)
    assert reason(authenticator.sign_in("alice", PASSWORD, "198.51.100.1")) is None  # verified
    admitted(authenticator.sign_in("alice", app_password, "198.51.100.2"))
    admitted(authenticator.authenticate(bearer(token)))


def test_many_connections_with_one_right_password_hash_once_and_are_all_let_in(
    authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    outcomes: list[Principal | Challenge] = []
    barrier = threading.Barrier(8)

    def connect() -> None:
        barrier.wait(timeout=30)
        outcomes.append(authenticator.authenticate(basic("alice", PASSWORD)))

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [reason(outcome) for outcome in outcomes] == [None] * 8
    assert argon2.verified == 1


def test_a_changed_password_counts_at_once_also_by_another_process(
    repository: cas.Repository, authenticator: Authenticator
) -> None:
    admitted(authenticator.sign_in("alice", PASSWORD, HERE))
    assert authenticator.sign_in("alice", "a new password", HERE) == Challenge(Reason.REFUSED)
    with cas.open(repository.location) as other:
        accounts.set_password(other, "alice", "a new password")
    assert authenticator.sign_in("alice", PASSWORD, HERE) == Challenge(Reason.REFUSED)
    admitted(authenticator.sign_in("alice", "a new password", HERE))


def test_a_disabled_user_is_out_at_once(
    repository: cas.Repository, authenticator: Authenticator
) -> None:
    admitted(authenticator.sign_in("alice", PASSWORD, HERE))
    accounts.set_disabled(repository, "alice", disabled=True)
    assert authenticator.sign_in("alice", PASSWORD, HERE) == Challenge(Reason.REFUSED)
    accounts.set_disabled(repository, "alice", disabled=False)
    admitted(authenticator.sign_in("alice", PASSWORD, HERE))


def test_a_hash_of_older_parameters_is_renewed_at_the_next_right_password(
    repository: cas.Repository, authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    old = OLD_PARAMETERS.derive_phc_encoded(b"an old password")
    accounts.replace_hash(repository, accounts.get_user(repository, "alice"), old)
    before = accounts.get_user(repository, "alice")
    assert authenticator.sign_in("alice", "wrong", HERE) == Challenge(Reason.REFUSED)
    assert accounts.get_user(repository, "alice").password == old
    admitted(authenticator.sign_in("alice", "an old password", HERE))
    after = accounts.get_user(repository, "alice")
    assert not passwords.needs_rehash(after.password)
    assert after.epoch == before.epoch
    admitted(authenticator.sign_in("alice", "an old password", HERE))
    assert argon2.verified == 2


def test_a_huge_password_is_refused_without_work(
    authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    outcome = authenticator.sign_in("alice", "x" * 1_000_000, HERE)
    assert outcome == Challenge(Reason.REFUSED)
    assert argon2.verified == 0


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + "A" * 1_000_000,
        "Basic " + base64.b64encode(b"alice\x00:x").decode(),
        "Basic " + base64.b64encode(b"alice:\xff").decode(),
        "Basic " + base64.b64encode(b"alice").decode(),
        "Digest username=alice",
        "\xff\xfe",
    ],
)
def test_a_malformed_header_is_a_401_without_work(
    authenticator: Authenticator, argon2: CountedArgon2, header: str
) -> None:
    outcome = authenticator.authenticate(environ(header))
    assert isinstance(outcome, Challenge)
    assert outcome.status == "401 Unauthorized"
    assert outcome.headers == [("WWW-Authenticate", 'Basic realm="casdav", charset="UTF-8"')]
    assert argon2.verified == 0


# --- app passwords ------------------------------------------------------------------------------


def test_an_app_password_lets_in_with_its_scope_and_no_hash(
    repository: cas.Repository, authenticator: Authenticator, argon2: CountedArgon2
) -> None:
    scope = Scope(read_only=True, volume="device", path="a/b")
    token, password = app_passwords.create_app_password(repository, "device", "camera", scope=scope)
    who = admitted(authenticator.authenticate(basic("device", password)))
    assert who == Principal("device", Role.USER, Method.APP_PASSWORD, scope, token.id)
    assert app_passwords.last_used_ns(repository, token.id) is not None
    assert argon2.verified == 0


def test_an_app_password_is_good_for_its_own_user_alone(
    repository: cas.Repository, authenticator: Authenticator
) -> None:
    _, password = app_passwords.create_app_password(repository, "alice", "phone")
    for user in ("root", "nobody", ""):
        assert reason(authenticator.authenticate(basic(user, password))) is Reason.REFUSED


def test_an_app_password_ends_when_revoked_expired_disabled_or_its_user_is_deleted(
    repository: cas.Repository, authenticator: Authenticator, clock: FakeClock
) -> None:
    def make(user: str, expires_ns: int = 0) -> tuple[str, str]:
        token, password = app_passwords.create_app_password(
            repository, user, "x", expires_ns=expires_ns
        )
        admitted(authenticator.sign_in(user, password, HERE))
        return token.id, password

    def is_out(user: str, password: str) -> bool:
        return reason(authenticator.sign_in(user, password, HERE)) is Reason.REFUSED

    token_id, revoked = make("alice")
    app_passwords.revoke_app_password(repository, token_id)
    assert is_out("alice", revoked)
    _, expired = make("alice", clock() + 3600 * SECOND_NS)
    clock.advance(3600)
    assert is_out("alice", expired)
    _, disabled = make("alice")
    accounts.set_disabled(repository, "alice", disabled=True)
    assert is_out("alice", disabled)
    _, deleted = make("device")
    accounts.delete_user(repository, "device", delete_home=True)
    assert is_out("device", deleted)
    accounts.create_user(repository, "device")
    assert is_out("device", deleted)


def test_a_program_with_a_revoked_app_password_slows_nobody(
    repository: cas.Repository, authenticator: Authenticator
) -> None:
    token, password = app_passwords.create_app_password(repository, "alice", "old phone")
    app_passwords.revoke_app_password(repository, token.id)
    for _ in range(100):
        assert authenticator.sign_in("alice", password, HERE) == Challenge(Reason.REFUSED)
    admitted(authenticator.sign_in("alice", PASSWORD, HERE))


# --- Bearer -------------------------------------------------------------------------------------


def test_a_jwt_lets_in_for_15_minutes(
    repository: cas.Repository, authenticator: Authenticator, clock: FakeClock
) -> None:
    scope = Scope(read_only=True)
    token = access_tokens(repository, clock).issue(accounts.get_user(repository, "alice"), scope)
    who = admitted(authenticator.authenticate(bearer(token)))
    assert who == Principal("alice", Role.USER, Method.JWT, scope)
    clock.advance(900 + 30)
    outcome = authenticator.authenticate(bearer(token))
    assert isinstance(outcome, Challenge)
    assert ("WWW-Authenticate", 'Bearer realm="casdav", error="invalid_token"') in outcome.headers


def test_a_jwt_ends_with_a_new_password_disabling_and_deletion(
    repository: cas.Repository, authenticator: Authenticator, clock: FakeClock
) -> None:
    issuer = access_tokens(repository, clock)

    def issue() -> str:
        token = issuer.issue(accounts.get_user(repository, "alice"))
        admitted(authenticator.authenticate(bearer(token)))
        return token

    def is_out(token: str) -> bool:
        return reason(authenticator.authenticate(bearer(token))) is Reason.REFUSED

    token = issue()
    accounts.set_password(repository, "alice", "a new password")
    assert is_out(token)
    token = issue()
    accounts.set_disabled(repository, "alice", disabled=True)
    assert is_out(token)
    accounts.set_disabled(repository, "alice", disabled=False)
    assert is_out(token)
    token = issue()
    accounts.delete_user(repository, "alice", delete_home=True)
    assert is_out(token)
    accounts.create_user(repository, "alice")
    assert is_out(token)


def test_a_jwt_of_another_repository_is_refused(
    authenticator: Authenticator, clock: FakeClock, tmp_path: Path
) -> None:
    with cas.create(tmp_path / "other") as other:
        user = accounts.create_user(other, "alice")
        token = access_tokens(other, clock).issue(user)
    assert reason(authenticator.authenticate(bearer(token))) is Reason.REFUSED


def test_a_role_is_the_users_of_now(
    repository: cas.Repository, authenticator: Authenticator, clock: FakeClock
) -> None:
    accounts.set_role(repository, "alice", Role.ADMIN)
    token = access_tokens(repository, clock).issue(accounts.get_user(repository, "alice"))
    assert admitted(authenticator.authenticate(bearer(token))).is_admin
    accounts.set_role(repository, "alice", Role.USER)
    assert not admitted(authenticator.authenticate(bearer(token))).is_admin


def test_nothing_sent_is_no_credentials(authenticator: Authenticator) -> None:
    assert authenticator.authenticate(environ()) == Challenge(Reason.NO_CREDENTIALS)
