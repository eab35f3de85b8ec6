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
from syncd.disk.items import Item
from syncd.disk.signatures import COARSE_MARGIN_NS, FINE_MARGIN_NS, Signature, is_racy
from syncd.trees import FOLDER, ROOT, Node, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = st.integers(0, 2**64 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)


FILE = Item(cas.EntryKind.CHUNK_FILE, b"c" * 32, 5, -(10**18), is_executable=True)
SIGNATURE = Signature(1, 2, 3, 4)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Base]:
    with Database(tmp_path / "state.sqlite") as database:
        yield Base(database)


@given(NUMBERS, NUMBERS, TIMES, TIMES)
def test_a_signature_survives_as_bytes(inode: int, size: int, mtime: int, ctime: int) -> None:
    signature = Signature(inode, size, mtime, ctime)
    assert unpack_signature(pack_signature(signature)) == signature


def test_what_is_put_is_there_under_any_name(base: Base) -> None:
    base.put(1, Node(ROOT, "folder", FOLDER), SIGNATURE)
    for number, name in enumerate(("b", "\udcff\n", "ä", "c%_'\"", "B"), 2):
        base.put(number, Node(1, name, FILE), None)
        assert base.get(number) == Node(1, name, FILE)
        assert base.child(1, name) == number
        assert path_of(base, number) == f"folder/{name}"
    assert base.get(99) is None
    assert base.child(1, "nothing") is None
    assert dict(base.children(1)) == {"b": 2, "\udcff\n": 3, "ä": 4, "c%_'\"": 5, "B": 6}
    assert base.rows(ROOT)["folder"].signature == pack_signature(SIGNATURE)
    assert (base.signature(1), base.signature(2), base.signature(99)) == (SIGNATURE, None, None)
    base.set_signature(2, SIGNATURE)
    assert base.signature(2) == SIGNATURE
    assert base.count() == (5, 25)
    assert base.last_node() == 6


def test_a_folder_moves_with_all_in_it_and_goes_with_all_in_it(base: Base) -> None:
    for number, (parent, name) in enumerate([(0, "a"), (1, "x"), (2, "y"), (0, "b"), (2, "z")], 1):
        base.put(number, Node(parent, name, FOLDER), None)
    base.put(2, Node(4, "moved", FOLDER), None)
    assert path_of(base, 3) == "b/moved/y"
    assert sorted(row.node for row in base.rows_below(4)) == [2, 3, 5]
    base.remove(4)
    assert [base.get(node) is not None for node in range(6)] == [True, True] + [False] * 4


def test_what_both_sides_agree_on(base: Base) -> None:
    base.agree(1, Node(ROOT, "a", FILE), SIGNATURE)
    base.agree(1, Node(ROOT, "b", FILE))
    assert (base.child(ROOT, "b"), base.signature(1)) == (1, SIGNATURE)
    base.agree(1, Node(ROOT, "b", FOLDER))
    assert base.signature(1) is None
    base.agree(1, None)
    assert dict(base.children(ROOT)) == {}


def test_two_nodes_change_places(base: Base) -> None:
    base.put_all([(1, Node(ROOT, "a", FILE), None), (2, Node(ROOT, "b", FILE), None)])
    base.put_all([(1, Node(ROOT, "b", FILE), None), (2, Node(ROOT, "a", FILE), None)])
    assert dict(base.children(ROOT)) == {"a": 2, "b": 1}


def test_a_transaction_happens_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.sqlite")
    base = Base(database)

    def write_and_fail() -> None:
        with database.transaction():
            base.put(1, Node(ROOT, "a", FILE), None)
            base.put(2, Node(ROOT, "b", FILE), None)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert dict(base.children(ROOT)) == {}
    database.close()


def test_a_damaged_state_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database" * 1000)
    with Database(path) as database:
        assert database.was_damaged
        Base(database).put(1, Node(ROOT, "a", FILE), None)
    with Database(path) as database:
        assert not database.was_damaged
        assert Base(database).child(ROOT, "a") == 1
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
        (-(FINE_MARGIN_NS - 1), "racy"),
        (-(10**12), "sure"),
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
