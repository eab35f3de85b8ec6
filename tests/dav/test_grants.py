"""Rights: the owner's, the granted ones, and what a credential's scope leaves of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from dav import accounts, grants
from dav.grants import Rights, is_inside
from dav.identity import Method, Principal, Right, Role, Scope
from dav.registry import Registry

PATHS = st.lists(st.text("ab.é ", min_size=1), max_size=4).map("/".join)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        for name in ("alice", "bob"):
            accounts.create_user(made, name)
        accounts.create_user(made, "root", role=Role.ADMIN)
        made.create_volume("shared")
        yield made


@pytest.fixture
def rights(repository: cas.Repository) -> Rights:
    return Rights(Registry(repository))


def principal(name: str, role: Role = Role.USER, **scope: object) -> Principal:
    return Principal(name, role, Method.PASSWORD, Scope(**scope))  # type: ignore[arg-type]


def right(
    rights: Rights, repository: cas.Repository, volume: str, who: Principal, path: str = ""
) -> Right:
    return rights.right(who, repository.volume(volume).info, path)


def test_the_owner_manages_and_others_have_nothing(
    repository: cas.Repository, rights: Rights
) -> None:
    assert right(rights, repository, "alice", principal("alice")) is Right.MANAGE
    assert right(rights, repository, "alice", principal("bob")) is Right.NONE
    assert right(rights, repository, "shared", principal("alice")) is Right.NONE


def test_an_admin_reads_nobodys_files(repository: cas.Repository, rights: Rights) -> None:
    admin = principal("root", Role.ADMIN)
    assert right(rights, repository, "alice", admin) is Right.NONE
    assert [visible.volume.name for visible in rights.visible(admin)] == ["root"]


@pytest.mark.parametrize("granted", [Right.READ, Right.WRITE, Right.MANAGE])
def test_a_grant_gives_its_right_until_it_is_revoked(
    repository: cas.Repository, rights: Rights, granted: Right
) -> None:
    grants.grant(repository, "shared", "bob", granted)
    assert right(rights, repository, "shared", principal("bob")) is granted
    assert right(rights, repository, "shared", principal("alice")) is Right.NONE
    grants.revoke(repository, "shared", "bob")
    assert right(rights, repository, "shared", principal("bob")) is Right.NONE


def test_a_later_grant_replaces_the_earlier_one(repository: cas.Repository, rights: Rights) -> None:
    grants.grant(repository, "shared", "bob", Right.MANAGE)
    grants.grant(repository, "shared", "bob", Right.READ)
    assert right(rights, repository, "shared", principal("bob")) is Right.READ
    assert [grant.right for grant in grants.list_grants(repository, "shared")] == [Right.READ]


def test_grants_that_make_no_sense_are_refused(repository: cas.Repository) -> None:
    with pytest.raises(cas.NotFoundError):
        grants.grant(repository, "shared", "nobody", Right.READ)
    with pytest.raises(cas.NotFoundError):
        grants.grant(repository, "nowhere", "bob", Right.READ)
    with pytest.raises(cas.InvalidError):
        grants.grant(repository, "alice", "alice", Right.READ)
    with pytest.raises(cas.InvalidError):
        grants.grant(repository, "shared", "bob", Right.NONE)
    with pytest.raises(cas.NotFoundError):
        grants.revoke(repository, "shared", "bob")
    assert grants.list_grants(repository, "shared") == []


def test_a_disabled_or_deleted_user_has_no_right(
    repository: cas.Repository, rights: Rights
) -> None:
    grants.grant(repository, "shared", "bob", Right.READ)
    accounts.set_disabled(repository, "bob", disabled=True)
    assert right(rights, repository, "shared", principal("bob")) is Right.NONE
    assert right(rights, repository, "bob", principal("bob")) is Right.NONE
    accounts.set_disabled(repository, "bob", disabled=False)
    assert right(rights, repository, "shared", principal("bob")) is Right.READ
    accounts.delete_user(repository, "bob")
    assert right(rights, repository, "bob", principal("bob")) is Right.NONE


def test_a_new_user_of_an_old_name_inherits_no_grant(
    repository: cas.Repository, rights: Rights
) -> None:
    grants.grant(repository, "shared", "bob", Right.READ)
    with repository.registry.view() as view:
        folder = f"grants/{repository.volume('shared').id.hex()}"
        record = view.entry(f"{folder}/bob").content
    accounts.delete_user(repository, "bob", delete_home=True)
    # As if the grant had been made while the user was being deleted.
    with repository.registry.edit(author="test") as edit:
        edit.put_record(f"{folder}/bob", record)
    accounts.create_user(repository, "bob")
    assert right(rights, repository, "shared", principal("bob")) is Right.NONE


def test_a_read_only_credential_only_reads(repository: cas.Repository, rights: Rights) -> None:
    reader = principal("alice", read_only=True)
    assert right(rights, repository, "alice", reader) is Right.READ
    assert right(rights, repository, "bob", reader) is Right.NONE
    assert [visible.right for visible in rights.visible(reader)] == [Right.READ]


def test_a_browsers_session_only_reads(repository: cas.Repository, rights: Rights) -> None:
    session = Principal("alice", Role.USER, Method.SESSION)
    assert right(rights, repository, "alice", session) is Right.READ
    assert right(rights, repository, "bob", session) is Right.NONE


def test_a_credential_for_a_volume_opens_no_other(
    repository: cas.Repository, rights: Rights
) -> None:
    grants.grant(repository, "shared", "alice", Right.WRITE)
    narrowed = principal("alice", volume="shared")
    assert right(rights, repository, "shared", narrowed, "any/path") is Right.WRITE
    assert right(rights, repository, "alice", narrowed) is Right.NONE
    assert [visible.volume.name for visible in rights.visible(narrowed)] == ["shared"]


@pytest.mark.parametrize("path", ["photos/2024", "photos/2024/", "photos/2024/a/b"])
def test_a_credential_for_a_folder_opens_it(
    repository: cas.Repository, rights: Rights, path: str
) -> None:
    narrowed = principal("alice", volume="alice", path="photos/2024")
    assert right(rights, repository, "alice", narrowed, path) is Right.MANAGE


@pytest.mark.parametrize(
    "path",
    [
        "",
        "photos",
        "photos/20245",
        "photos/2024x/a",
        "Photos/2024",
        "photos/2024/../2023",
        "photos/./2024",
        "photos//2024",
        "x/photos/2024",
        ".snapshots/monday/photos/2024",
    ],
)
def test_a_credential_for_a_folder_opens_nothing_else(
    repository: cas.Repository, rights: Rights, path: str
) -> None:
    narrowed = principal("alice", volume="alice", path="photos/2024")
    assert right(rights, repository, "alice", narrowed, path) is Right.NONE
    assert rights.visible(narrowed) == []


def test_a_narrowed_credential_does_not_administer() -> None:
    assert principal("root", Role.ADMIN).is_admin
    assert not principal("root", Role.ADMIN, read_only=True).is_admin
    assert not principal("root", Role.ADMIN, volume="root").is_admin
    assert not principal("alice").is_admin
    assert not Principal("root", Role.ADMIN, Method.SESSION).is_admin


@given(PATHS, PATHS)
def test_inside_is_what_the_names_say(folder: str, below: str) -> None:
    path = f"{folder}/{below}" if folder and below else folder or below
    is_plain = not {".", "..", ""} & set(path.split("/"))
    assert is_inside(path, folder) == (is_plain or not folder)
    assert is_inside(path, "")
    assert not folder or not is_inside(f"x{path}", folder)


def test_grants_on_a_deleted_volume_open_nothing_and_come_back_with_it(
    repository: cas.Repository, rights: Rights
) -> None:
    grants.grant(repository, "shared", "bob", Right.READ)
    grants.delete_volume(repository, "shared")
    assert [visible.volume.name for visible in rights.visible(principal("bob"))] == ["bob"]
    repository.create_volume("shared")
    assert right(rights, repository, "shared", principal("bob")) is Right.NONE
    cas.undelete_volume(repository, "shared", new_name="found")
    assert right(rights, repository, "found", principal("bob")) is Right.READ


def test_a_home_is_not_deleted_under_its_user(repository: cas.Repository) -> None:
    with pytest.raises(cas.ConflictError):
        grants.delete_volume(repository, "alice")
    accounts.delete_user(repository, "alice")
    grants.delete_volume(repository, "alice")


def test_a_change_by_another_process_is_seen_by_the_next_question(
    repository: cas.Repository, rights: Rights
) -> None:
    with cas.open(repository.location) as other:
        grants.grant(other, "shared", "bob", Right.READ)
        assert right(rights, repository, "shared", principal("bob")) is Right.READ
        grants.revoke(other, "shared", "bob")
        assert right(rights, repository, "shared", principal("bob")) is Right.NONE


@pytest.mark.parametrize(
    ("word", "meant"), [("read", Right.READ), ("write", Right.WRITE), ("manage", Right.MANAGE)]
)
def test_rights_have_words(word: str, meant: Right) -> None:
    assert grants.parse_right(word) is meant


@pytest.mark.parametrize("word", ["", "none", "READ", "admin"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(cas.InvalidError):
        grants.parse_right(word)
