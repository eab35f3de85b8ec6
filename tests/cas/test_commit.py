"""Group commit: edits that come together are each applied whole or not at all, once."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas.formats import RECORD_SIZE_LIMIT
from cas.group import Request
from cas.journal import JournalRecord
from cas.objects import decode, encode
from cas.operations import MakeDirectory, Put, PutRecord


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        made.create_volume("v")
        yield made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.volume("v")


def upload_of(volume: cas.Volume, data: bytes) -> cas.FileWriter:
    upload = volume.upload()
    upload.write(data)
    return upload


def names_in(volume: cas.Volume, path: str = "") -> list[str]:
    with volume.view() as view:
        return [name for name, _ in view.list(path)]


def journal_of(repository: cas.Repository) -> list[JournalRecord]:
    with repository._catalog.read() as transaction:  # noqa: SLF001
        return [decode(encoded, JournalRecord) for encoded in transaction.journal()]


def run_together(repository: cas.Repository, requests: list[Request]) -> None:
    """Commit the requests as one group: those that queued while the lock was held."""
    committer = repository._committer  # noqa: SLF001
    failures: list[BaseException] = []

    def commit(request: Request) -> None:
        try:
            committer.commit(request)
        except BaseException as error:  # noqa: BLE001 - it is the request's own
            failures.append(error)

    threads = [threading.Thread(target=commit, args=(request,)) for request in requests]
    with committer.queue.turn:
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(committer.queue) < number:
                thread.join(0.001)
    for thread in threads:
        thread.join()
    assert {id(error) for error in failures} == {
        id(request.error) for request in requests if request.error
    }


def make_directory(volume: cas.Volume, *names: str, **extra: object) -> Request:
    operations = [MakeDirectory(tuple(name.encode() for name in names))]
    return Request(volume.id, operations, **extra)  # type: ignore[arg-type]


def test_edits_of_one_group_are_one_journal_record_in_their_order(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    before = len(journal_of(repository))
    requests = [make_directory(volume, f"{number}") for number in range(5)]
    run_together(repository, requests)
    (record,) = journal_of(repository)[before:]
    (batch,) = record.batches
    assert [change.path for change in batch.changes] == [b"0", b"1", b"2", b"3", b"4"]
    assert [request.sequence for request in requests] == list(
        range(batch.sequence, batch.sequence + 5)
    )
    assert names_in(volume) == ["0", "1", "2", "3", "4"]


def test_of_edits_that_want_a_path_absent_exactly_one_wins(volume: cas.Volume) -> None:
    outcomes: list[str] = []

    def race(number: int) -> None:
        try:
            with volume.edit() as edit:
                edit.put("path", upload_of(volume, b"%d" % number), expect=cas.ABSENT)
        except cas.PreconditionError:
            outcomes.append("lost")
        else:
            outcomes.append(f"won {number}")

    threads = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[:11] == ["lost"] * 11
    with volume.view() as view, view.open("path") as reader:
        assert f"won {reader.read().decode()}" in outcomes


def test_a_failing_edit_leaves_nothing_and_disturbs_no_neighbour(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    other = repository.create_volume("other")
    bad = Request(
        volume.id,
        [
            MakeDirectory((b"half",)),
            Put((b"half", b"file"), cas.EMPTY_CONTENT),
            MakeDirectory((b"missing", b"folder")),
        ],
    )
    requests = [
        make_directory(volume, "before"),
        bad,
        make_directory(volume, "after"),
        make_directory(other, "there"),
    ]
    run_together(repository, requests)
    assert isinstance(bad.error, cas.ConflictError)
    assert bad.outcome == []
    assert [request.error for request in requests if request is not bad] == [None] * 3
    assert names_in(volume) == ["after", "before"]
    assert names_in(other) == ["there"]


def test_an_edit_that_no_journal_record_holds_takes_no_neighbour_along(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    records = [PutRecord((b"%d" % n,), bytes(RECORD_SIZE_LIMIT)) for n in range(1100)]
    requests = [
        make_directory(volume, "before"),
        Request(volume.id, records),
        make_directory(volume, "before"),
        make_directory(volume, "after"),
    ]
    run_together(repository, requests)
    errors = [type(request.error) for request in requests]
    assert errors[0] is errors[3] is type(None)
    assert issubclass(errors[1], cas.InvalidError)
    assert errors[2] is cas.AlreadyExistsError
    assert names_in(volume) == ["after", "before"]
    assert [len(request.outcome) for request in requests] == [1, 0, 0, 1]


def test_an_edit_of_a_deleted_volume_is_refused(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    repository.delete_volume("v")
    with pytest.raises(cas.NotFoundError, match="deleted"), volume.edit() as edit:
        edit.make_directory("lost")
    repository.create_volume("v")
    with pytest.raises(cas.NotFoundError, match="deleted"), volume.edit() as edit:
        edit.make_directory("lost")


def test_a_check_that_raises_refuses_its_own_edit_only(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    class OwnError(Exception):
        pass

    def refuse(state: cas.TreeState) -> None:
        assert state.get("before") is not None  # the neighbour that came first
        raise OwnError

    bad = make_directory(volume, "bad", checks=[refuse])
    good = [make_directory(volume, "before"), bad, make_directory(volume, "after")]
    run_together(repository, good)
    assert isinstance(bad.error, OwnError)
    assert names_in(volume) == ["after", "before"]


def test_a_check_sees_the_state_that_the_edit_applies_to(volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.make_directory("a/b", parents=True)
        edit.put("a/file", upload_of(volume, b"data"), properties={"{x}y": "v"})
    seen: list[object] = []

    def look(state: cas.TreeState) -> None:
        seen.append([name for name, _ in state.list("a")])
        seen.append(state.entry("a/file").size)
        seen.append(state.get("a/new"))
        with pytest.raises(cas.NotFoundError):
            state.entry("a/new")

    with volume.edit() as edit:
        edit.require(look)
        edit.make_directory("a/new")
    assert seen == [["b", "file"], 4, None]


def test_a_group_that_the_disk_refuses_leaves_nothing_and_the_next_one_works(
    repository: cas.Repository, volume: cas.Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    requests = [make_directory(volume, f"{number}") for number in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        run_together(repository, requests)
    assert all(isinstance(request.error, cas.StoreError) for request in requests)
    assert names_in(volume) == []
    with volume.edit() as edit:
        edit.make_directory("later")
    location = repository.location
    repository.close()
    for lose_catalog in (False, True):
        if lose_catalog:
            for path in Path(location, "local", "catalog").iterdir():
                path.unlink()
        with cas.open(location) as again:
            assert names_in(again.volume("v")) == ["later"]


@pytest.mark.parametrize("step", range(12))
def test_whatever_sync_fails_nothing_half_done_is_visible_nor_lost(
    repository: cas.Repository,
    volume: cas.Volume,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Each of the first syncs of some commits and a checkpoint fails once."""
    calls = 0
    real = os.fdatasync

    def fail_once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == step + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    expected: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail_once)
        for number in range(6):
            try:
                with volume.edit() as edit:
                    edit.put(f"{number}", upload_of(volume, os.urandom(1000)))
            except cas.StoreError:
                assert names_in(volume) == expected
            else:
                expected.append(f"{number}")
            if number % 2:
                try:
                    repository.checkpoint()
                except cas.StoreError:
                    assert names_in(volume) == expected
    assert len(expected) >= 5
    location = Path(repository.location)
    repository.close()
    for path in (location / "local" / "catalog").iterdir():
        path.unlink()
    with cas.open(location) as again:
        assert names_in(again.volume("v")) == expected
        with again.volume("v").view() as view:
            assert all(len(view.open(name).read()) == 1000 for name in expected)


def test_a_quota_is_held_inside_the_commit(repository: cas.Repository) -> None:
    volume = repository.create_volume("small", quota=1000)
    with volume.edit() as edit:
        edit.put("a", upload_of(volume, bytes(900)))
    with pytest.raises(cas.QuotaError), volume.edit() as edit:
        edit.put("b", upload_of(volume, bytes(101)))
    with volume.edit() as edit:
        edit.put("b", upload_of(volume, bytes(100)))
    repository.set_quota("small", 500)
    with pytest.raises(cas.QuotaError), volume.edit() as edit:
        edit.copy("b", "c")
    with volume.edit() as edit:  # what makes it smaller, or not larger, is welcome
        edit.put("a", upload_of(volume, bytes(800)))
        edit.make_directory("folder")
        edit.move("b", "folder/b")
    assert names_in(volume) == ["a", "folder"]


def test_quotas_of_concurrent_edits_add_up(repository: cas.Repository) -> None:
    volume = repository.create_volume("small", quota=1000)
    uploads = []
    for number in range(8):
        upload = upload_of(volume, bytes([number]) * 300)
        uploads.append(Put((b"%d" % number,), upload.finish()))
    requests = [Request(volume.id, [put]) for put in uploads]
    run_together(repository, requests)
    assert sum(request.error is None for request in requests) == 3
    with volume.view() as view:
        assert view.root.size == 900


def test_an_edit_ends_once(volume: cas.Volume) -> None:
    edit = volume.edit()
    edit.make_directory("a")
    edit.commit()
    with pytest.raises(cas.InvalidError):
        edit.commit()
    with contextlib.suppress(ZeroDivisionError), volume.edit() as given_up:
        given_up.make_directory("b")
        raise ZeroDivisionError
    assert names_in(volume) == ["a"]


def test_an_edit_without_operations_changes_nothing(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    before = journal_of(repository)
    with volume.edit():
        pass
    with volume.edit() as edit:
        edit.require(lambda _: None)
    assert journal_of(repository) == before


def test_many_threads_and_handles_commit_at_once_and_nothing_is_lost(
    repository: cas.Repository,
) -> None:
    failures: list[BaseException] = []

    def work(handle: cas.Repository, number: int) -> None:
        try:
            volume = handle.volume("v")
            for turn in range(25):
                with volume.edit() as edit:
                    edit.put(f"{number}-{turn}", upload_of(volume, b"%d" % (number * turn)))
                if turn % 10 == number:
                    handle.checkpoint()
        except BaseException as error:  # noqa: BLE001 - shown by the assert below
            failures.append(error)

    with cas.open(repository.location) as other:
        threads = [
            threading.Thread(target=work, args=(handle, number))
            for number, handle in enumerate([repository, other] * 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    volume = repository.volume("v")
    assert len(names_in(volume)) == 150
    with volume.view() as view:
        for path, _ in view.walk():
            number, turn = map(int, path.split("-"))
            assert view.open(path).read() == b"%d" % (number * turn)


def test_journal_records_chain(repository: cas.Repository, volume: cas.Volume) -> None:
    def refuse(_state: cas.TreeState) -> None:
        raise ZeroDivisionError

    for number in range(4):
        with volume.edit() as edit:
            edit.make_directory(f"{number}")
        with pytest.raises(ZeroDivisionError), volume.edit() as edit:
            edit.require(refuse)
    records = journal_of(repository)
    ids = [repository._chunks.journal_id(encode(each)) for each in records]  # noqa: SLF001
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert [record.previous for record in records] == [b"", *ids[:-1]]


def test_edits_that_are_too_large_together_are_committed_apart(
    repository: cas.Repository, volume: cas.Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.commit.PLAIN_SIZE_LIMIT", 1000)
    requests = [make_directory(volume, f"{number}" * 200) for number in range(8)]
    run_together(repository, requests)
    assert [request.error for request in requests] == [None] * 8
    large = make_directory(volume, "x")
    large.operations = [MakeDirectory((b"%d" % number * 250,)) for number in range(10)]
    run_together(repository, [large])
    assert isinstance(large.error, cas.InvalidError)


def test_content_that_is_not_stored_is_refused(volume: cas.Volume) -> None:
    unknown = cas.Content(cas.EntryKind.CHUNK_FILE, 5, bytes(32))
    edit = volume.edit()
    edit.make_directory("folder")
    edit.put("folder/file", unknown)
    with pytest.raises(cas.StoreError, match="send the data again"):
        edit.commit()
    with volume.view() as view:
        assert list(view.walk()) == []
