"""Objects by id: what is stored is found, from the moment it is stored, and after every failure."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cas.catalog import Catalog, PackState
from cas.chunkstore import ChunkStore
from cas.compression import Codec
from cas.errors import IntegrityError, StoreError
from cas.formats import PACK_RECORD_LIMIT, MiB
from cas.ids import Identifier, Kind
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind
from cas.reliance import Reliance
from cas.stores.local import LocalStore
from tests.support.corpus import seeded_bytes
from tests.support.faulty_store import Fault, FaultyStore

PROCESS = bytes(16)


@dataclass
class Machine:
    """The parts under a chunk store, and the store."""

    catalog: Catalog
    store: FaultyStore
    open_directory: Path
    chunks: ChunkStore

    def again(self) -> ChunkStore:
        """Return what another process sees."""
        return ChunkStore(
            self.catalog, self.store, Identifier(), self.open_directory, bytes([1]) * 16
        )

    def commit(self, *relies: Reliance) -> None:
        with self.catalog.write() as transaction:
            flushed = self.chunks.open_packs.flush(transaction, relies)
        self.chunks.open_packs.confirm(flushed)

    def pack_states(self) -> dict[str, PackState]:
        with self.catalog.read() as transaction:
            return {pack_blob_name(pack.id): pack.state for _, pack in transaction.packs()}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    store = FaultyStore(LocalStore.create(tmp_path / "store"))
    open_directory = tmp_path / "open"
    open_directory.mkdir()
    catalog = Catalog(tmp_path / "catalog")
    chunks = ChunkStore(catalog, store, Identifier(), open_directory, PROCESS)
    chunks.open_packs.refill_ordinals()
    yield Machine(catalog, store, open_directory, chunks)
    catalog.close()


def incompressible(seed: int, size: int = MiB) -> bytes:
    return seeded_bytes(seed, size)


def test_a_chunk_is_readable_before_and_after_its_commit_and_its_sealing(machine: Machine) -> None:
    relies = Reliance()
    pieces = [b"one", b"two" * 1000, incompressible(1, 50_000)]
    ids = machine.chunks.put_chunks(pieces, relies)
    assert [bytes(each) for each in machine.chunks.get_chunks(ids)] == pieces
    machine.commit(relies)
    assert [bytes(each) for each in machine.again().get_chunks(ids)] == pieces
    machine.chunks.open_packs.seal_current()
    for chunks in (machine.chunks, machine.again()):
        assert [bytes(each) for each in chunks.get_chunks(ids)] == pieces


def test_what_is_stored_is_not_stored_again(machine: Machine) -> None:
    relies = Reliance()
    ids = machine.chunks.put_chunks([b"same", b"other", b"same"], relies)
    assert ids[0] == ids[2]
    size = sum(pack.size for pack in relies.packs)
    machine.chunks.put_chunks([b"same"], relies)
    machine.commit(relies)
    again = Reliance()
    assert machine.chunks.put_chunks([b"same"], again) == ids[:1]
    assert again.packs == set()
    assert sum(pack.size for pack in relies.packs) == size


def test_a_kind_is_never_taken_for_another(machine: Machine) -> None:
    (chunk_id,) = machine.chunks.put_chunks([b"bytes"], Reliance())
    with pytest.raises(IntegrityError, match="another id"):
        machine.chunks.get(Kind.TREE_NODE, chunk_id)


def test_neighbours_and_strangers_and_repeats_are_read_in_the_order_asked_for(
    machine: Machine,
) -> None:
    relies = Reliance()
    pieces = [incompressible(n, 30_000 * (n % 4 + 1)) for n in range(60)]
    ids = machine.chunks.put_chunks(pieces, relies)
    machine.commit(relies)
    order = [0, 1, 2, 5, 4, 4, 59, 58, 3, *range(60), 0]
    found = machine.chunks.get_chunks([ids[n] for n in order])
    assert [bytes(each) for each in found] == [pieces[n] for n in order]


def test_a_pack_that_was_sealed_during_the_upload_stays_sealed_after_the_commit(
    machine: Machine,
) -> None:
    relies = Reliance()
    pieces = [incompressible(n) for n in range(70)]
    ids = [machine.chunks.put_chunks([piece], relies)[0] for piece in pieces]
    assert len(relies.packs) == 3
    machine.commit(relies)
    stored = {name for name, _ in machine.store.list("packs")}
    assert len(stored) == 2
    states = machine.pack_states()
    assert {name for name, state in states.items() if state is PackState.SEALED} == stored
    assert [bytes(each) for each in machine.again().get_chunks(ids)] == pieces


def test_the_catalog_knows_of_a_pack_before_the_store_has_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery finds what a dead process left by the catalog and by the open files alone."""
    seen = []
    put_file = machine.store.inner.put_file

    def look(name: str, path: Path) -> None:
        seen.append(machine.pack_states()[name])
        ids = [machine.chunks.identifier.chunk(b"%d" % n) for n in range(3)]
        assert [bytes(each) for each in machine.again().get_chunks(ids)] == [b"0", b"1", b"2"]
        put_file(name, path)

    monkeypatch.setattr(machine.store.inner, "put_file", look)
    machine.chunks.put_chunks([b"0", b"1", b"2"], Reliance())
    machine.chunks.open_packs.seal_current()
    assert seen == [PackState.SEALED]


def test_the_catalog_learns_of_every_record_of_a_sealed_pack(machine: Machine) -> None:
    """Those of uploads that have not come to note where they put them, too."""
    relies = Reliance()
    ids = machine.chunks.put_chunks([b"a", b"b"], relies)
    (pack,) = relies.packs
    machine.chunks.open_packs._drop_pending(pack)  # noqa: SLF001 - as if the writer had not noted it yet
    machine.chunks.open_packs.seal_current()
    assert [bytes(each) for each in machine.again().get_chunks(ids)] == [b"a", b"b"]


def test_no_two_packs_get_one_ordinal_though_a_transaction_was_given_up(machine: Machine) -> None:
    used: list[int] = []

    def use(chunks: ChunkStore, count: int) -> None:
        for _ in range(count):
            relies = Reliance()
            chunks.put_chunks([os.urandom(10)], relies)
            used.extend(pack.ordinal for pack in relies.packs)
            chunks.open_packs._writers[PackKind.DATA].take_current()  # noqa: SLF001 - no commit comes

    use(machine.chunks, 140)
    with contextlib.suppress(ZeroDivisionError), machine.catalog.write() as transaction:
        machine.chunks.open_packs.flush(transaction, [])
        raise ZeroDivisionError
    other = machine.again()
    other.open_packs.refill_ordinals()
    use(other, 250)
    machine.chunks.open_packs.refill_ordinals()
    use(machine.chunks, 250)
    assert len(set(used)) == len(used) == 640


def test_after_a_failed_sync_nothing_that_leans_on_the_pack_is_committed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, other = Reliance(), Reliance()
    machine.chunks.put_chunks([b"lost"], lost)
    machine.chunks.put_chunks([b"lost"], other)  # found there, and leans on it all the same

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreError):
            machine.commit(lost)
    for relies in (lost, other):
        with pytest.raises(StoreError, match="send the data again"):
            relies.check(0)
    again = Reliance()
    ids = machine.chunks.put_chunks([b"lost"], again)
    again.check(0)
    machine.commit(again)
    assert [bytes(each) for each in machine.again().get_chunks(ids)] == [b"lost"]


def test_a_pack_that_cannot_be_moved_stays_readable_and_what_leans_on_it_is_told(
    machine: Machine,
) -> None:
    committed = Reliance()
    ids = machine.chunks.put_chunks([b"committed"], committed)
    machine.commit(committed)
    later = Reliance()
    machine.chunks.put_chunks([b"later"], later)
    count = len(machine.store.operations)
    machine.store._faults = {count: Fault.REFUSED}  # noqa: SLF001
    with pytest.raises(StoreError):
        machine.chunks.open_packs.seal_current()
    assert [bytes(each) for each in machine.chunks.get_chunks(ids)] == [b"committed"]
    assert [bytes(each) for each in machine.again().get_chunks(ids)] == [b"committed"]
    with pytest.raises(StoreError):
        later.check(0)


def test_of_two_full_packs_one_is_sealed_though_the_other_cannot_be(machine: Machine) -> None:
    relies = Reliance()
    count = len(machine.store.operations)
    machine.store._faults = {count: Fault.REFUSED}  # noqa: SLF001
    with pytest.raises(StoreError):
        machine.chunks.put_chunks([b"%d" % n for n in range(2 * PACK_RECORD_LIMIT)], relies)
    assert len(list(machine.store.list("packs"))) == 1
    assert len(list(machine.open_directory.iterdir())) == 1
    assert machine.chunks.open_packs.leaves_packs
    with pytest.raises(StoreError):
        relies.check(0)


def test_an_upload_keeps_nothing_of_the_packs_that_it_has_filled(machine: Machine) -> None:
    relies = Reliance()
    machine.chunks.put_chunks([b"%d" % n for n in range(2 * PACK_RECORD_LIMIT + 5)], relies)
    assert sorted(len(pack.places) for pack in relies.packs) == [0, 0, 5]
    assert machine.chunks.open_packs.leaves_packs
    machine.commit(relies)
    machine.chunks.open_packs.seal_current()
    assert not machine.chunks.open_packs.leaves_packs


def test_a_disk_that_is_gone_is_no_missing_path(machine: Machine) -> None:
    machine.open_directory.rmdir()
    with pytest.raises(StoreError, match="mounted"):
        machine.chunks.put_chunks([b"chunk"], Reliance())
    with pytest.raises(StoreError, match="mounted"):
        machine.chunks.put_node(Kind.TREE_NODE, b"node", Reliance())


def test_a_missing_pack_is_an_integrity_error(machine: Machine) -> None:
    relies = Reliance()
    ids = machine.chunks.put_chunks([b"gone"], relies)
    machine.commit(relies)
    machine.chunks.open_packs.seal_current()
    ((name, _),) = machine.store.list("packs")
    machine.store.delete(name)
    with pytest.raises(IntegrityError, match="missing"):
        list(machine.again().get_chunks(ids))


def test_uploads_commits_and_sealing_at_once_lose_nothing(machine: Machine) -> None:
    failures: list[BaseException] = []
    stored: list[tuple[bytes, bytes]] = []
    commit_lock = threading.Lock()

    def work(number: int) -> None:
        try:
            for turn in range(60):
                relies = Reliance()
                pieces = [incompressible(number * 1000 + turn, 300_000), b"all have this one"]
                ids = machine.chunks.put_chunks(pieces, relies)
                assert [bytes(each) for each in machine.chunks.get_chunks(ids)] == pieces
                with commit_lock:  # as the committer has
                    machine.commit(relies)
                if turn % 10 == number:
                    machine.chunks.open_packs.seal_current()
                stored.extend(zip(ids, pieces, strict=True))
        except BaseException as error:  # noqa: BLE001 - shown by the assert below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    machine.chunks.open_packs.seal_current()
    reader = machine.again()
    for chunk_id, piece in stored:
        assert bytes(next(reader.get_chunks([chunk_id]))) == piece
    assert set(machine.pack_states().values()) == {PackState.SEALED}
    assert list(machine.open_directory.iterdir()) == []


def test_a_short_journal_record_is_stored_as_it_is_and_a_long_one_compressed(
    machine: Machine,
) -> None:
    relies = Reliance()
    machine.chunks.append_journal(1, b"short " * 50, relies)
    machine.chunks.append_journal(2, b"long " * 1000, relies)
    [pack] = relies.packs
    assert [(place.codec, place.plain_size) for place in pack.places] == [
        (Codec.RAW, 300),
        (Codec.ZSTD, 5000),
    ]
