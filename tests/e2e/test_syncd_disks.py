"""A linked folder on the disks that people carry about: exFAT, NTFS, FAT, mounted for real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.disk.dirty import Looks
from syncd.disk.folder import Folder
from syncd.disk.items import Item
from syncd.disk.name_map import NameMap
from syncd.disk.observing import Differences, Observer
from syncd.disk.probing import probe
from syncd.disk.steps import ChangedError, Install, MakeFolder, Move, RemoveFile, RemoveFolder
from syncd.trees import FOLDER, ROOT, Node
from tests.support.disks import EXFAT, NTFS, carried_disk
from tests.support.linked import Linked
from tests.support.programs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.debian


@pytest.fixture(
    params=[
        pytest.param(EXFAT, id="exfat", marks=needs("mkfs.exfat", "mount.exfat-fuse")),
        pytest.param(NTFS, id="ntfs", marks=needs("mkntfs", "ntfs-3g")),
    ]
)
def carried(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Linked]:
    with (
        carried_disk(request.param, tmp_path, "mounted") as place,
        Folder(place) as folder,
        Database(tmp_path / "state") as database,
    ):
        yield Linked(folder, database)


def test_the_steps_are_as_safe_as_elsewhere(carried: Linked) -> None:
    linked = carried
    old = linked.write("folder/a.txt", b"old")
    linked.write("taken.txt", b"mine")
    outcomes = linked.apply(
        Install("folder/a.txt", linked.stage(b"new"), old),
        Install("taken.txt", linked.stage(b"theirs")),
        Install("new.txt", linked.stage(b"new")),
        MakeFolder("made"),
    )
    assert [type(outcome.failure) for outcome in outcomes] == [
        type(None), ChangedError, type(None), type(None),
    ]  # fmt: skip
    assert linked.tree() == {
        "folder": None,
        "folder/a.txt": b"new",
        "made": None,
        "new.txt": b"new",
        "taken.txt": b"mine",
    }
    outcomes = linked.apply(
        RemoveFile("new.txt", linked.signature("new.txt")),
        RemoveFolder("made"),
        Move("folder", "renamed", linked.signature("folder")),
        Move("taken.txt", "TAKEN.txt", linked.signature("taken.txt")),
    )
    assert [outcome.failure for outcome in outcomes] == [None] * 4
    assert linked.tree() == {"renamed": None, "renamed/a.txt": b"new", "TAKEN.txt": b"mine"}
    linked.trash.sweep(2**62)
    assert linked.trash.is_empty


def test_the_disk_is_found_out_and_holds_the_names_that_it_gets(carried: Linked) -> None:
    abilities = probe(carried.folder)
    assert not abilities.takes_reserved_names or not abilities.folds_case
    base = Base(carried.database)
    names = NameMap(carried.database, base, abilities)
    wanted = ["Plain.txt", "what?.txt", "dot.", "aux", "x" * 300, "\udcff", "\u20ac" * 255]
    if abilities.folds_case:
        wanted.append("plain.TXT")
    for node, name in enumerate(wanted, 1):
        local = names.assign(base, ROOT, node, name)
        (outcome,) = carried.apply(Install(local, carried.stage(name.encode(errors="replace"))))
        assert outcome.failure is None, name
        assert local in carried.tree(), name
        base.put(node, Node(ROOT, name, Item(cas.EntryKind.EMPTY_FILE)), None)
    assert len(carried.tree()) == len(wanted)
    assert len(names.all()) >= 4


def paths(found: Differences) -> list[str]:
    return sorted([*(one.path for one in found.changed), *(move.path for move in found.moves)])


def test_what_is_written_otherwise_than_before_is_not_there_twice(carried: Linked) -> None:
    base = Base(carried.database)
    names = NameMap(carried.database, base, probe(carried.folder))
    observer = Observer(carried.folder, base, names, lambda _path, _is_folder: False)
    carried.write("folder/name.txt", b"content")
    signatures = {path: carried.signature(path) for path in ("folder", "folder/name.txt")}
    base.put(1, Node(ROOT, "folder", FOLDER), signatures["folder"])
    file = Item(cas.EntryKind.CHUNK_FILE, b"c", 7)
    base.put(2, Node(1, "name.txt", file), signatures["folder/name.txt"])
    (carried.root / "folder/name.txt").rename(carried.root / "folder/NAME.txt")
    for looks in (Looks({"folder/name.txt", "folder/NAME.txt"}), Looks(deep={""})):
        found = observer.observe(looks)
        assert paths(found) == ["folder/NAME.txt"]
        assert found.vanished == ([] if found.moves else [2])
    (carried.root / "folder").rename(carried.root / "FOLDER")
    carried.write("FOLDER/new.txt", b"new")
    hints = Looks({"folder/new.txt", "FOLDER/new.txt", "folder"}, {"FOLDER"})
    found = observer.observe(hints)
    assert paths(found) == ["FOLDER", "FOLDER/NAME.txt", "FOLDER/new.txt"]
