"""Users, their home volumes, and the end of both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from dav import accounts, app_passwords, grants
from dav.identity import Right, Role
from dav.passwords import verify_password

PASSWORD = "correct horse"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        yield made


def test_a_new_user_has_a_home_volume_with_a_quota(repository: cas.Repository) -> None:
    user = accounts.create_user(repository, "alice", password=PASSWORD, quota=1000)
    assert accounts.get_user(repository, "alice") == user
    assert verify_password(user.password, PASSWORD)
    home = repository.volume("alice").info
    assert (home.owner, home.quota) == ("alice", 1000)


def test_users_are_listed_by_name_and_show_no_secret(repository: cas.Repository) -> None:
    for name in ("bob", "alice"):
        accounts.create_user(repository, name, password=PASSWORD)
    users = accounts.list_users(repository)
    assert [user.name for user in users] == ["alice", "bob"]
    assert "argon2" not in repr(users)
    assert users[0].epoch.hex() not in repr(users)


@pytest.mark.parametrize(
    ("name", "password", "quota"),
    [("Alice", PASSWORD, None), ("alice", "short", None), ("alice", PASSWORD, -1)],
)
def test_a_user_that_breaks_a_rule_leaves_nothing_behind(
    repository: cas.Repository, name: str, password: str, quota: int | None
) -> None:
    with pytest.raises(cas.InvalidError):
        accounts.create_user(repository, name, password=password, quota=quota)
    assert accounts.list_users(repository) == []
    assert repository.volumes() == []


def test_an_own_password_cannot_look_like_an_app_password(repository: cas.Repository) -> None:
    accounts.create_user(repository, "alice")
    _, password = app_passwords.create_app_password(repository, "alice", "phone")
    with pytest.raises(cas.InvalidError):
        accounts.set_password(repository, "alice", password)


def test_a_name_is_given_once(repository: cas.Repository) -> None:
    first = accounts.create_user(repository, "alice", password=PASSWORD)
    with pytest.raises(cas.AlreadyExistsError):
        accounts.create_user(repository, "alice", password="another one")
    assert accounts.get_user(repository, "alice") == first


def test_a_name_that_a_volume_has_is_refused(repository: cas.Repository) -> None:
    repository.create_volume("shared")
    with pytest.raises(cas.AlreadyExistsError, match="volume"):
        accounts.create_user(repository, "shared")
    assert accounts.list_users(repository) == []


def test_a_name_that_still_owns_a_volume_is_refused(repository: cas.Repository) -> None:
    repository.create_volume("old-files", owner="alice")
    with pytest.raises(cas.AlreadyExistsError, match="old-files"):
        accounts.create_user(repository, "alice")


def test_of_many_who_make_the_same_user_exactly_one_succeeds(repository: cas.Repository) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def create(opened: cas.Repository, number: int) -> None:
        barrier.wait(timeout=30)
        try:
            accounts.create_user(opened, "alice", author=f"maker {number}")
        except cas.AlreadyExistsError:
            outcomes.append("refused")
        else:
            outcomes.append("made")

    with cas.open(repository.location) as other:
        threads = [
            threading.Thread(target=create, args=(opened, number))
            for number, opened in enumerate([repository, other, repository, other])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert repository.volume("alice").info.owner == "alice"
    assert len(accounts.list_users(repository)) == 1


def test_a_changed_password_changes_the_epoch(repository: cas.Repository) -> None:
    before = accounts.create_user(repository, "alice", password=PASSWORD)
    after = accounts.set_password(repository, "alice", "a new password")
    assert verify_password(after.password, "a new password")
    assert after.epoch != before.epoch
    assert after.id == before.id
    assert accounts.set_password(repository, "alice", None).password == ""


def test_a_late_rehash_does_not_undo_a_changed_password(repository: cas.Repository) -> None:
    before = accounts.create_user(repository, "alice", password=PASSWORD)
    after = accounts.set_password(repository, "alice", "a new password")
    accounts.replace_hash(repository, before, "$argon2id$stale")
    assert accounts.get_user(repository, "alice") == after


def test_quota_is_the_home_volumes(repository: cas.Repository) -> None:
    accounts.create_user(repository, "alice")
    accounts.set_quota(repository, "alice", 5000)
    assert repository.volume("alice").info.quota == 5000
    accounts.set_quota(repository, "alice", None)
    assert repository.volume("alice").info.quota is None
    with pytest.raises(cas.InvalidError):
        accounts.set_quota(repository, "alice", -1)


@pytest.mark.parametrize("name", ["nobody", "", "..", "a/b", "NOBODY", "a\x00"])
def test_a_change_to_nobody_is_not_found(repository: cas.Repository, name: str) -> None:
    for change in (
        lambda: accounts.get_user(repository, name),
        lambda: accounts.set_password(repository, name, PASSWORD),
        lambda: accounts.set_role(repository, name, Role.ADMIN),
        lambda: accounts.set_disabled(repository, name, disabled=True),
        lambda: accounts.set_quota(repository, name, 1),
        lambda: accounts.delete_user(repository, name),
    ):
        with pytest.raises(cas.NotFoundError):
            change()


def test_the_last_admin_stays(repository: cas.Repository) -> None:
    accounts.create_user(repository, "alice", role=Role.ADMIN)
    accounts.create_user(repository, "bob")
    for change in (
        lambda: accounts.set_role(repository, "alice", Role.USER),
        lambda: accounts.set_disabled(repository, "alice", disabled=True),
        lambda: accounts.delete_user(repository, "alice"),
    ):
        with pytest.raises(cas.ConflictError, match="last admin"):
            change()
    accounts.set_role(repository, "bob", Role.ADMIN)
    accounts.delete_user(repository, "alice")
    with pytest.raises(cas.ConflictError, match="last admin"):
        accounts.set_disabled(repository, "bob", disabled=True)


def test_a_disabled_admin_does_not_count_as_one(repository: cas.Repository) -> None:
    for name in ("alice", "bob"):
        accounts.create_user(repository, name, role=Role.ADMIN)
    accounts.set_disabled(repository, "bob", disabled=True)
    with pytest.raises(cas.ConflictError, match="last admin"):
        accounts.delete_user(repository, "alice")
    accounts.delete_user(repository, "bob")


def test_a_deleted_user_leaves_the_home_and_no_credentials(repository: cas.Repository) -> None:
    for name in ("alice", "bob"):
        accounts.create_user(repository, name)
    app_passwords.create_app_password(repository, "alice", "phone")
    app_passwords.create_app_password(repository, "bob", "laptop")
    grants.grant(repository, "bob", "alice", Right.READ)
    accounts.delete_user(repository, "alice")
    assert [user.name for user in accounts.list_users(repository)] == ["bob"]
    assert [token.user for token in app_passwords.list_app_passwords(repository)] == ["bob"]
    assert grants.list_grants(repository, "bob") == []
    assert repository.volume("alice").info.owner == "alice"
    with pytest.raises(cas.AlreadyExistsError):
        accounts.create_user(repository, "alice")


def test_a_home_is_deleted_with_its_user_when_asked(repository: cas.Repository) -> None:
    before = accounts.create_user(repository, "alice")
    accounts.delete_user(repository, "alice", delete_home=True)
    with pytest.raises(cas.NotFoundError):
        repository.volume("alice")
    assert accounts.create_user(repository, "alice").id != before.id


def test_the_first_start_makes_an_admin_once(repository: cas.Repository) -> None:
    made = accounts.ensure_admin(repository)
    assert made is not None
    name, password = made
    user = accounts.get_user(repository, name)
    assert (user.role, user.password) == (Role.ADMIN, "")
    assert app_passwords.parse(password) == password
    assert accounts.ensure_admin(repository) is None


def test_changes_are_seen_after_the_repository_is_opened_again(tmp_path: Path) -> None:
    with cas.create(tmp_path / "again") as repository:
        user = accounts.create_user(repository, "alice", password=PASSWORD)
    with cas.open(tmp_path / "again") as repository:
        assert accounts.get_user(repository, "alice") == user
