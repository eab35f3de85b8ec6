"""An older state of an encrypted repository that was put back is noticed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

import cas
from cas.clock import SystemClock
from cas.formats import decode_config, encode_config, new_config
from cas.refs import ref_name
from cas.repository import Repository
from cas.stores.opening import open_store
from tests.support.checking import assert_sound, check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY: Final = cas.KeyFile(b"1" * 32)


def unlock() -> cas.Credential:
    return KEY


def put(store: Path, name: str) -> None:
    with cas.open(store, unlock=unlock) as repository, repository.volume("v").edit() as edit:
        edit.make_directory(name)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A repository, and beside it a copy of how it was two changes ago."""
    with cas.create(tmp_path / "store", key=KEY) as repository:
        repository.create_volume("v")
        repository.create_volume("other")
    put(tmp_path / "store", "first")
    shutil.copytree(tmp_path / "store", tmp_path / "old")
    put(tmp_path / "store", "second")
    put(tmp_path / "store", "third")
    return tmp_path / "store"


def put_back(store: Path, *names: str) -> None:
    """Replace parts of the store by what they were, and remove the catalog."""
    for name in names:
        shutil.rmtree(store / name)
        shutil.copytree(store.parent / "old" / name, store / name)


def test_all_that_is_stored_put_back_is_refused_without_a_catalog(store: Path) -> None:
    put_back(store, "refs", "packs")
    shutil.rmtree(store / "local" / "catalog")
    with pytest.raises(cas.IntegrityError, match=r"older state was put back.*local/seen"):
        cas.open(store, unlock=unlock)
    with pytest.raises(cas.IntegrityError, match="older state"):
        cas.rebuild_index(store, unlock=unlock)
    (store / "local" / "seen").unlink()  # as the message says
    with cas.open(store, unlock=unlock) as repository:
        with repository.volume("v").view() as view:
            assert [path for path, _ in view.walk()] == ["first"]
        assert_sound(repository)


def test_a_repair_that_gives_up_goes_on_from_there(store: Path) -> None:
    put_back(store, "refs", "packs")
    shutil.rmtree(store / "local" / "catalog")
    cas.rebuild_index(store, give_up=True, unlock=unlock)
    put(store, "fourth")
    shutil.rmtree(store / "local" / "catalog")
    with cas.open(store, unlock=unlock) as repository:
        assert_sound(repository)


def test_a_volume_whose_ref_was_taken_away_is_missed(store: Path) -> None:
    with cas.open(store, unlock=unlock) as repository:
        name = ref_name(repository.engine.chunks.identifier, repository.volume("other").id)
    (store / name).unlink()
    shutil.rmtree(store / "local" / "catalog")
    with pytest.raises(cas.IntegrityError, match="older state was put back"):
        cas.open(store, unlock=unlock)


def test_old_refs_alone_are_made_good_by_the_journal(store: Path) -> None:
    """It lies in the packs: the newest state comes of it, whatever the refs say."""
    put_back(store, "refs")
    shutil.rmtree(store / "local" / "catalog")
    with cas.open(store, unlock=unlock) as repository, repository.volume("v").view() as view:
        assert [path for path, _ in view.walk()] == ["first", "second", "third"]


def test_a_check_names_an_old_ref_repair_mends_it_and_replicate_does_not_pass_it_on(
    store: Path, tmp_path: Path
) -> None:
    put_back(store, "refs")
    with cas.open(store, unlock=unlock) as repository:
        assert "it was put back" in check(repository).messages
        with pytest.raises(cas.IntegrityError, match="older state"):
            cas.replicate(repository, tmp_path / "replica")
        assert cas.repair_repository(repository).refs
        assert_sound(repository)
        cas.replicate(repository, tmp_path / "replica")
    with cas.open(tmp_path / "replica", unlock=unlock) as replica:
        assert_sound(replica)


def test_keys_that_were_removed_come_back_to_no_machine_that_saw_it(store: Path) -> None:
    old = (store / "config").read_bytes()
    cas.add_key(store, unlock, cas.KeyFile(b"2" * 32))
    put(store, "seen with two keys")
    (store / "config").write_bytes(old)
    with pytest.raises(cas.IntegrityError, match="config is an older one"):
        cas.open(store, unlock=unlock)
    (store / "local" / "seen").unlink()
    put(store, "accepted")


def damages() -> dict[str, Callable[[Path], None]]:
    return {
        "flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"),
        "empty": lambda path: path.write_bytes(b""),
        "gone": lambda path: path.unlink(),
    }


@pytest.mark.parametrize("name", damages())
def test_what_was_seen_may_be_lost(store: Path, name: str) -> None:
    damages()[name](store / "local" / "seen")
    put(store, "fourth")
    put_back(store, "refs", "packs")
    shutil.rmtree(store / "local" / "catalog")
    with pytest.raises(cas.IntegrityError, match="older state was put back"):
        cas.open(store, unlock=unlock)


def test_a_plain_config_in_its_place_makes_no_plain_repository_of_it(store: Path) -> None:
    """Or whoever owns the disk would be given what is stored from then on."""
    encrypted = decode_config((store / "config").read_bytes())
    plain = replace(new_config("2026-11-23T00:00:00+00:00"), identity=encrypted.identity)
    (store / "config").write_bytes(encode_config(plain))
    shutil.rmtree(store / "local" / "catalog")
    with pytest.raises(cas.IntegrityError, match="has seen the repository encrypted"):
        Repository(open_store(store), SystemClock())


def test_dropped_volumes_are_not_missed(store: Path) -> None:
    with cas.open(store, unlock=unlock) as repository:
        repository.delete_volume("other")
        policy = cas.VersionPolicy(versions=1)
        cas.collect_garbage(repository, policy, grace_seconds=0)
    for _ in range(2):
        shutil.rmtree(store / "local" / "catalog")
        with cas.open(store, unlock=unlock) as repository:
            assert_sound(repository)
            cas.collect_garbage(repository, policy, grace_seconds=0)


def test_a_plain_repository_keeps_no_such_file(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store", key=None) as repository:
        if repository.key is not None:
            pytest.skip("all repositories are encrypted in this run")
        repository.create_volume("v")
    assert not (tmp_path / "store" / "local" / "seen").exists()
