"""`casdav user`, `volume`, `token` and `lock` on a real repository."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import jwt
import pytest

import cas
from dav import accounts, app_passwords
from dav.passwords import verify_password
from dav.registry import read_state
from tests.support.processes import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tools.conftest import Casdav

PASSWORD = "correct horse battery staple"


@pytest.fixture
def alice(casdav: Casdav) -> Casdav:
    casdav("user", "add", "alice", "--admin", "--password-stdin", stdin=PASSWORD + "\n")
    return casdav


@pytest.fixture
def repository(casdav: Casdav) -> Iterator[cas.Repository]:
    with cas.open(casdav.store) as repository:
        yield repository


def test_a_user_is_added_with_password_role_quota_and_home(
    alice: Casdav, repository: cas.Repository
) -> None:
    alice("user", "add", "bob", "--quota", "1M", "--password-stdin", stdin=PASSWORD)
    assert verify_password(accounts.get_user(repository, "alice").password, PASSWORD)
    members = {member["name"]: member for member in alice("user", "list", "--json").document}
    assert members["alice"]["role"] == "admin"
    assert (members["bob"]["role"], members["bob"]["quota"]) == ("user", 1024 * 1024)
    assert repository.volume("bob").info.owner == "bob"


def test_without_a_password_an_app_password_is_printed_once(
    alice: Casdav, repository: cas.Repository
) -> None:
    made = alice("user", "add", "bob", "--no-password", "--json").document
    found = app_passwords.find(
        repository, read_state(repository), made["app_password"], time.time_ns()
    )
    assert found is not None
    assert found.user == "bob"
    assert made["app_password"] not in alice("token", "list", "--json").out


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["bob"], "", 2),
        (["bob", "--password-stdin"], "\n", 2),
        (["bob", "--password-stdin"], "short\n", 2),
        (["Bob!", "--password-stdin"], PASSWORD, 2),
        (["alice", "--password-stdin"], PASSWORD, 14),
        (["bob", "--password-stdin", "--no-password"], PASSWORD, 2),
        (["bob", "--password-stdin", "--quota", "big"], PASSWORD, 2),
    ],
)
def test_a_refused_user_is_one_line_and_not_there(
    alice: Casdav, arguments: list[str], stdin: str, code: int
) -> None:
    assert alice("user", "add", *arguments, stdin=stdin, code=code).err.count("\n") == 1
    assert [member["name"] for member in alice("user", "list", "--json").document] == ["alice"]


def test_a_password_and_a_quota_are_changed(alice: Casdav, repository: cas.Repository) -> None:
    alice("user", "passwd", "alice", "--password-stdin", stdin="another long password")
    stored = accounts.get_user(repository, "alice").password
    assert verify_password(stored, "another long password")
    alice("user", "quota", "alice", "2G")
    assert repository.volume("alice").info.quota == 2 * 1024**3
    alice("user", "quota", "alice", "none")
    assert repository.volume("alice").info.quota is None
    alice("user", "quota", "nobody", "1G", code=1)


def test_a_user_is_deleted_after_a_question_and_the_home_only_when_asked(alice: Casdav) -> None:
    for name in ("bob", "carol"):
        alice("user", "add", name, "--no-password")
    assert "--yes" in alice("user", "delete", "bob", code=2).err
    alice("user", "delete", "bob", "--dry-run")
    assert len(alice("user", "list", "--json").document) == 3
    assert alice("user", "delete", "bob", "--yes", "--json").document["deleted"] is True
    alice("user", "delete", "carol", "--delete-home", "--yes")
    assert alice("ls").out == "alice:\nbob:\nv:\n"
    assert "last admin" in alice("user", "delete", "alice", "--yes", code=14).err


def test_a_volume_is_made_shared_limited_and_deleted(
    alice: Casdav, repository: cas.Repository
) -> None:
    alice("user", "add", "bob", "--no-password")
    alice("volume", "create", "family", "--owner", "alice", "--quota", "1G")
    alice("volume", "grant", "family", "bob", "read")
    members = {item["name"]: item for item in alice("volume", "list", "--json").document}
    assert members["family"]["grants"] == {"bob": "read"}
    assert (members["family"]["owner"], members["family"]["quota"]) == ("alice", 1024**3)
    assert "bob:read" in alice("volume", "list").out
    alice("volume", "revoke", "family", "bob")
    alice("volume", "revoke", "family", "bob", code=1)
    alice("volume", "quota", "family", "none")
    assert repository.volume("family").info.quota is None
    alice("volume", "create", "family", code=14)
    alice("volume", "create", "other", "--owner", "nobody", code=1)
    alice("volume", "grant", "family", "bob", "everything", code=2)
    assert "would delete" in alice("volume", "delete", "family", "--dry-run").out
    alice("volume", "delete", "family", "--yes")
    alice("volume", "delete", "alice", "--yes", code=14)
    assert alice("ls").out == "alice:\nbob:\nv:\n"


def test_an_app_password_is_made_listed_and_revoked(
    alice: Casdav, repository: cas.Repository
) -> None:
    words = ["--label", "phone", "--read-only", "--only", "alice:/scans", "--expires", "30d"]
    made = alice("token", "create", "alice", *words, "--json").document
    [listed] = alice("token", "list", "--json").document
    assert listed == {key: value for key, value in made.items() if key != "secret"}
    assert (listed["label"], listed["read_only"], listed["only"]) == (
        "phone",
        True,
        "alice:/scans",
    )
    assert listed["expires"] is not None
    state = read_state(repository)
    assert app_passwords.find(repository, state, made["secret"], time.time_ns()) is not None
    assert "read in alice:/scans" in alice("token", "list", "alice").out
    alice("token", "revoke", made["id"])
    assert alice("token", "list", "--json").document == []
    alice("token", "revoke", made["id"], code=1)
    assert alice("token", "create", "alice").out.startswith("casdav-")


def test_a_jwt_is_short_lived_and_takes_no_label_or_expiry(alice: Casdav) -> None:
    made = alice("token", "create", "alice", "--jwt", "--read-only", "--json").document
    claims = jwt.decode(made["secret"], options={"verify_signature": False})
    assert (claims["sub"], claims["read_only"]) == ("alice", True)
    assert claims["exp"] - claims["iat"] == made["lifetime_seconds"] == 900
    alice("token", "create", "alice", "--jwt", "--expires", "1d", code=2)
    alice("token", "create", "nobody", "--jwt", code=1)
    alice("token", "create", "alice", "--only", "nowhere:/", code=1)
    alice("token", "create", "alice", "--expires", "2001-01-01", code=2)


def documented(name: str) -> set[str]:
    """Return the members that the README gives a document, up to what other commands add."""
    readme = (CHECKOUT / "tools" / "README.md").read_text()
    [row] = [line for line in readme.splitlines() if line.startswith(f"| `{name}` |")]
    return set(re.findall(r"`([a-z_]+)`", row.split(";")[0].removeprefix(f"| `{name}`")))


def test_documents_have_the_members_that_the_readme_names(
    alice: Casdav, repository: cas.Repository, tmp_path: Path
) -> None:
    hold(repository, "urn:a", "docs/a")
    alice("token", "create", "alice")
    for words in ("volume list", "user list", "token list", "lock list"):
        for item in alice(*words.split(), "--json").document:
            assert set(item) == documented(words), words
    for words in (
        "completion bash",
        "volume quota v none",
        "volume grant v alice read",
        "user passwd alice --password-stdin",
        "user quota alice 1G",
    ):
        shown = alice(*words.split(), "--json", stdin=PASSWORD).document
        name = " ".join(words.split()[: 1 if "bash" in words else 2])
        assert set(shown) == documented(name), words
    assert set(alice("init", tmp_path / "new", "--json").document) == documented("init")
    shown = alice("stats", "--stored", "--growth", "--json").document
    assert set(shown) == documented("stats")
    for value in alice("config", "show", "--json").document.values():
        assert set(value) == documented("config show")
    entry = {"path", "kind", "size", "modified", "mode", "files", "folders"}
    stat = set(alice("stat", "--json", "v:/").document)
    assert stat == documented("stat") - {"entry"} | entry | {"hidden"}


def hold(repository: cas.Repository, token: str, path: str) -> None:
    repository.locks.acquire(
        cas.Lock(
            token=token,
            volume_id=repository.volume("v").id,
            path=path,
            principal="alice",
            expires_ns=time.time_ns() + 3600 * 10**9,
        )
    )


def test_locks_are_listed_and_broken(casdav: Casdav, repository: cas.Repository) -> None:
    for token, path in [("urn:a", "docs/a"), ("urn:b", "docs/b"), ("urn:c", "c")]:
        hold(repository, token, path)
    tokens = [item["token"] for item in casdav("lock", "list", "--json").document]
    assert sorted(tokens) == ["urn:a", "urn:b", "urn:c"]
    assert "v:/docs/a" in casdav("lock", "list", "v:/docs").out
    casdav("lock", "break", "urn:a", code=2)  # Nobody is there to say yes.
    casdav("lock", "break", "urn:a", "--dry-run")
    casdav("lock", "break", "urn:a", "--yes")
    casdav("lock", "break", "urn:a", "--yes", code=1)
    broken = casdav("lock", "break", "--at", "v:/docs", "--yes", "--json").document
    assert [item["token"] for item in broken["locks"]] == ["urn:b"]
    assert [item["token"] for item in casdav("lock", "list", "--json").document] == ["urn:c"]
    casdav("lock", "break", code=2)
