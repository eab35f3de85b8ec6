"""The catalog is made anew on demand, whatever is the matter with it; or stays as it was."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

import cas
from cas.packfile import PackHeader, PackKind, decode_header
from tests.support.checking import assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import flip, kind_of


@pytest.fixture
def location(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        for number in range(3):
            put(volume, f"file {number}", seeded_bytes(number, 100_000))
        volume.create_snapshot("s")
        put(volume, "file 0", b"newer")
    return tmp_path / "store"


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


def assert_all_there(location: Path) -> None:
    with cas.open(location) as repository:
        assert_sound(repository)
        with repository.volume("v").view() as view:
            assert view.open("file 0").read() == b"newer"
            assert view.open("file 2").read() == seeded_bytes(2, 100_000)
        assert [each.name for each in repository.volume("v").snapshots()] == ["s"]


def data_file(location: Path) -> Path:
    return location / "local" / "catalog" / "data.mdb"


def lose_directory(location: Path) -> None:
    shutil.rmtree(location / "local")


def cut(location: Path) -> None:
    os.truncate(data_file(location), data_file(location).stat().st_size // 3)


def empty(location: Path) -> None:
    data_file(location).write_bytes(b"")


def overwrite(location: Path) -> None:
    size = data_file(location).stat().st_size
    data_file(location).write_bytes(seeded_bytes(1, size))


def overwrite_meta(location: Path) -> None:
    with data_file(location).open("r+b") as file:
        file.write(bytes(8192))


@pytest.mark.parametrize("damage", [lose_directory, cut, empty, overwrite, overwrite_meta])
def test_whatever_happened_to_the_lmdb_file(location: Path, damage: object) -> None:
    assert callable(damage)
    damage(location)
    made = cas.rebuild_index(location)
    assert made.packs == len(list(location.glob("packs/*/*")))
    assert made.losses == []
    assert made.volumes == 2
    assert sorted(path.name for path in (location / "local").glob("catalog*")) == ["catalog"]
    assert_all_there(location)


@pytest.mark.parametrize("damage", [cut, overwrite, overwrite_meta])
def test_a_damaged_lmdb_file_is_reported_with_what_to_do(location: Path, damage: object) -> None:
    assert callable(damage)
    damage(location)
    with pytest.raises(cas.IntegrityError, match="casdav index rebuild"):
        cas.open(location)


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_in_the_lmdb_file_is_never_served(location: Path, seed: int) -> None:
    size = data_file(location).stat().st_size
    flip(data_file(location), seed * size // 12 + 100)
    with (
        suppress(cas.CasError),
        cas.open(location) as repository,
        repository.volume("v").view() as view,
    ):
        assert view.open("file 2").read() == seeded_bytes(2, 100_000)
    cas.rebuild_index(location)
    assert_all_there(location)


def test_it_is_refused_while_the_repository_is_open_and_says_where(location: Path) -> None:
    with cas.open(location):
        with pytest.raises(cas.LockedError, match=str(os.getpid())):
            cas.rebuild_index(location)
        assert cas.look_at_source(location).processes == [str(os.getpid())]
    assert cas.look_at_source(location).processes == []
    assert_all_there(location)


def test_packs_that_go_while_one_looks_are_passed_over(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cas.look_at_source(location)
    (location / "local" / "open" / "sealed-meanwhile.pack").symlink_to("gone")

    def collect_first(header: bytes, *, is_sealed: bool = False) -> PackHeader:
        for path in location.glob("packs/*/*"):
            if path.read_bytes().startswith(header):
                path.unlink()
        return decode_header(header, is_sealed=is_sealed)

    monkeypatch.setattr("cas.maintenance.reindex.decode_header", collect_first)
    after = cas.look_at_source(location)
    assert (before.packs, before.open_packs) == (2, 0)
    assert (after.packs, after.open_packs, after.problems) == (0, 0, [])


def test_if_it_fails_the_old_catalog_is_as_it_was(location: Path) -> None:
    before = data_file(location).stat().st_ino
    ref = next(location.glob("refs/*"))
    flip(ref, 40)
    assert cas.look_at_source(location).problems
    with pytest.raises(cas.IntegrityError, match="damaged"):
        cas.rebuild_index(location)
    assert data_file(location).stat().st_ino == before
    with cas.open(location) as repository:
        assert "refs/" in check(repository).messages


def test_what_it_would_be_made_from_is_told_without_changing_anything(location: Path) -> None:
    packs = list(location.glob("packs/*/*"))
    source = cas.look_at_source(location)
    assert (source.packs, source.open_packs, source.volumes) == (len(packs), 0, 2)
    assert source.size == sum(pack.stat().st_size for pack in packs)
    assert source.problems == []
    flip(packs[0], packs[0].stat().st_size - 1)
    (problem,) = cas.look_at_source(location).problems
    assert packs[0].name in problem


def test_it_is_made_from_scanned_packs_where_footers_are_damaged(location: Path) -> None:
    for pack in location.glob("packs/*/*"):
        flip(pack, pack.stat().st_size - 1)
    cas.rebuild_index(location)
    with cas.open(location) as repository:
        told = check(repository, cas.Share())
        assert set(told.kinds) == {"damaged"}
        assert "footer" in told.messages
        assert told.affecteds == []
        with repository.volume("v").view() as view:
            assert view.open("file 2").read() == seeded_bytes(2, 100_000)


def test_there_has_to_be_a_repository(tmp_path: Path) -> None:
    with pytest.raises(cas.NotFoundError):
        cas.rebuild_index(tmp_path)


def test_kinds_of_packs_are_as_they_were(location: Path) -> None:
    shutil.rmtree(location / "local" / "catalog")
    cas.rebuild_index(location)
    found = {kind_of(pack) for pack in location.glob("packs/*/*")}
    assert found == {PackKind.DATA, PackKind.TREE}
