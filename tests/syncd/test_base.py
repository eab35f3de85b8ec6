"""What syncd keeps of a linked folder: written and read back, moved by subtrees, never torn."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from syncd.disk.base import Base, pack_signature, unpack_signature
from syncd.disk.database import Database, StateVersionError
from syncd.disk.items import Item, Known
from syncd.disk.signatures import COARSE_MARGIN_NS, FINE_MARGIN_NS, Signature, is_racy

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.integers(0, 2**64 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)


def file(content: bytes = b"c" * 32, signature: Signature | None = None) -> Known:
    item = Item(cas.EntryKind.CHUNK_FILE, content, 5, -(10**18), is_executable=True)
    return Known(item, signature)


FOLDER = Known(Item(cas.EntryKind.DIRECTORY))


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(Database(tmp_path / "state.sqlite"))


@given(NUMBERS, NUMBERS, TIMES, TIMES)
def test_a_signature_survives_as_bytes(inode: int, size: int, mtime: int, ctime: int) -> None:
    signature = Signature(inode, size, mtime, ctime)
    assert unpack_signature(pack_signature(signature)) == signature


def test_what_is_put_is_there_under_any_name(base: Base) -> None:
    known = file(signature=Signature(1, 2, 3, 4))
    for path in ("a", "a/b", "a/\udcff\n", "ä/ë", "a b/c%_'\""):
        base.put(path, known)
        assert base.get(path) == known
    assert base.get("a/c") is None
    assert set(base.children("a")) == {"b", "\udcff\n"}
    row = (int(cas.EntryKind.CHUNK_FILE), pack_signature(Signature(1, 2, 3, 4)))
    assert base.signatures_by_name("a") == {"b": row, "\udcff\n": row}
    base.put("a", FOLDER)
    assert base.get("a") == FOLDER


def test_a_subtree_is_moved_removed_and_counted_without_its_neighbours(base: Base) -> None:
    paths = ["a", "a/x", "a/x/y", "a.txt", "a0", "a0/z", "b", "a/x0", "a/x.y"]
    base.put_all((path, file()) for path in paths)
    base.move("a/x", "b/moved")
    assert sorted(path for path, _ in base.below("")) == sorted(
        ["a", "b/moved", "b/moved/y", "a.txt", "a0", "a0/z", "b", "a/x0", "a/x.y"]
    )
    base.put("a/x", FOLDER)
    assert base.count("a") == (2, 10)
    assert base.count() == (9, 45)
    base.remove("a")
    assert [path for path, _ in base.below("")] == ["a.txt", "a0", "b", "a0/z", "b/moved",
                                                    "b/moved/y"]  # fmt: skip
    base.move("a0", "b/moved")
    assert [path for path, _ in base.below("b")] == ["b/moved", "b/moved/z"]


def test_a_listing_goes_on_over_many_pages(base: Base) -> None:
    base.put_all((f"{number % 7}/{number}", file()) for number in range(10_000))
    assert len({path for path, _ in base.below("")}) == 10_000
    assert len(list(base.below("3"))) == len(range(3, 10_000, 7))


def test_a_transaction_happens_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.sqlite")
    base = Base(database)

    def write_and_fail() -> None:
        with database.transaction():
            base.put("a", file())
            base.put("b", file())
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert list(base.below("")) == []


def test_a_damaged_state_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database" * 1000)
    with Database(path) as database:
        assert database.was_damaged
        Base(database).put("a", file())
    with Database(path) as database:
        assert not database.was_damaged
        assert Base(database).get("a") == file()
    assert (tmp_path / "state.sqlite.damaged").read_bytes().startswith(b"no database")


def test_the_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateVersionError, match="newer"):
        Database(path)


@pytest.mark.parametrize(
    ("age_ns", "expected"),
    [
        (0, "racy"),
        (FINE_MARGIN_NS - 1, "racy"),
        (FINE_MARGIN_NS + 1, "sure"),
        (-(10**12), "racy"),
        (10**12, "sure"),
    ],
)
def test_a_file_as_young_as_its_reading_is_read_again(age_ns: int, expected: str) -> None:
    read_ns = 1_700_000_000_500_000_123
    old, young = read_ns - 10**15, read_ns - age_ns
    assert is_racy(Signature(1, 1, young, old), read_ns) is (expected == "racy")
    assert is_racy(Signature(1, 1, old, young), read_ns) is (expected == "racy")


def test_a_time_in_whole_seconds_stays_young_for_two() -> None:
    read_ns = 1_700_000_001_500_000_000
    whole = 1_700_000_000_000_000_000
    assert is_racy(Signature(1, 1, whole, whole), read_ns)
    assert not is_racy(Signature(1, 1, whole, whole), whole + COARSE_MARGIN_NS)
