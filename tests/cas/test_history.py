"""The index of changes: complete behind any crash and loss, read without reading all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import cas
from cas.catalog import Catalog, HistoryMark
from cas.chunkstore import ChunkStore
from cas.clock import SystemClock
from cas.history import History
from cas.history_index import HistoryIndex
from cas.ids import Kind
from cas.journal import CHANGES_PER_NODE
from cas.nodes import NodeStore
from cas.repository import Repository
from cas.stores.local import LocalStore
from tests.support.encrypted import keys_of
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.history import check_index


def touch(volume: cas.Volume, *paths: str) -> None:
    with volume.edit() as edit:
        for path in paths:
            edit.put(path, cas.EMPTY_CONTENT)


class Index:
    """The index of a repository, over parts that a test can reach."""

    def __init__(self, directory: Path) -> None:
        with cas.open(directory) as repository:
            secret = repository.config.secret
        identifier = keys_of(directory).identifier
        self.catalog = Catalog(directory / "local" / "catalog", identifier.sealing)
        self.chunks = ChunkStore(
            self.catalog,
            LocalStore(directory),
            identifier,
            directory / "local" / "open",
            bytes(16),
        )
        nodes = NodeStore(self.catalog, self.chunks)
        self.history = HistoryIndex(self.catalog, self.chunks, nodes, secret)

    def opened(self, volume: cas.Volume) -> History:
        return self.history.open(volume.id)

    def forget(self) -> None:
        """Make the catalog what it was before there was an index."""
        with self.catalog.write() as transaction:
            transaction.history().clear()

    def mark(self, volume: cas.Volume) -> HistoryMark:
        with self.catalog.read() as transaction:
            return transaction.history().mark(volume.id)

    def close(self) -> None:
        self.chunks.close()
        self.catalog.close()


@pytest.fixture
def index(repository: cas.Repository, tmp_path: Path) -> Iterator[Index]:
    del repository  # which makes it
    made = Index(tmp_path / "store")
    yield made
    made.close()


def assert_complete(index: Index, volume: cas.Volume) -> None:
    check_index(index.opened(volume))


def make_history(repository: cas.Repository, volume: cas.Volume, commits: int = 4) -> None:
    for number in range(commits):
        touch(volume, "a", f"n{number}")
        with volume.edit() as edit:
            edit.move(f"n{number}", f"m{number}")
            edit.copy("a", f"c{number}")
        volume.create_snapshot(f"s{number}")
        repository.checkpoint()


def test_changes_are_found_by_number_and_path_in_commits_and_in_the_journal(
    repository: cas.Repository, volume: cas.Volume, index: Index
) -> None:
    make_history(repository, volume)
    touch(volume, "a", "young")
    assert_complete(index, volume)
    history = index.opened(volume)
    assert list(history.numbers_at(b"nothing", 1000)) == []
    assert history.change(history.head.sequence + 1) is None
    assert list(history.numbers_at(b"a", 3)) == [2]


def test_a_catalog_without_the_tables_gets_them(
    repository: cas.Repository, volume: cas.Volume, index: Index
) -> None:
    make_history(repository, volume)
    index.forget()
    assert_complete(index, volume)
    other = repository.create_volume("w")
    make_history(repository, other, 1)
    assert_complete(index, other)


def test_a_lost_catalog_comes_back_with_its_history(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        make_history(repository, repository.create_volume("v"))
    shutil.rmtree(tmp_path / "store" / "local" / "catalog")
    with cas.open(tmp_path / "store") as repository, closing(Index(tmp_path / "store")) as index:
        assert index.mark(repository.volume("v")) == HistoryMark()
        assert_complete(index, repository.volume("v"))


def test_indexing_goes_on_where_it_was_interrupted(
    repository: cas.Repository, volume: cas.Volume, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(repository, volume)
    index.forget()
    monkeypatch.setattr("cas.history_index._INDEXED_AT_ONCE", 1)
    marks = []
    while not index.history.catch_up(volume.id, 1):
        marks.append(index.mark(volume))
        if len(marks) == 3:  # newer commits, while the older ones are not all indexed
            for _ in range(2):
                touch(volume, "a", "later")
                repository.checkpoint()
    assert len({mark.waiting for mark in marks}) > 3
    assert_complete(index, volume)


def test_a_list_of_changes_of_many_nodes_is_indexed_in_parts(
    repository: cas.Repository, volume: cas.Volume, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(volume, *(f"f{number}" for number in range(CHANGES_PER_NODE + 10)))
    long = "x" * 250
    with volume.edit() as edit:
        for number in range(700):  # nodes that end by their bytes, not by their number
            edit.put(f"g{number}", cas.EMPTY_CONTENT, properties={f"{{{long}}}p": long * 3})
    repository.checkpoint()
    monkeypatch.setattr("cas.history_index._INDEXED_AT_ONCE", 500)
    assert_complete(index, volume)


def test_several_fill_it_at_once(
    repository: cas.Repository, volume: cas.Volume, index: Index
) -> None:
    make_history(repository, volume, 20)
    index.forget()
    threads = [threading.Thread(target=index.history.catch_up, args=[volume.id]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_complete(index, volume)


def test_what_is_damaged_keeps_back_its_own_volume_alone(
    repository: cas.Repository, volume: cas.Volume, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository.create_volume("w")
    make_history(repository, other, 1)
    make_history(repository, volume, 1)
    index.forget()
    commit = volume.snapshot("s0").commit
    read = index.chunks.get

    def damaged(kind: Kind, object_id: bytes) -> bytes:
        if object_id == commit:
            raise cas.IntegrityError("flipped")
        return read(kind, object_id)

    monkeypatch.setattr(index.chunks, "get", damaged)
    with pytest.raises(cas.IntegrityError, match="flipped"):
        index.history.catch_up_all(1000)
    assert index.mark(other).complete == index.opened(other).head.sequence
    with pytest.raises(cas.IntegrityError, match="flipped"):
        index.opened(volume)
    monkeypatch.undo()
    assert_complete(index, volume)


def test_it_is_filled_when_a_repository_closes(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        touch(repository.create_volume("v"), "a")
    with cas.open(tmp_path / "store") as repository, closing(Index(tmp_path / "store")) as index:
        volume = repository.volume("v")
        with volume.view() as view:
            assert index.mark(volume) == HistoryMark(view.sequence)


def test_it_ends_where_a_commit_is_missing(
    repository: cas.Repository, volume: cas.Volume, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(repository, volume)
    index.forget()
    gone = volume.snapshot("s1").commit
    contains = index.chunks.contains
    monkeypatch.setattr(index.chunks, "contains", lambda each: each != gone and contains(each))
    with volume.at(gone) as view:
        last_gone = view.sequence
    history = index.opened(volume)
    kept = list(range(history.head.sequence, last_gone, -1))
    backward = history.backward(history.head.sequence + 1)
    assert [next(backward).sequence for _ in kept] == kept
    with pytest.raises(cas.IntegrityError, match=f"#1 to #{last_gone} are missing"):
        next(backward)
    assert [each.sequence for each in history.forward(1)] == kept[::-1]
    assert history.change(last_gone) is None
    assert list(history.numbers_at(b"n0", 1000)) == []
    with volume.edit() as edit:  # and goes on behind
        edit.remove("a")
    repository.checkpoint()
    assert next(index.opened(volume).numbers_at(b"a", 1000)) == edit.sequence


@pytest.mark.parametrize("is_lost", [False, True], ids=["catalog kept", "catalog lost"])
def test_a_checkpoint_that_is_cut_off_at_a_ref_leaves_neither_gap_nor_repetition(
    tmp_path: Path, *, is_lost: bool
) -> None:
    with cas.create(tmp_path / "store") as repository:
        make_history(repository, repository.create_volume("v"), 2)
    clean = FaultyStore(LocalStore(tmp_path / "store"))
    with Repository(clean, SystemClock()) as repository:
        work(repository)
    replaced = [n for n, (what, _) in enumerate(clean.operations) if what == "replace"]
    assert len(replaced) >= 2  # the volume's ref and the registry's
    for number in replaced:
        broken = FaultyStore(LocalStore(tmp_path / "store"), {number: Fault.LOST_ANSWER})
        repository = Repository(broken, SystemClock())
        with pytest.raises(cas.StoreError):
            work(repository)
        crashed = tmp_path / f"crashed {number}"
        shutil.copytree(tmp_path / "store", crashed)
        repository.close()
        if is_lost:
            shutil.rmtree(crashed / "local" / "catalog")
        with cas.open(crashed) as found, closing(Index(crashed)) as index:
            assert_complete(index, found.volume("v"))
            work(found)
            assert_complete(index, found.volume("v"))


def work(repository: Repository) -> None:
    touch(repository.volume("v"), "a", "b")
    repository.checkpoint()
