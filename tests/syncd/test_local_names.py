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
from syncd.disk.items import Item, Known
from syncd.disk.local_names import folded, length, local_name
from syncd.disk.name_map import NameMap
from syncd.disk.probing import ABLE

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


FILE = Known(Item(cas.EntryKind.EMPTY_FILE))


def test_the_map_leads_both_ways_and_follows_its_folders(tmp_path: Path) -> None:
    with Database(tmp_path / "state") as database:
        base = Base(database)
        names = NameMap(database, base, FOLDING)
        assert names.to_disk("a/b") == "a/b"
        base.put_all([("Folder", FILE), ("Folder/Read.me", FILE)])
        assert names.assign("Folder/Read.me") == "Folder/Read.me"
        first = names.assign("folder")
        assert first.startswith("folder (name clash ")
        second = names.assign("folder/x")
        assert second == f"{first}/x"
        base.put_all([("folder", FILE), ("folder/read.me", FILE)])
        third = names.assign("folder/READ.ME")
        assert third.startswith(f"{first}/READ (name clash ")
        assert names.true_names("folder", ()) == {third.rpartition("/")[2]: "READ.ME"}
        assert names.true_names("", [first]) == {first: "folder"}
        assert [path for path, _ in names.all()] == ["folder", "folder/READ.ME"]
        names.assign("elsewhere")
        names.move("folder", "elsewhere")
        assert names.to_disk("elsewhere/READ.ME") == f"elsewhere/{third.rpartition('/')[2]}"
        assert NameMap(database, base, FOLDING).all() == names.all()
        names.forget("elsewhere")
        assert names.all() == []


def test_another_form_of_a_name_is_the_same_file(base: Base) -> None:
    base.put("caf\u00e9", FILE)
    names = NameMap(base._database, base, FOLDING)  # noqa: SLF001 - the same database
    assert names.true_names("", ["cafe\u0301", "other"]) == {"cafe\u0301": "caf\u00e9"}
