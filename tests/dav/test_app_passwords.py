"""App passwords: easy to type, stored as a hash, ended at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from dav import accounts, app_passwords
from dav.app_passwords import LastUse, create_app_password, find, parse
from dav.identity import Scope
from dav.registry import read_state
from tests.support.clock import SECOND_NS, FakeClock

EXACT = "casdav-0123-4567-89ab-cdef-ghjk-mnpq-rstv-wxyz"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        accounts.create_user(made, "alice")
        accounts.create_user(made, "bob")
        yield made


def found(repository: cas.Repository, typed: str, now_ns: int = 0) -> str | None:
    exact = parse(typed)
    if exact is None:
        return None
    token = find(repository, read_state(repository), exact, now_ns or time.time_ns())
    return token.id if token is not None else None


@pytest.mark.parametrize(
    "typed",
    [
        EXACT,
        EXACT.upper(),
        f" {EXACT}\n",
        EXACT.replace("-", " "),
        EXACT.replace("-", ""),
        EXACT.replace("0", "o").replace("1", "L"),
        EXACT.replace("0", "O").replace("1", "I"),
    ],
)
def test_the_ways_people_type_it_are_one_password(typed: str) -> None:
    assert parse(typed) == EXACT


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "casdav",
        "casdav-",
        EXACT[:-1],
        EXACT + "0",
        EXACT.replace("casdav", "casdev"),
        EXACT.replace("z", "u"),
        EXACT.replace("z", "é"),
        EXACT.replace("a", "а"),  # noqa: RUF001 - a Cyrillic letter, on purpose
        "correct horse battery staple",
    ],
)
def test_anything_else_is_none(typed: str) -> None:
    assert parse(typed) is None


@given(st.text())
def test_parsing_never_raises_and_is_stable(typed: str) -> None:
    exact = parse(typed)
    assert exact is None or parse(exact) == exact


def test_a_new_one_is_found_by_what_was_shown_and_by_nothing_else(
    repository: cas.Repository,
) -> None:
    token, password = create_app_password(repository, "alice", "phone")
    assert parse(password) == password
    assert found(repository, password) == token.id
    assert found(repository, password.upper().replace("-", "")) == token.id
    assert found(repository, EXACT) is None
    assert found(repository, token.digest.hex()) is None


def test_the_registry_holds_a_hash_and_no_password(repository: cas.Repository) -> None:
    token, password = create_app_password(repository, "alice", "phone")
    with repository.registry.view() as view:
        stored = b"".join(entry.content for _, entry in view.walk() if not entry.is_directory)
    for secret in (password, password.removeprefix("casdav-"), password.replace("-", "")):
        assert secret.encode() not in stored
    assert token.digest.hex() not in repr(token)


def test_another_repository_does_not_know_the_hash(
    repository: cas.Repository, tmp_path: Path
) -> None:
    with cas.create(tmp_path / "other") as other:
        assert app_passwords.digest(repository, EXACT) != app_passwords.digest(other, EXACT)


def test_two_are_different(repository: cas.Repository) -> None:
    made = [create_app_password(repository, "alice", "same") for _ in range(20)]
    assert len({password for _, password in made}) == 20
    assert len({token.id for token, _ in made}) == 20


def test_one_expires(repository: cas.Repository) -> None:
    expires = time.time_ns() + 3600 * SECOND_NS
    token, password = create_app_password(repository, "alice", "guest", expires_ns=expires)
    assert found(repository, password, expires - 1) == token.id
    assert found(repository, password, expires) is None


def test_a_revoked_one_is_gone_at_once(repository: cas.Repository) -> None:
    token, password = create_app_password(repository, "alice", "phone")
    app_passwords.revoke_app_password(repository, token.id)
    assert found(repository, password) is None
    with pytest.raises(cas.NotFoundError):
        app_passwords.revoke_app_password(repository, token.id)


@pytest.mark.parametrize("token_id", ["", "nothere123", "../users/alice", "a/b", "\x00"])
def test_revoking_what_is_not_there_is_not_found(repository: cas.Repository, token_id: str) -> None:
    with pytest.raises(cas.NotFoundError):
        app_passwords.revoke_app_password(repository, token_id)
    assert len(accounts.list_users(repository)) == 2


def test_they_are_listed_by_user_oldest_first(repository: cas.Repository) -> None:
    for user, label in (("alice", "first"), ("bob", "other"), ("alice", "second")):
        create_app_password(repository, user, label)
    listed = app_passwords.list_app_passwords(repository, "alice")
    assert [token.label for token in listed] == ["first", "second"]
    assert len(app_passwords.list_app_passwords(repository)) == 3


@pytest.mark.parametrize("label", ["", "  ", "x" * 101, "a\x00b", "a\nb"])
def test_a_bad_label_is_refused(repository: cas.Repository, label: str) -> None:
    with pytest.raises(cas.InvalidError):
        create_app_password(repository, "alice", label)


def test_a_scope_is_checked_and_kept_in_its_plain_form(repository: cas.Repository) -> None:
    token, _ = create_app_password(
        repository, "alice", "camera", scope=Scope(volume="alice", path="/photos/2024/")
    )
    assert token.scope == Scope(volume="alice", path="photos/2024")
    with pytest.raises(cas.NotFoundError):
        create_app_password(repository, "alice", "x", scope=Scope(volume="nowhere"))
    for path in ("a/../b", "a//b", "./a", "a\x00"):
        with pytest.raises(cas.InvalidError):
            create_app_password(repository, "alice", "x", scope=Scope(volume="alice", path=path))
    with pytest.raises(cas.InvalidError):
        create_app_password(repository, "alice", "x", scope=Scope(path="photos"))


def test_one_for_nobody_or_in_the_past_is_refused(repository: cas.Repository) -> None:
    with pytest.raises(cas.NotFoundError):
        create_app_password(repository, "nobody", "phone")
    with pytest.raises(cas.InvalidError):
        create_app_password(repository, "alice", "phone", expires_ns=1)


def test_the_last_use_is_written_down_once_a_minute(repository: cas.Repository) -> None:
    clock = FakeClock()
    use = LastUse(repository.scratch, clock)
    token, _ = create_app_password(repository, "alice", "phone")
    assert app_passwords.last_used_ns(repository, token.id) is None
    use.note(token)
    first = clock()
    clock.advance(59)
    use.note(token)
    assert app_passwords.last_used_ns(repository, token.id) == first
    clock.advance(1)
    use.note(token)
    assert app_passwords.last_used_ns(repository, token.id) == clock()
