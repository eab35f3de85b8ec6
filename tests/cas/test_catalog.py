"""The catalog's tables: what one transaction writes all others see, or nothing of it."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from cas.catalog import Catalog, Head, Location, PackRow, PackState, ProcessRow
from cas.catalog.rows import decode_location, decode_row, encode_row
from cas.errors import IntegrityError, StoreError, StoreFullError
from cas.ids import Kind
from cas.objects import Entry, EntryKind

ROOT = Entry(EntryKind.DIRECTORY, 5, 1, 0o755, b"r" * 32)
LOCATION = Location(3, 1 << 31, 10, 20, 8191, Kind.CHUNK, 1)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "catalog")
    yield opened
    opened.close()


def test_what_is_written_is_read_back(catalog: Catalog) -> None:
    pack = PackRow(b"p" * 16, 1, PackState.OPEN, b"process")
    with catalog.write() as transaction:
        transaction.put_locations([(b"a" * 32, LOCATION)])
        transaction.put_head(b"v" * 16, Head(ROOT, 7))
        transaction.put_pack(4, pack)
        transaction.put_process(b"me", ProcessRow(1, 2, 3))
        transaction.put_journal(1, b"id one", b"record one")
        transaction.put_journal(2, b"id two", b"record two")
        transaction.put_scratch(b"key", b"value")
    with catalog.read() as reading:
        assert reading.location(b"a" * 32) == LOCATION
        assert reading.location(b"b" * 32) is None
        assert reading.head(b"v" * 16) == Head(ROOT, 7)
        assert reading.heads() == [(b"v" * 16, Head(ROOT, 7))]
        assert reading.pack(4) == pack
        assert reading.pack_ordinal(pack.id) == 4
        assert list(reading.packs()) == [(4, pack)]
        assert reading.processes() == [(b"me", ProcessRow(1, 2, 3))]
        assert reading.journal_end() == (2, b"id two")
        assert list(reading.journal()) == [b"record one", b"record two"]
        assert list(reading.journal(after=1)) == [b"record two"]
        assert reading.first_journal() == 1
        assert reading.scratch(b"key") == b"value"


def test_the_file_grows_in_steps_and_not_with_every_commit(
    catalog: Catalog, tmp_path: Path
) -> None:
    sizes = []
    for number in range(200):
        with catalog.write() as transaction:
            transaction.put_young_node(number.to_bytes(32, "big"), bytes(4000))
        sizes.append((tmp_path / "catalog" / "data.mdb").stat().st_size)
    assert len(set(sizes)) < 20
    with catalog.read() as reading:
        assert all(reading.young_node(number.to_bytes(32, "big")) for number in range(200))


def test_a_disk_without_room_to_spare_stops_no_commit(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    with catalog.write() as transaction:
        transaction.put_scratch(b"key", bytes(100_000))
    with catalog.read() as reading:
        assert reading.scratch(b"key") == bytes(100_000)


def test_an_exception_undoes_all_of_a_transaction(catalog: Catalog) -> None:
    with contextlib.suppress(ZeroDivisionError), catalog.write() as transaction:
        transaction.put_scratch(b"key", b"value")
        transaction.put_head(b"v" * 16, Head(ROOT))
        raise ZeroDivisionError
    with catalog.read() as reading:
        assert reading.scratch(b"key") is None
        assert reading.heads() == []


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(catalog: Catalog) -> None:
    with catalog.read() as before:
        with catalog.write() as transaction:
            transaction.put_scratch(b"key", b"value")
        assert before.scratch(b"key") is None
        with catalog.read() as after:
            assert after.scratch(b"key") == b"value"


def test_the_journal_is_forgotten_from_its_beginning(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        for number in range(1, 6):
            transaction.put_journal(number, b"id", b"%d" % number)
        transaction.delete_journal(3)
    with catalog.read() as reading:
        assert list(reading.journal()) == [b"4", b"5"]
        assert reading.journal_end() == (5, b"id")
        assert reading.first_journal() == 4
    with catalog.write() as transaction:
        transaction.delete_journal(9)
        transaction.put_journal(6, b"id", b"6")
        assert list(transaction.journal()) == [b"6"]


def test_the_nursery_has_two_generations_and_drops_the_old_one_whole(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.put_young_node(b"old", b"1")
        transaction.open_generation()
        assert transaction.nursery_is_empty(transaction.generation())
        assert transaction.young_node(b"old") == b"1"
        transaction.put_young_node(b"new", b"2")
        assert not transaction.nursery_is_empty(0)
        transaction.drop_old_generation()
        assert transaction.young_node(b"old") is None
        assert transaction.young_node(b"new") == b"2"
        assert transaction.nursery_is_empty(transaction.generation() + 1)
        assert transaction.generation() == 1


def test_an_ordinal_is_given_once(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        first = transaction.reserve_ordinals(10)
        assert transaction.reserve_ordinals(1) == first + 10
    with catalog.write() as transaction:
        assert transaction.reserve_ordinals(1) == first + 11


def test_an_environment_is_shared_within_the_process_and_closed_by_the_last(
    tmp_path: Path,
) -> None:
    one, other = Catalog(tmp_path / "catalog"), Catalog(tmp_path / "catalog")
    with one.write() as transaction:
        transaction.put_scratch(b"key", b"value")
    one.close()
    with other.read() as reading:
        assert reading.scratch(b"key") == b"value"
    other.close()
    third = Catalog(tmp_path / "catalog")
    with third.read() as reading:
        assert reading.scratch(b"key") == b"value"
    third.close()


def test_writers_of_several_threads_take_turns(catalog: Catalog) -> None:
    def count() -> None:
        for _ in range(50):
            with catalog.write() as transaction:
                known = transaction.scratch(b"count") or b"0"
                transaction.put_scratch(b"count", b"%d" % (int(known) + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalog.read() as reading:
        assert reading.scratch(b"count") == b"200"


def test_the_last_transaction_is_a_sign_of_news(catalog: Catalog) -> None:
    before = catalog.last_transaction()
    with catalog.read() as reading:
        reading.heads()
    assert catalog.last_transaction() == before
    with catalog.write() as transaction:
        transaction.put_scratch(b"key", b"value")
    assert catalog.last_transaction() > before


def test_a_row_tells_of_every_flipped_bit() -> None:
    row = encode_row(Head(ROOT, 7))
    assert decode_row(row, Head) == Head(ROOT, 7)
    for position in range(len(row)):
        damaged = bytearray(row)
        damaged[position] ^= 4
        with pytest.raises(IntegrityError):
            decode_row(bytes(damaged), Head)


def test_a_location_keeps_its_bounds() -> None:
    assert decode_location(LOCATION.encode()) == LOCATION
    assert len(LOCATION.encode()) == 20


@pytest.mark.parametrize("row", [b"", b"short", bytes(20), LOCATION.encode()[:-1] + b"\xff"])
def test_a_damaged_location_is_an_integrity_error_or_seen_by_the_read(row: bytes) -> None:
    try:
        found = decode_location(row)
    except IntegrityError:
        return
    assert found.codec == 0xFF  # decompression refuses it


def test_what_is_no_lmdb_file_is_damage_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "data.mdb").write_bytes(b"nonsense" * 2000)
    for _ in range(2):
        with pytest.raises((IntegrityError, StoreError)):
            Catalog(tmp_path / "catalog")


def test_a_disk_that_lmdb_finds_full_is_full(catalog: Catalog) -> None:
    with pytest.raises(StoreFullError), catalog.write():
        raise lmdb.DiskError("mdb_txn_commit")
