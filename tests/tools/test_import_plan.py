from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from tools.import_plan import Wish, decide, merge

names = st.sets(st.binary(min_size=1, max_size=4).map(os.fsdecode), max_size=12)
ENTRY = cas.Entry(cas.EntryKind.EMPTY_FILE, 0, 0, 0o644, b"")


@given(names, names)
def test_merging_gives_each_name_once_in_order_with_both_sides(
    outside: set[str], inside: set[str]
) -> None:
    listing = [(name, ENTRY) for name in sorted(inside, key=os.fsencode)]
    pairs = list(merge(sorted(outside, key=os.fsencode), listing))
    assert [pair.name for pair in pairs] == sorted(outside | inside, key=os.fsencode)
    for pair in pairs:
        assert pair.is_outside == (pair.name in outside)
        assert (pair.existing is not None) == (pair.name in inside)


def status(kind: int) -> os.stat_result:
    return os.stat_result((kind | 0o644, *([0] * 9)))


FILE, FOLDER, LINK = status(stat.S_IFREG), status(stat.S_IFDIR), status(stat.S_IFLNK)
THERE = {
    "file": ENTRY,
    "link": cas.Entry(cas.EntryKind.SYMLINK, 1, 0, 0o777, b"a"),
    "empty folder": cas.Entry(cas.EntryKind.DIRECTORY, 0, 0, 0o755, b""),
    "folder": cas.Entry(cas.EntryKind.DIRECTORY, 1, 0, 0o755, bytes(32), files=1),
}


@pytest.mark.parametrize(
    ("outside", "there", "wish", "wish_with_delete"),
    [
        (FILE, "file", Wish.BRING, Wish.BRING),
        (FILE, "link", Wish.REPLACE, Wish.REPLACE),
        (FILE, "empty folder", Wish.REPLACE, Wish.REPLACE),
        (FILE, "folder", Wish.REFUSE, Wish.REPLACE),
        (LINK, "file", Wish.BRING, Wish.BRING),
        (LINK, "folder", Wish.REFUSE, Wish.REPLACE),
        (FOLDER, "file", Wish.REPLACE, Wish.REPLACE),
        (FOLDER, "link", Wish.REPLACE, Wish.REPLACE),
        (FOLDER, "folder", Wish.BRING, Wish.BRING),
        (status(stat.S_IFSOCK), "file", Wish.REFUSE, Wish.REFUSE),
    ],
)
def test_nothing_but_a_full_folder_is_in_the_way(
    outside: os.stat_result, there: str, wish: Wish, wish_with_delete: Wish
) -> None:
    assert decide(outside, THERE[there], delete=False) is wish
    assert decide(outside, THERE[there], delete=True) is wish_with_delete


def test_what_cannot_be_stored_is_refused_where_nothing_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert decide((tmp_path / "pipe").stat(), None, delete=False) is Wish.REFUSE
