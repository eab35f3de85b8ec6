"""Keys of an encrypted repository: added, removed, rotated, and what old ones still open."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.independent_reader import IndependentReader

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = cas.KeyFile(b"1" * 32), cas.KeyFile(b"2" * 32)
TYPED: Final = cas.Passphrase("correct horse", passes=1, memory_kib=64)
CONTENT: Final = seeded_bytes(1, 400_000)


def first() -> cas.Credential:
    return FIRST


def second() -> cas.Credential:
    return SECOND


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store", key=FIRST) as repository:
        put(repository.create_volume("v"), "old", CONTENT)
    return tmp_path / "store"


def put(volume: cas.Volume, path: str, content: bytes) -> None:
    with volume.edit() as edit:
        upload = volume.upload()
        upload.write(content)
        edit.put(path, upload)


def read(repository: cas.Repository, path: str) -> bytes:
    with repository.volume("v").view() as view:
        return view.open(path).read()


def keys_of_packs(repository: cas.Repository) -> list[int]:
    with repository.engine.catalog.read() as transaction:
        return sorted({row.key_number for _, row in transaction.packs() if row.state < 3})


def test_each_key_opens_it_until_it_is_removed(store: Path) -> None:
    added = cas.add_key(store, first, SECOND, label="in the safe")
    typed = cas.add_key(store, second, TYPED)
    assert [info.kind for info in cas.list_keys(store)] == ["key file", "key file", "passphrase"]
    assert (added.kind, added.label) == ("key file", "in the safe")
    for credential in (FIRST, SECOND, TYPED):
        with cas.open(store, unlock=lambda credential=credential: credential) as repository:  # type: ignore[misc]
            assert read(repository, "old") == CONTENT
    assert cas.remove_key(store, first, typed.id) == typed
    with pytest.raises(cas.WrongKeyError):
        cas.open(store, unlock=lambda: TYPED)
    with cas.open(store, unlock=second) as repository:
        assert_sound(repository)


def test_the_last_key_stays(store: Path) -> None:
    (only,) = cas.list_keys(store)
    before = (store / "config").read_bytes()
    with pytest.raises(cas.InvalidError, match="last key"):
        cas.remove_key(store, first, only.id)
    with pytest.raises(cas.NotFoundError):
        cas.remove_key(store, first, "00000000")
    with pytest.raises(cas.InvalidError, match="empty"):
        cas.add_key(store, first, cas.Passphrase(""))
    with pytest.raises(cas.WrongKeyError):
        cas.add_key(store, second, TYPED)
    assert (store / "config").read_bytes() == before


def test_a_key_file_has_its_size() -> None:
    for size in (0, 31, 33, 64):
        with pytest.raises(cas.WrongKeyError, match=f"has {size}"):
            cas.KeyFile(bytes(size))


def test_a_repository_without_encryption_has_no_keys(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store", key=None) as repository:
        if repository.key is not None:
            pytest.skip("all repositories are encrypted in this run")
    with pytest.raises(cas.InvalidError, match="not encrypted"):
        cas.list_keys(tmp_path / "store")
    with pytest.raises(cas.InvalidError, match="not encrypted"):
        cas.rotate_key(tmp_path / "store", first)


def test_credentials_show_nothing_in_logs() -> None:
    assert "correct" not in repr(TYPED)
    assert "1111" not in repr(FIRST)
    assert "1111" not in repr(cas.RepositoryKey(b"1" * 32))


def test_a_new_key_encrypts_what_is_new_and_finds_what_is_old(store: Path) -> None:
    assert cas.rotate_key(store, first).key_number == 2
    with cas.open(store, unlock=first) as repository:
        size = stored_size(repository)
        put(repository.volume("v"), "same", CONTENT)  # is found: ids are as they were
        put(repository.volume("v"), "new", b"new" * 1_000)
        repository.checkpoint()
        repository.engine.chunks.open_packs.seal_current()
        assert keys_of_packs(repository) == [1, 2]
        assert stored_size(repository) < size + 10_000
        assert_sound(repository)
    shutil.rmtree(store / "local")
    with cas.open(store, unlock=first) as repository:
        assert keys_of_packs(repository) == [1, 2]
        assert read(repository, "old") == read(repository, "same") == CONTENT
    reader = IndependentReader(store, FIRST.content)
    found = dict(reader.walk(reader.root(reader.volumes()[b"v"])))
    assert reader.read(found[b"old"]) == CONTENT


def stored_size(repository: cas.Repository) -> int:
    return sum(size for _, size in repository.engine.store.list("packs"))


def test_a_collection_encrypts_anew_what_an_older_key_has(store: Path) -> None:
    cas.rotate_key(store, first)
    with cas.open(store, unlock=first) as repository:
        report = cas.collect_garbage(repository, grace_seconds=0)
        assert report.removed_packs
        repository.engine.chunks.open_packs.seal_current()
        assert keys_of_packs(repository) == [2]
        assert read(repository, "old") == CONTENT
        assert_sound(repository)


def test_a_process_of_before_reads_what_a_newer_one_encrypts(store: Path) -> None:
    with cas.open(store, unlock=first) as old:
        cas.rotate_key(store, first)
        with cas.open(store, unlock=first) as new:
            put(new.volume("v"), "new", b"n" * 5_000)
            new.engine.chunks.open_packs.seal_current()
        assert read(old, "new") == b"n" * 5_000
        put(old.volume("v"), "from before", b"o" * 5_000)
        assert_sound(old)
    with cas.open(store, unlock=first) as repository:
        assert read(repository, "from before") == b"o" * 5_000
        assert keys_of_packs(repository) == [1, 2]


def test_who_was_dropped_opens_nothing_with_any_key_of_before(store: Path) -> None:
    cas.add_key(store, first, SECOND)
    with cas.open(store, unlock=second) as repository:
        of_before = repository.key
    assert of_before is not None
    done = cas.rotate_key(store, first, drop_others=True)
    assert (done.key_number, [info.kind for info in done.dropped]) == (2, ["key file"])
    assert len(cas.list_keys(store)) == 1
    for credential in (SECOND, of_before):
        with pytest.raises(cas.WrongKeyError):
            cas.open(store, unlock=lambda credential=credential: credential)  # type: ignore[misc]
    with cas.open(store, unlock=first) as repository:
        assert read(repository, "old") == CONTENT


def test_two_who_change_the_keys_at_once_lose_neither(store: Path) -> None:
    def late() -> cas.Credential:
        if len(cas.list_keys(store)) == 1:
            cas.add_key(store, first, SECOND)
        return FIRST

    with pytest.raises(cas.ConflictError):
        cas.add_key(store, late, TYPED)
    assert len(cas.list_keys(store)) == 2


def test_an_exported_config_brings_back_a_lost_one(store: Path) -> None:
    exported = cas.export_config(store)
    (store / "config").unlink()
    with pytest.raises(cas.NotFoundError):
        cas.open(store, unlock=first)
    (store / "config").write_bytes(exported)
    with cas.open(store, unlock=first) as repository:
        assert read(repository, "old") == CONTENT


def test_a_forged_slot_that_asks_for_all_memory_is_refused(store: Path) -> None:
    cas.add_key(store, first, TYPED)
    config = store / "config"
    config.write_bytes(config.read_bytes().replace(b'"memory_kib": 64', b'"memory_kib": 99999999'))
    with pytest.raises(cas.FormatError, match="more work"):
        cas.open(store, unlock=lambda: TYPED)


def test_a_replica_follows_the_keys(store: Path, tmp_path: Path) -> None:
    replica = tmp_path / "replica"
    for credential in (first, second):
        with cas.open(store, unlock=first) as repository:
            assert cas.replicate(repository, replica).volumes == 1
        with cas.open(replica, unlock=credential) as copy:
            assert read(copy, "old") == CONTENT
            assert_sound(copy)
        cas.add_key(store, first, SECOND)
        cas.rotate_key(store, first)
