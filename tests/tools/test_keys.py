"""`casdav init --encrypt`, `casdav key`, and where passwords come from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.server import Server, running_server
from tests.tools.conftest import Casdav
from tools.unlocking import KeySources

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "correct horse battery staple"
VARIABLES = (
    *("CASDAV_PASSWORD", "CASDAV_PASSWORD_FILE", "CASDAV_PASSWORD_COMMAND"),
    *("CASDAV_KEY_FILE", "CASDAV_ENCRYPT"),
)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "first.key"


@pytest.fixture
def casdav(tmp_path: Path, key_file: Path) -> Casdav:
    """`casdav` on a new encrypted repository, which the key file opens."""
    made = Casdav(tmp_path / "store")
    said = made("init", made.store, "--encrypt", "--new-key-file", key_file, "--json").document
    assert said["encrypted"]
    return made


def test_a_key_file_opens_it_and_nothing_else_does(
    casdav: Casdav, key_file: Path, tmp_path: Path
) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert len(key_file.read_bytes()) == cas.KEY_FILE_SIZE
    casdav("volume", "create", "v", "--key-file", key_file)
    assert "v" in casdav("ls", "--key-file", key_file).out
    before = {path: path.read_bytes() for path in casdav.store.rglob("*") if path.is_file()}
    (tmp_path / "other.key").write_bytes(bytes(32))
    (tmp_path / "short.key").write_bytes(bytes(31))
    for arguments, reason in (
        ((), "the repository is encrypted: give its password"),
        (("--key-file", tmp_path / "other.key"), "does not open this repository"),
        (("--key-file", tmp_path / "short.key"), "has 32 bytes, this one has 31"),
        (("--key-file", tmp_path / "missing.key"), "cannot read the key file"),
        (("--key-file", tmp_path), "cannot read the key file"),
        (("--password-command", "false"), "ended with 1"),
        (("--password-command", "true"), "gives no password"),
        (("--password-command", "/nowhere"), "cannot run"),
        (("--password-file", tmp_path / "missing"), "cannot read the password file"),
        (("--password-command", "echo wrong"), "the password does not open"),
    ):
        for command in (("ls",), ("check",), ("serve", "--port", "0"), ("index", "rebuild", "-y")):
            ended = casdav(*command, *arguments, code=12)
            assert reason in ended.err
            assert ended.err.count("\n") == 1
    assert {path: path.read_bytes() for path in casdav.store.rglob("*") if path.is_file()} == before


def sources(tmp_path: Path) -> dict[str, Callable[[pytest.MonkeyPatch], list[str]]]:
    """Return the ways to say the password: each sets what it needs and returns options."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\nsecond line\n")
    command = f"{sys.executable} -c \"print('{PASSWORD}')\""

    def set_variable(name: str, value: str) -> Callable[[pytest.MonkeyPatch], list[str]]:
        def apply(monkeypatch: pytest.MonkeyPatch) -> list[str]:
            monkeypatch.setenv(name, value)
            return []

        return apply

    return {
        "variable": set_variable("CASDAV_PASSWORD", PASSWORD),
        "file variable": set_variable("CASDAV_PASSWORD_FILE", str(path)),
        "command variable": set_variable("CASDAV_PASSWORD_COMMAND", command),
        "file": lambda _: ["--password-file", str(path)],
        "command": lambda _: ["--password-command", command],
    }


def test_a_password_comes_from_each_of_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casdav = Casdav(tmp_path / "typed")
    for place in sources(tmp_path).values():
        with monkeypatch.context() as patched:
            options = place(patched)
            if not casdav.store.exists():
                assert "an encrypted" in casdav("init", casdav.store, "--encrypt", *options).out
            casdav("ls", *options)
    assert casdav("ls", code=12).err.startswith("casdav: the repository is encrypted")


def test_options_go_over_the_environment_and_a_key_file_over_a_password(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "password").write_text("from the file")
    environment = {"CASDAV_PASSWORD": "from the variable", "CASDAV_KEY_FILE": str(tmp_path / "key")}
    assert KeySources().find({}) is None
    assert KeySources().find(environment) == cas.KeyFile(b"k" * 32)
    del environment["CASDAV_KEY_FILE"]
    assert KeySources().find(environment) == cas.Passphrase("from the variable")
    named = KeySources(password_file=tmp_path / "password")
    assert named.find(environment) == cas.Passphrase("from the file")
    named.key_file = tmp_path / "key"
    assert named.find(environment) == cas.KeyFile(b"k" * 32)


def test_keys_come_and_go(casdav: Casdav, key_file: Path, tmp_path: Path) -> None:
    with_key = ("--key-file", key_file)
    assert len(casdav("key", "list", "--json").document) == 1
    added = casdav(
        *("key", "add", "--new-password-file", "-", "--label", "mine", "--json", *with_key),
        stdin=f"{PASSWORD}\n",
    ).document
    assert (added["kind"], added["label"]) == ("passphrase", "mine")
    assert "mine" in casdav("key", "list").out
    casdav("key", "add", "--new-key-file", tmp_path / "second.key", *with_key)
    assert "cannot make" in casdav("key", "add", "--new-key-file", key_file, *with_key, code=1).err
    assert (
        "one new key"
        in casdav(
            "key", "add", "--new-key-file", "x", "--existing-key-file", "y", *with_key, code=2
        ).err
    )
    assert casdav("key", "add", *with_key, code=2).err.count("nobody is there to type")
    assert casdav("key", "remove", added["id"], "-n").out.startswith("would remove")
    assert "Nobody is there to ask" in casdav("key", "remove", added["id"], *with_key, code=2).err
    assert casdav("key", "remove", "none", "-y", *with_key, code=1).err.count("no key")
    casdav("key", "remove", added["id"], "-y", *with_key)
    casdav("ls", "--password-command", f"echo {PASSWORD}", code=12)
    casdav("ls", "--key-file", tmp_path / "second.key")


def test_a_failed_add_leaves_no_key_file(casdav: Casdav, tmp_path: Path) -> None:
    casdav("key", "add", "--new-key-file", tmp_path / "new.key", code=12)
    assert not (tmp_path / "new.key").exists()


def test_the_last_key_is_not_removed(casdav: Casdav, key_file: Path) -> None:
    (only,) = casdav("key", "list", "--json").document
    ended = casdav("key", "remove", only["id"], "-y", "--key-file", key_file, code=1)
    assert "add another one first" in ended.err
    casdav("ls", "--key-file", key_file)


def test_rotation_and_dropping(casdav: Casdav, key_file: Path, tmp_path: Path) -> None:
    with_key = ("--key-file", key_file)
    assert casdav("key", "rotate", "--json", *with_key).document == {"key_number": 2, "dropped": []}
    casdav("key", "add", "--new-key-file", tmp_path / "second.key", *with_key)
    casdav("key", "rotate", "--drop-others", *with_key, code=2)
    said = casdav("key", "rotate", "--drop-others", "-y", "--json", *with_key).document
    assert (said["key_number"], len(said["dropped"])) == (3, 1)
    casdav("ls", "--key-file", tmp_path / "second.key", code=12)
    casdav("check", "--read-data", *with_key)


def test_the_config_can_be_kept_elsewhere(casdav: Casdav, tmp_path: Path) -> None:
    document = (casdav.store / "config").read_text()
    assert casdav("key", "export").out == document
    said = casdav("key", "export", "--to", tmp_path / "copy", "--json").document
    assert said == {"file": str(tmp_path / "copy"), "size": len(document)}
    assert (tmp_path / "copy").read_text() == document
    assert "cannot write" in casdav("key", "export", "--to", tmp_path / "copy", code=1).err


def test_a_plain_repository_says_that_it_has_no_keys(tmp_path: Path) -> None:
    casdav = Casdav(tmp_path / "plain")
    assert not casdav("init", casdav.store, "--no-encrypt", "--json").document["encrypted"]
    for command in (("list",), ("add",), ("export",), ("rotate",), ("remove", "x")):
        assert "not encrypted" in casdav("key", *command, code=2).err
    casdav("key", "list", "--store", tmp_path / "nothing", code=10)


def test_encryption_without_any_key_makes_nothing(tmp_path: Path) -> None:
    casdav = Casdav(tmp_path / "store")
    ended = casdav("init", casdav.store, "--encrypt", code=2)
    assert "--no-encrypt" in ended.err
    assert not (casdav.store / "config").exists()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    casdav("init", tmp_path / "taken", "--new-key-file", tmp_path / "key", code=14)
    assert not (tmp_path / "key").exists()


def test_every_command_works_on_an_encrypted_repository(
    casdav: Casdav, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASDAV_KEY_FILE", str(key_file))
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(200_000))
    casdav("volume", "create", "v")
    casdav("import", source, "v:/")
    casdav("snapshot", "create", "v", "one")
    casdav("export", "v@one:/", tmp_path / "out")
    assert (tmp_path / "out" / "file").read_bytes() == (source / "file").read_bytes()
    casdav("gc", "--grace", "0s")
    casdav("stats", "--stored")
    casdav("index", "rebuild", "-y")
    casdav("repair", "-y")
    casdav("replicate", tmp_path / "copy")
    casdav("check", "--read-data", "--store", tmp_path / "copy")
    casdav("upgrade")
    for cache in tmp_path.rglob("*.sqlite"):
        assert b"source" not in cache.read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_encrypted_repository_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    (tmp_path / "key").write_bytes(os.urandom(32))
    monkeypatch.setenv("CASDAV_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("CASDAV_ENCRYPT", "1")
    body = b"a body that nobody is to find on the disk"
    with running_server(tmp_path / "store", "--workers", str(workers)) as server:
        assert isinstance(server, Server)
        assert server.request("PUT", "vertraulich.txt", body)[0] == 201
        assert server.request("GET", "vertraulich.txt")[2] == body
    config = (tmp_path / "store" / "config").read_text()
    assert '"encrypted"' in config
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert body not in content
            assert b"vertraulich" not in content
