"""Checkpoints: what is young becomes durable in packs, commits and refs; views stay readable."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import cas
from cas.disk import file_lock
from cas.ids import Kind
from cas.journal import Change, ChangeNode, Commit, JournalRecord
from cas.objects import TreeNode, decode, encode
from cas.packfile import PackKind
from cas.refs import read_ref
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repository(tmp_path: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store", clock=clock) as made:
        made.create_volume("v")
        made.checkpoint()
        yield made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.volume("v")


def put_empty(volume: cas.Volume, *names: str, mtime_ns: int = 1) -> None:
    with volume.edit() as edit:
        for name in names:
            edit.put(name, cas.EMPTY_CONTENT, mtime_ns=mtime_ns)


def newest_commit(repository: cas.Repository, volume_id: bytes) -> Commit:
    chunks = repository._chunks  # noqa: SLF001
    ref = read_ref(repository._store, chunks.identifier, volume_id)  # noqa: SLF001
    assert ref is not None
    commit = decode(chunks.get(Kind.COMMIT, ref.commit), Commit)
    assert commit.last_sequence == ref.sequence
    return commit


def changes_of(repository: cas.Repository, commit: Commit) -> list[Change]:
    chunks = repository._chunks  # noqa: SLF001

    def read(node_id: bytes) -> list[Change]:
        node = decode(chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
        return node.changes + [c for child in node.children for c in read(child)]

    changes = read(commit.changes)
    assert len(changes) == commit.last_sequence - commit.first_sequence + 1
    return changes


def counts(repository: cas.Repository) -> dict[str, int]:
    with repository._catalog.read() as transaction:  # noqa: SLF001
        return transaction.counts()


def test_a_commit_says_what_changed_since_the_one_before(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    parent = newest_commit(repository, volume.id)
    put_empty(volume, "a", "b")
    put_empty(volume, "c")
    assert repository.checkpoint()
    commit = newest_commit(repository, volume.id)
    with volume.view() as view:
        assert commit.root == view.root
        assert commit.last_sequence == view.sequence
    assert commit.first_sequence == parent.last_sequence + 1
    assert [change.path for change in changes_of(repository, commit)] == [b"a", b"b", b"c"]
    first = newest_commit(repository, volume.id)
    clock.advance(-100)
    put_empty(volume, "d")
    repository.checkpoint()
    later = newest_commit(repository, volume.id)
    assert later.time_ns == first.time_ns  # never before the parent's
    assert later.parent == repository._chunks.identifier.identify(  # noqa: SLF001
        Kind.COMMIT, encode(first)
    )


def test_more_changes_than_a_node_holds_are_a_tree(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    names = [f"{number:04}" for number in range(2500)]
    put_empty(volume, *names)
    repository.checkpoint()
    changes = changes_of(repository, newest_commit(repository, volume.id))
    assert [change.path.decode() for change in changes] == names


def test_without_changes_there_is_nothing_to_do(repository: cas.Repository) -> None:
    assert not repository.checkpoint()
    before = sum(1 for _ in repository._store.list("packs"))  # noqa: SLF001
    assert not repository.checkpoint()
    assert sum(1 for _ in repository._store.list("packs")) == before  # noqa: SLF001


def test_only_one_checkpoint_is_made_at_a_time(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with cas.open(repository.location) as other:
        put_empty(volume, "a")
        with file_lock(repository.engine.local / "checkpoint.lock", wait=False) as is_mine:
            assert is_mine
            assert not other.checkpoint()
        assert other.checkpoint()


def test_superseded_roots_cost_nothing(repository: cas.Repository, volume: cas.Volume) -> None:
    put_empty(volume, *(f"{number:03}" for number in range(300)))
    repository.checkpoint()

    def tree_pack_size() -> int:
        writer = repository._chunks.open_packs._writers[PackKind.TREE]  # noqa: SLF001
        return writer._current.size if writer._current else 0  # noqa: SLF001

    sizes = []
    for rounds in (1, 50):
        before = tree_pack_size()
        for number in range(rounds):
            put_empty(volume, "000", mtime_ns=rounds * 1000 + number)
        repository.checkpoint()
        sizes.append(tree_pack_size() - before)
    assert sizes[1] < 2 * sizes[0] + 49 * 200  # the changes themselves are kept, no roots


def test_the_nursery_and_the_journal_are_emptied(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put_empty(volume, *(f"{number:03}" for number in range(300)))
    assert counts(repository)["journal"] > 0
    repository.checkpoint()
    repository.checkpoint()
    found = counts(repository)
    assert (found["journal"], found["nursery_even"], found["nursery_odd"]) == (0, 0, 0)


def test_an_open_view_keeps_its_generation_and_lets_go_of_it(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put_empty(volume, *(f"{number:03}" for number in range(300)))
    with cas.open(repository.location) as reader_of_another_process:
        view = reader_of_another_process.volume("v").view()
        own = volume.view()
        for number in range(5):
            put_empty(volume, f"{number:03}", mtime_ns=number + 7)
            repository.checkpoint()
            reader_of_another_process.checkpoint()
        reader_of_another_process._nodes._trees._nodes.clear()  # noqa: SLF001
        repository._nodes._trees._nodes.clear()  # noqa: SLF001
        for each in (view, own):
            assert [entry.mtime_ns for _, entry in each.list()] == [1] * 300
            each.close()
        for _ in range(2):
            for handle in (repository, reader_of_another_process):
                put_empty(volume, "more")
                handle.checkpoint()
                repository.checkpoint()
        found = counts(repository)
        assert min(found["nursery_even"], found["nursery_odd"]) == 0


def test_a_view_that_nobody_closed_holds_nothing_back_for_ever(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    for number in range(4):
        put_empty(volume, f"{number}")
        volume.view().list()
        repository.checkpoint()
    put_empty(volume, "more")
    repository.checkpoint()
    found = counts(repository)
    assert min(found["nursery_even"], found["nursery_odd"]) == 0
    assert not repository._process._pins  # noqa: SLF001


def test_a_closed_view_is_expired_and_never_damaged(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put_empty(volume, *(f"{number:03}" for number in range(300)))
    view = volume.view()
    view.close()
    for number in range(4):
        put_empty(volume, "000", mtime_ns=number + 2)
        repository.checkpoint()
    repository._nodes._trees._nodes.clear()  # noqa: SLF001
    with pytest.raises(cas.ExpiredError):
        list(view.list())


def test_changes_during_checkpoints_are_all_kept(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def checkpoint() -> None:
        try:
            while not stop.is_set():
                repository.checkpoint()
        except BaseException as error:  # noqa: BLE001 - shown by the assert below
            failures.append(error)

    thread = threading.Thread(target=checkpoint)
    thread.start()
    for number in range(200):
        put_empty(volume, f"{number % 40:02}", mtime_ns=number)
    stop.set()
    thread.join()
    assert failures == []
    repository.checkpoint()
    with volume.view() as view:
        assert [entry.mtime_ns for _, entry in view.list()] == list(range(160, 200))
    commit = newest_commit(repository, volume.id)
    seen = changes_of(repository, commit)
    while commit.parent:
        parent = decode(
            repository._chunks.get(Kind.COMMIT, commit.parent),  # noqa: SLF001
            Commit,
        )
        assert parent.last_sequence == commit.first_sequence - 1
        seen = changes_of(repository, parent) + seen
        commit = parent
    assert [c.new.mtime_ns for c in seen if c.new and c.path][-200:] == list(range(200))


@pytest.mark.parametrize("what", ["node", "journal"])
def test_damage_in_the_catalog_reaches_no_ref_and_is_made_good_by_a_rebuild(
    tmp_path: Path, what: str
) -> None:
    location = tmp_path / "damaged"
    repository = cas.create(location)
    volume = repository.create_volume("v")
    repository.checkpoint()
    put_empty(volume, "acknowledged")
    put_empty(volume, "acknowledged too")
    before = newest_commit(repository, volume.id)
    with volume.view() as view:
        expected, root = [view.root, *view.walk()], view.root
    with repository._catalog.write() as transaction:  # noqa: SLF001
        if what == "node":
            other = TreeNode(0, [b"wrong"], [root], [])
            transaction.put_young_node(root.content, encode(other))
        else:
            first, second = (decode(row, JournalRecord) for row in transaction.journal())
            wrong = msgspec.structs.replace(first, time_ns=first.time_ns + 1)
            transaction.delete_journal(second.number)
            last_id = transaction.journal_end()[1]
            transaction.put_journal(first.number, b"", encode(wrong))
            transaction.put_journal(second.number, last_id, encode(second))
    with pytest.raises(cas.IntegrityError, match="rebuilt"):
        repository.checkpoint()
    assert newest_commit(repository, volume.id) == before
    with pytest.raises(cas.IntegrityError, match="rebuilt"):
        repository.close()
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as rebuilt, rebuilt.volume("v").view() as view:
        assert [view.root, *view.walk()] == expected
