"""Opening, closing and sharing a repository."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cas
from tests.support.processes import CHECKOUT, casdav_environment
from tests.support.waiting import wait_until


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


def read(volume: cas.Volume, path: str) -> bytes:
    with volume.view() as view, view.open(path) as reader:
        return reader.read()


@pytest.fixture
def location(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store") as repository:
        put(repository.create_volume("v"), "file", b"content")
    return tmp_path / "store"


@pytest.mark.parametrize("location", ["memory:", "file://{}/store", "{}/store"])
def test_a_repository_can_be_made_at_each_kind_of_location(tmp_path: Path, location: str) -> None:
    with cas.create(location.format(tmp_path)) as repository:
        volume = repository.create_volume("v")
        put(volume, "file", b"content")
        repository.checkpoint()
        assert read(volume, "file") == b"content"


def test_what_was_committed_is_there_after_closing_and_opening(location: Path) -> None:
    with cas.open(location) as repository:
        assert read(repository.volume("v"), "file") == b"content"


def test_closing_leaves_nothing_open_and_all_packs_in_the_store(location: Path) -> None:
    for directory in ("open", "processes"):
        assert list((location / "local" / directory).iterdir()) == []
    assert len(list(location.glob("packs/*/*"))) == 2


def test_closing_twice_is_closing_once(location: Path) -> None:
    repository = cas.open(location)
    repository.close()
    repository.close()


def test_two_handles_in_one_process_see_each_other(location: Path) -> None:
    with cas.open(location) as one, cas.open(location) as other:
        put(one.volume("v"), "from one", b"1")
        put(other.volume("v"), "from other", b"2")
        assert read(one.volume("v"), "from other") == b"2"
        assert read(other.volume("v"), "from one") == b"1"
        one.close()
        put(other.volume("v"), "later", b"3")
        assert read(other.volume("v"), "from one") == b"1"


def test_two_processes_see_each_other(location: Path) -> None:
    program = (
        "import cas, sys\n"
        "with cas.open(sys.argv[1]) as repository:\n"
        "    volume = repository.volume('v')\n"
        "    with volume.view() as view: print(view.open('here').read().decode())\n"
        "    upload = volume.upload(); upload.write(b'from there')\n"
        "    with volume.edit() as edit: edit.put('there', upload)\n"
    )
    with cas.open(location) as repository:
        put(repository.volume("v"), "here", b"from here")
        before = repository.last_transaction()
        found = subprocess.check_output(
            [sys.executable, "-c", program, str(location)],
            cwd=CHECKOUT,
            env=casdav_environment(),
            text=True,
        )
        assert found == "from here\n"
        assert read(repository.volume("v"), "there") == b"from there"
        assert repository.last_transaction() > before


def test_a_place_without_a_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(cas.NotFoundError):
        cas.open(tmp_path / "nowhere")
    with pytest.raises(cas.NotFoundError, match="no repository"):
        cas.open(tmp_path)


def test_a_repository_is_not_made_over_another(location: Path) -> None:
    with pytest.raises(cas.AlreadyExistsError):
        cas.create(location)
    with cas.open(location) as repository:
        assert read(repository.volume("v"), "file") == b"content"


def rewrite_config(location: Path, **changes: object) -> None:
    path = location / "config"
    config = json.loads(path.read_bytes()) | changes
    path.write_bytes(json.dumps(config).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"incompatible": ["sealed"]},
        {"read_features": ["sealed"]},
        {"write_features": ["sealed"]},
    ],
)
def test_a_newer_format_is_refused(location: Path, changes: dict[str, object]) -> None:
    rewrite_config(location, **changes)
    with pytest.raises(cas.FormatError, match="use a newer casdav"):
        cas.open(location)


def test_what_is_no_config_of_ours_is_refused(location: Path) -> None:
    rewrite_config(location, format="other")
    with pytest.raises(cas.FormatError, match="not a casdav repository"):
        cas.open(location)
    (location / "config").write_bytes(b"\0nonsense")
    with pytest.raises(cas.FormatError):
        cas.open(location)


def test_the_catalog_of_another_repository_is_refused_and_nothing_is_left_behind(
    location: Path, tmp_path: Path
) -> None:
    cas.create(tmp_path / "other").close()
    shutil.rmtree(location / "local" / "catalog")
    shutil.copytree(tmp_path / "other" / "local" / "catalog", location / "local" / "catalog")
    for _ in range(2):
        with pytest.raises(cas.IntegrityError, match="another repository"):
            cas.open(location)
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as repository:
        assert read(repository.volume("v"), "file") == b"content"


def _use_in_child(repository: cas.Repository, answers: multiprocessing.SimpleQueue[str]) -> None:
    for use in (lambda: repository.volume("v"), lambda: cas.open(repository.location)):
        try:
            use()
        except cas.StoreError as error:
            answers.put(str(error))
        else:
            answers.put("nothing was raised")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_does_the_parent_no_harm(location: Path) -> None:
    fork = multiprocessing.get_context("fork")
    with cas.open(location) as repository:
        answers: multiprocessing.SimpleQueue[str] = fork.SimpleQueue()
        with repository.volume("v").view() as view:
            child = fork.Process(target=_use_in_child, args=(repository, answers))
            child.start()
            assert "was forked" in answers.get()
            assert "was forked" in answers.get()
            child.join()
            assert [name for name, _ in view.list()] == ["file"]
        put(repository.volume("v"), "after", b"the child")
    with cas.open(location) as repository:
        assert read(repository.volume("v"), "after") == b"the child"


def test_volumes_are_made_listed_limited_and_deleted(location: Path) -> None:
    with cas.open(location) as repository:
        made = repository.create_volume("another", owner="alice", quota=1000, author="admin")
        assert [info.name for info in repository.volumes()] == ["another", "v"]
        assert (made.info.owner, made.info.quota) == ("alice", 1000)
        with pytest.raises(cas.AlreadyExistsError):
            repository.create_volume("another")
        repository.set_quota("another", None)
        assert repository.volume("another").info.quota is None
        repository.delete_volume("another")
        with pytest.raises(cas.NotFoundError):
            repository.volume("another")
        with pytest.raises(cas.NotFoundError):
            repository.delete_volume("another")
        assert repository.create_volume("another").id != made.id


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "a:b", "a@b", " a", "a\n", "x" * 256, "é" * 128]
)
def test_a_name_that_cannot_be_a_volumes_is_refused(location: Path, name: str) -> None:
    with cas.open(location) as repository, pytest.raises(cas.InvalidError):
        repository.create_volume(name)


@pytest.mark.parametrize("quota", [-1, 2**63, 2**70])
def test_a_quota_that_cannot_be_is_refused(location: Path, quota: int) -> None:
    with cas.open(location) as repository:
        with pytest.raises(cas.InvalidError, match="quota"):
            repository.create_volume("new", quota=quota)
        with pytest.raises(cas.InvalidError, match="quota"):
            repository.set_quota("v", quota)
        with pytest.raises(cas.InvalidError, match="owner"):
            repository.create_volume("new", owner="\ud800")
        assert [volume.name for volume in repository.volumes()] == ["v"]


def test_a_quota_is_not_set_on_a_volume_that_took_the_name_meanwhile(location: Path) -> None:
    errors: list[cas.CasError] = []
    with cas.open(location) as one, cas.open(location) as other:
        committer = one._committer  # noqa: SLF001

        def set_quota() -> None:
            try:
                one.set_quota("v", 1)
            except cas.CasError as error:
                errors.append(error)

        thread = threading.Thread(target=set_quota)
        with committer.queue.turn:  # the quota waits for being committed
            thread.start()
            while not committer.queue:
                thread.join(0.001)
            other.delete_volume("v")
            put(other.create_volume("v"), "new", b"a volume of its own")
        thread.join()
        assert [type(error) for error in errors] == [cas.NotFoundError]
        assert one.volume("v").info.quota is None
        assert read(one.volume("v"), "new") == b"a volume of its own"


def test_secrets_differ_by_purpose_and_stay(location: Path) -> None:
    with cas.open(location) as repository:
        secret, identity = repository.secret("tokens"), repository.identity
        assert repository.secret("passwords") != secret
        assert len(secret) == 32
    with cas.open(location) as repository:
        assert (repository.secret("tokens"), repository.identity) == (secret, identity)


def test_what_people_must_not_read_is_the_owners_alone(location: Path) -> None:
    for path in location.rglob("*"):
        if path.is_file() and path.name != "store.lock":
            assert path.stat().st_mode & 0o077 == 0, path


def test_upkeep_goes_on_though_a_checkpoint_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.upkeep._TURN_SECONDS", 0.01)
    monkeypatch.setattr("cas.upkeep.CHECKPOINT_SECONDS", 0.0)
    (tmp_path / "store" / "local" / "checkpoint.lock").mkdir(parents=True)  # it cannot be made
    repository = cas.create(tmp_path / "store")
    repository.create_volume("v")
    repository.scratch.put(b"key", b"value", 1)
    wait_until(lambda: not scratch_rows(repository), "the upkeep to forget what has expired")
    with pytest.raises(cas.StoreError):
        repository.close()


def scratch_rows(repository: cas.Repository) -> list[tuple[bytes, bytes]]:
    with repository._catalog.read() as transaction:  # noqa: SLF001
        return list(transaction.scratch_rows())


def test_a_repository_that_cannot_be_closed_cleanly_is_recovered_by_the_next(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = cas.open(location)
    put(repository.volume("v"), "late", b"but not lost")

    def fail(*_args: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", fail)
        patched.setattr(Path, "rename", fail)
        with pytest.raises(cas.StoreFullError):
            repository.close()
    with cas.open(location) as again:
        assert read(again.volume("v"), "late") == b"but not lost"
    assert list((location / "local" / "open").iterdir()) == []
    assert list((location / "local" / "processes").iterdir()) == []


@pytest.mark.parametrize("time_ns", [2**63, -(2**63) - 1])
def test_a_time_that_the_format_cannot_hold_is_refused_before_the_commit(
    location: Path, time_ns: int
) -> None:
    with cas.open(location) as repository:
        edit = repository.volume("v").edit()
        with pytest.raises(cas.InvalidError):
            edit.make_directory("folder", mtime_ns=time_ns)
        with pytest.raises(cas.InvalidError):
            edit.set_properties("file", created_ns=time_ns)
        edit.make_directory("folder", mtime_ns=2**63 - 1)
        edit.set_properties("file", mtime_ns=-(2**63))
        edit.commit()
        with repository.volume("v").view() as view:
            assert view.entry("folder").mtime_ns == 2**63 - 1
            assert view.entry("file").mtime_ns == -(2**63)
