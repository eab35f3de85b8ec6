"""Names that a disk cannot hold get another one there, and keep their own everywhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.disk.items import Item
from syncd.disk.local_names import folded, length, local_name
from syncd.disk.name_map import NameMap
from syncd.disk.probing import ABLE
from syncd.trees import FOLDER, ROOT, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOWS = replace(
    ABLE,
    folds_case=True,
    takes_any_bytes=False,
    takes_reserved_names=False,
    counts_characters=True,
)
FOLDING = replace(ABLE, folds_case=True, folds_unicode=True)
NAMES = st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.txt", "plain.txt"),
        ("what?.txt", "what_ (reserved name 0e0b65).txt"),
        ("dot.", "dot_ (reserved name 3fc4f6)"),
        ("aux", "_aux (reserved name 16a24e)"),
        ("NUL.tar.gz", "_NUL.tar (reserved name e86af3).gz"),
        ("console.txt", "console.txt"),
        ("\udcff", "\ufffd (not UTF-8 1d4276)"),
    ],
)
def test_what_windows_cannot_hold_says_so(name: str, expected: str) -> None:
    made = local_name(name, WINDOWS, ())
    assert made.split(" (")[0] == expected.split(" (", maxsplit=1)[0]
    assert (" (" in made) == (" (" in expected)
    assert made.rpartition(".")[2][:3] == expected.rpartition(".")[2][:3]
    assert local_name(made, WINDOWS, ()) == made


@given(NAMES)
def test_every_name_gets_one_that_the_disk_can_hold(name: str) -> None:
    made = local_name(name, WINDOWS, ())
    assert length(made, WINDOWS) <= 255
    assert local_name(made, WINDOWS, ()) == made
    assert made.encode()
    assert not set('<>:"|?*\\') & set(made)
    assert not made.endswith((".", " "))


@given(st.sets(NAMES, max_size=8))
def test_names_that_are_one_on_the_disk_are_told_apart(names: set[str]) -> None:
    taken: set[str] = set()
    for name in sorted(names):
        made = local_name(name, FOLDING, taken)
        assert folded(made, FOLDING) not in taken
        taken.add(folded(made, FOLDING))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Base]:
    with Database(tmp_path / "state") as database:
        yield Base(database)


FILE = Item(cas.EntryKind.EMPTY_FILE)


def test_a_name_that_was_given_and_not_taken_hides_nothing(base: Base) -> None:
    names = NameMap(base.database, base, FOLDING)
    base.put(1, Node(ROOT, "plain", FILE), None)
    base.put(2, Node(ROOT, "Taken", FILE), None)
    local = names.assign(base, ROOT, 1, "taken")
    assert local != "taken"
    for known in (names, NameMap(base.database, base, FOLDING)):
        assert known.path(base, 1) == "plain"
        assert known.all() == []
        # A kill may have come between the renaming and the base.
        assert known.true_names(ROOT, ["plain", local]) == {local: "taken"}
    base.put(1, Node(ROOT, "taken", FILE), None)
    assert names.path(base, 1) == local
    assert names.all() == [(1, local)]
    base.remove(1)
    assert names.true_names(ROOT, [local]) == {}  # Who has this name now has it by himself.


def test_a_file_that_was_given_the_very_name_of_another_one_here_is_in_nobodys_way(
    base: Base,
) -> None:
    names = NameMap(base.database, base, replace(ABLE, takes_reserved_names=False))
    usual = names.assign(base, ROOT, 1, "what?")
    base.put(2, Node(ROOT, usual, FILE), None)
    other = names.assign(base, ROOT, 1, "what?")
    assert other != usual
    assert other.startswith("what_ (reserved name ")


def test_the_map_leads_both_ways_and_stays_with_its_nodes(base: Base) -> None:
    names = NameMap(base.database, base, FOLDING)
    for node, parent, name in [(1, ROOT, "Folder"), (2, 1, "Read.me")]:
        assert names.assign(base, parent, node, name) == name
        base.put(node, Node(parent, name, FOLDER), None)
    clash = names.assign(base, ROOT, 3, "folder")
    assert clash.startswith("folder (name clash ")
    base.put(3, Node(ROOT, "folder", FOLDER), None)
    base.put(4, Node(3, "x", FILE), None)
    assert names.path(base, 4) == f"{clash}/x"
    assert names.true_names(ROOT, [clash, "Folder"]) == {clash: "folder"}
    assert NameMap(base.database, base, FOLDING).all() == names.all() == [(3, clash)]
    assert names.assign(base, ROOT, 3, "elsewhere") == "elsewhere"
    assert names.path(base, 4) == f"{clash}/x"  # It was not moved yet, and may never be.
    base.put(3, Node(ROOT, "elsewhere", FOLDER), None)
    assert names.path(base, 4) == "elsewhere/x"
    assert names.all() == []
    names.assign(base, ROOT, 3, "FOLDER")
    names.forget([3, 4])
    assert NameMap(base.database, base, FOLDING).all() == names.all() == []


def test_another_form_of_a_name_is_the_same_file(base: Base) -> None:
    base.put(1, Node(ROOT, "caf\u00e9", FILE), None)
    names = NameMap(base.database, base, FOLDING)
    assert names.true_names(ROOT, ["cafe\u0301", "other"]) == {"cafe\u0301": "caf\u00e9"}
