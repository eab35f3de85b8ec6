"""Each kind of damage: it is found, its paths are named, nothing wrong is served, it is mended.

The repository holds the same content in one place, unless a test stores it again.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

import cas
from cas.ids import Kind
from cas.packfile import PackKind
from tests.support.checking import Told, assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import chunk_id, damage_object, flip, footer_of, packs_of, place_of

FILES = {f"folder/{number}": seeded_bytes(number, 20_000) for number in range(6)}
"""Each of one chunk."""


@pytest.fixture
def location(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        with volume.edit() as edit:
            edit.make_directory("folder")
        for path, data in FILES.items():
            put(volume, path, data)
        volume.create_snapshot("s")
    return tmp_path / "store"


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


def chunk_of(location: Path, path: str) -> bytes:
    return chunk_id(location, FILES[path])


def sound_files(repository: cas.Repository) -> set[str]:
    """Return which files can be read; what is read is right."""
    found = set()
    with repository.volume("v").view() as view:
        for path, data in FILES.items():
            try:
                read = view.open(path).read()
            except cas.IntegrityError:
                continue
            assert read == data, "wrong bytes were served"
            found.add(path)
    return found


def find(location: Path) -> Told:
    """Return what a check finds, reading everything."""
    with cas.open(location) as repository:
        return check(repository, cas.Share())


def repair(location: Path) -> cas.RepairReport:
    with cas.open(location) as repository:
        report = cas.repair_repository(repository)
        assert cas.repair_repository(repository).packs == [], "a second repair finds nothing"
    return report


def quarantined(location: Path) -> set[str]:
    return {path.name for path in (location / "quarantine").glob("*")}


def assert_mended(location: Path) -> None:
    """Fail unless everything is there and sound, without and with a new catalog."""
    for _ in range(2):
        with cas.open(location) as repository:
            assert_sound(repository)
            assert sound_files(repository) == set(FILES)
        cas.rebuild_index(location)


def data_pack(location: Path) -> Path:
    pack, _ = place_of(location, chunk_of(location, "folder/3"))
    return pack


def test_a_flipped_bit_in_a_data_pack(location: Path) -> None:
    pack = damage_object(location, chunk_of(location, "folder/3"))
    told = find(location)
    assert told.kinds == ["damaged"]
    assert told.damages[0].pack.hex() == pack.name
    assert [(each.path, each.states) for each in told.affecteds] == [("folder/3", ("", "s"))]
    (mended,) = repair(location).packs
    assert (mended.id.hex(), mended.lost) == (pack.name, 1)
    assert mended.kept >= len(FILES) - 1
    assert quarantined(location) == {pack.name}
    told = find(location)
    assert told.kinds == ["missing"]
    assert told.paths == {"v:/folder/3"}
    with cas.open(location) as repository:
        assert sound_files(repository) == set(FILES) - {"folder/3"}
        put(repository.volume("v"), "again", FILES["folder/3"])  # the same content, anywhere
    assert_mended(location)


def test_a_flipped_bit_in_a_tree_pack_hits_the_folder_below(location: Path) -> None:
    with cas.open(location) as repository, repository.volume("v").view() as view:
        node = view.entry("folder").content
    pack = damage_object(location, node)
    shutil.rmtree(location / "local" / "catalog")  # and with it the nursery, which has it too
    with cas.open(location) as repository:
        assert check(repository).kinds == ["damaged"]  # nodes are read in any case
    told = find(location)
    assert told.kinds == ["damaged"]
    assert told.damages[0].object_kind is Kind.TREE_NODE
    assert ("folder", ("", "s")) in {(each.path, each.states) for each in told.affecteds}
    (mended,) = repair(location).packs
    assert (mended.id.hex(), mended.lost) == (pack.name, 1)
    assert find(location).kinds == ["missing"]
    with cas.open(location) as repository, repository.volume("v").view() as view:
        with pytest.raises(cas.IntegrityError, match="folder"):
            list(view.walk())
        volume = repository.volume("v")
        with volume.edit() as edit:  # the same folder with the same names makes the same node
            edit.remove("folder")
        with volume.edit() as edit:
            edit.make_directory("folder")


def test_a_tree_node_that_the_nursery_still_has_is_written_anew(location: Path) -> None:
    with cas.open(location) as repository, cas.open(location):  # which leans on the nursery
        volume = repository.volume("v")
        put(volume, "folder/new", b"new")
        repository.checkpoint()
        repository.engine.chunks.open_packs.seal_current()
        with volume.view() as view:
            node = view.entry("folder").content
        damage_object(location, node)
        assert check(repository, cas.Share()).kinds == ["damaged"]
        (mended,) = cas.repair_repository(repository).packs
        assert mended.lost == 0
        assert_sound(repository)
    assert_mended(location)


@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.TREE])
def test_a_pack_that_is_cut_off(location: Path, kind: PackKind) -> None:
    pack = packs_of(location, kind)[0]
    places = footer_of(pack).places
    os.truncate(pack, places[len(places) // 2].end - 5)
    told = find(location)
    assert "damaged" in told.kinds
    assert pack.name in told.messages
    report = repair(location)
    assert [one.id.hex() for one in report.packs] == [pack.name]
    assert quarantined(location) == {pack.name}
    with cas.open(location) as repository:
        after = check(repository, cas.Share())
        assert "missing" in after.kinds
        if kind is PackKind.DATA:
            assert set(after.kinds) == {"missing"}
            assert after.paths == {f"v:/{path}" for path in set(FILES) - sound_files(repository)}
            for path, data in FILES.items():
                put(repository.volume("v"), path, data)
    if kind is PackKind.DATA:
        assert_mended(location)


@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.TREE])
@pytest.mark.parametrize("where", ["digest", "table", "cut"])
def test_a_damaged_footer_costs_nothing(location: Path, kind: PackKind, where: str) -> None:
    pack = packs_of(location, kind)[-1]
    if where == "cut":
        os.truncate(pack, pack.stat().st_size - 7)
    else:
        flip(pack, pack.stat().st_size - (3 if where == "digest" else 100))
    told = find(location)
    assert told.kinds == ["damaged"]
    assert "footer" in told.messages
    assert told.affecteds == []
    (mended,) = repair(location).packs
    assert mended.lost == 0
    assert_mended(location)


def test_a_damaged_header_costs_nothing(location: Path) -> None:
    flip(data_pack(location), 20)
    assert find(location).kinds == ["damaged"]
    assert repair(location).packs[0].lost == 0
    assert_mended(location)


def test_a_missing_pack(location: Path) -> None:
    pack = data_pack(location)
    lost = {path for path in FILES if place_of(location, chunk_of(location, path))[0] == pack}
    pack.unlink()
    told = find(location)
    assert told.kinds == ["missing"]
    assert told.paths == {f"v:/{path}" for path in lost}
    with cas.open(location) as repository:
        assert sound_files(repository) == set(FILES) - lost
    (mended,) = repair(location).packs
    assert mended.is_missing
    assert mended.lost >= len(lost)
    with cas.open(location) as repository:
        for path in lost:
            put(repository.volume("v"), f"{path} again", FILES[path])
    assert_mended(location)


def test_a_missing_pack_whose_records_lie_in_another_one_too(location: Path) -> None:
    """As after a kill between the copy of a pack's records and its removal."""
    pack = data_pack(location)
    shutil.copytree(location, location.parent / "other")
    damage_object(location, chunk_of(location, "folder/3"))
    repair(location)
    (name,) = quarantined(location)
    shutil.copy(location.parent / "other" / "packs" / name[:2] / name, pack)  # as from a backup
    assert find(location).kinds == ["catalog", "missing"]  # it does not know the pack
    cas.rebuild_index(location)
    for each in packs_of(location, PackKind.DATA):
        if each != pack and any(p.kind is Kind.CHUNK for p in footer_of(each).places):
            each.unlink()
    repair(location)
    assert_mended(location)


def test_a_half_written_pack_of_a_process_that_died_is_no_damage(location: Path) -> None:
    crashed = location.parent / "crashed"
    with cas.open(location) as repository:
        put(repository.volume("v"), "last", b"acknowledged")
        shutil.copytree(location, crashed)
    open_packs = list((crashed / "local" / "open").glob("*.pack"))
    assert open_packs
    for pack in open_packs:
        with pack.open("ab") as file:
            file.write(b"cREC and a torn record")
    with cas.open(crashed) as repository:
        assert_sound(repository)
        with repository.volume("v").view() as view:
            assert view.open("last").read() == b"acknowledged"
    assert_mended(crashed)


@pytest.mark.parametrize("how", ["flip", "cut", "missing"])
def test_a_damaged_ref_is_written_anew_from_the_catalog(location: Path, how: str) -> None:
    for ref in location.glob("refs/*"):
        if how == "missing":
            ref.unlink()
        elif how == "cut":
            os.truncate(ref, 40)
        else:
            flip(ref, 50)
    told = find(location)
    assert len(told.damages) == 2
    assert told.messages.count("refs/") == 2
    assert told.affecteds == []
    assert len(repair(location).refs) == 2
    assert_mended(location)


def test_a_catalog_that_disagrees_with_the_packs(location: Path) -> None:
    with cas.open(location) as repository:
        one, two = chunk_of(location, "folder/1"), chunk_of(location, "folder/2")
        with repository.engine.catalog.write() as transaction:
            right = transaction.location(one)
            assert right is not None
            transaction.put_locations([(one, right._replace(offset=right.offset + 1))])
            transaction.delete_location(two)
    told = find(location)
    assert "catalog" in told.kinds
    assert {"v:/folder/1", "v:/folder/2"} == told.paths
    with cas.open(location) as repository:
        assert sound_files(repository) == set(FILES) - {"folder/1", "folder/2"}
    report = repair(location)
    assert report.catalog
    assert report.packs == []
    cas.rebuild_index(location)
    assert_mended(location)


def test_a_catalog_that_has_forgotten_something_after_a_collection(location: Path) -> None:
    with cas.open(location) as repository:
        cas.collect_garbage(repository, grace_seconds=0)
        with repository.engine.catalog.write() as transaction:
            transaction.condemn([])  # so that an epoch has begun, whatever was collected
            transaction.delete_location(chunk_of(location, "folder/2"))
    told = find(location)
    assert sorted(told.kinds) == ["catalog", "missing"]
    assert told.paths == {"v:/folder/2"}
    cas.rebuild_index(location)
    assert_mended(location)


def test_what_is_forgotten_is_stored_again_by_every_process(location: Path) -> None:
    damage_object(location, chunk_of(location, "folder/3"))
    with cas.open(location) as repository, cas.open(location) as other:
        assert cas.repair_repository(repository).packs
        put(other.volume("v"), "again", FILES["folder/3"])  # it has never seen the damage
        assert sound_files(repository) == set(FILES)
    assert_mended(location)


def test_a_dry_run_says_the_same_and_changes_nothing(location: Path) -> None:
    damage_object(location, chunk_of(location, "folder/3"))
    next(location.glob("refs/*")).unlink()
    before = {path: path.stat().st_mtime_ns for path in location.glob("packs/*/*")}
    with cas.open(location) as repository:
        report = cas.repair_repository(repository, is_dry_run=True)
        assert [(one.lost, one.is_missing) for one in report.packs] == [(1, False)]
        assert len(report.refs) == 1
    assert {path: path.stat().st_mtime_ns for path in location.glob("packs/*/*")} == before
    assert quarantined(location) == set()


def test_a_sound_repository_needs_no_repair(location: Path) -> None:
    with cas.open(location) as repository:
        assert cas.repair_repository(repository).is_clean
    with cas.create("memory:") as repository, pytest.raises(cas.InvalidError):
        cas.repair_repository(repository)


def test_bad_blocks_of_the_disk_are_damage_of_the_records_that_lie_there(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, place = place_of(location, chunk_of(location, "folder/3"))
    bad = pack.stat().st_ino
    pread, preadv = os.pread, os.preadv

    def refuse(descriptor: int, offset: int, size: int) -> None:
        is_bad = offset < place.offset + 100 and place.offset + 100 < offset + size
        if is_bad and os.fstat(descriptor).st_ino == bad:
            raise OSError(errno.EIO, "a bad block")

    def pread_bad(descriptor: int, size: int, offset: int) -> bytes:
        refuse(descriptor, offset, size)
        return pread(descriptor, size, offset)

    def preadv_bad(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        refuse(descriptor, offset, sum(map(len, buffers)))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "pread", pread_bad)
    monkeypatch.setattr(os, "preadv", preadv_bad)
    told = find(location)
    assert told.kinds == ["damaged"]
    assert told.paths == {"v:/folder/3"}
    (mended,) = repair(location).packs
    assert mended.lost == 1
    with cas.open(location) as repository:
        put(repository.volume("v"), "again", FILES["folder/3"])
    assert_mended(location)
