"""The catalog's file is written anew when most of it is free, and holds the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb
import pytest

from cas.catalog import compact
from cas.catalog.compaction import LEAST_SIZE
from cas.catalog.tables import TABLE_NAMES
from tests.support.corpus import seeded_bytes

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20_000


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


def fill(catalog: Path, kept: int) -> None:
    """Write rows under keys of no order, and delete all but so many."""
    keys = seeded_bytes(1, 32 * ROWS)
    rows = [(keys[at : at + 32], keys[at + 5 : at + 45]) for at in range(0, len(keys) - 64, 32)]
    with lmdb.open(str(catalog), max_dbs=len(TABLE_NAMES), map_size=1 << 26) as environment:
        tables = [environment.open_db(name) for name in TABLE_NAMES]
        for start in range(0, len(rows), 100):  # as many commits would
            with environment.begin(write=True) as transaction:
                transaction.cursor(tables[1]).putmulti(rows[start : start + 100])
        with environment.begin(write=True) as transaction:
            for key, _ in rows[kept:]:
                transaction.delete(key, db=tables[1])
            transaction.put(b"large", bytes(50_000), db=tables[4])


def contents(catalog: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    with lmdb.open(str(catalog), max_dbs=len(TABLE_NAMES), readonly=True) as environment:
        tables = {name: environment.open_db(name, create=False) for name in TABLE_NAMES}
        with environment.begin() as transaction:
            return {name: list(transaction.cursor(table)) for name, table in tables.items()}


def size(catalog: Path) -> int:
    return (catalog / "data.mdb").stat().st_size


def test_pages_that_are_half_empty_are_filled(catalog: Path) -> None:
    fill(catalog, ROWS // 6)
    rows, before = contents(catalog), size(catalog)
    assert compact(catalog)
    assert contents(catalog) == rows
    assert sum(map(len, rows.values())) == ROWS // 6 + 1
    assert before > LEAST_SIZE
    assert size(catalog) < before / 5
    assert not list(catalog.parent.glob("*.compact"))
    assert not compact(catalog)


def test_a_file_that_is_full_is_left_alone(catalog: Path) -> None:
    fill(catalog, ROWS)
    compact(catalog)
    before = (catalog / "data.mdb").read_bytes()
    assert not compact(catalog)
    assert (catalog / "data.mdb").read_bytes() == before


def test_what_a_killed_one_left_is_in_nobodys_way(catalog: Path) -> None:
    fill(catalog, 10)
    aside = catalog.with_name("catalog.compact")
    aside.mkdir()
    (aside / "data.mdb").write_bytes(b"half of it")
    assert compact(catalog)
    assert not aside.exists()
