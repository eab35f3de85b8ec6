"""`casdav repair`: what it says and does, and how it ends."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.corpus import seeded_bytes
from tests.support.damage import chunk_id, damage_object, flip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

DATA = seeded_bytes(1, 10_000)


@pytest.fixture(autouse=True)
def _files(casdav: Casdav, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(DATA)
    (source / "other").write_bytes(b"other")
    casdav("import", source, "v:/")


def damage(casdav: Casdav) -> Path:
    return damage_object(casdav.store, chunk_id(casdav.store, DATA))


def test_a_sound_repository(casdav: Casdav) -> None:
    assert casdav("repair", "--yes").out == "nothing is damaged\n"


def test_what_is_lost_is_named_and_mended_by_another_import(casdav: Casdav, tmp_path: Path) -> None:
    pack = damage(casdav)
    ended = casdav("repair", "--yes", code=13)
    assert pack.name in ended.out
    assert "  v:/file\n" in ended.out
    assert "1 lost" in ended.out
    assert "store the same files again" in ended.err
    assert (casdav.store / "quarantine" / pack.name).exists()
    casdav("cat", "v:/file", code=13)
    assert casdav("cat", "v:/other").out == "other"
    assert "nothing was deleted" in casdav("gc", "--grace", "0s", code=13).err
    assert "every file is read again" in casdav("import", tmp_path / "source", "v:/").err
    casdav("check", "--read-data")
    assert casdav("cat", "v:/file").code == 0
    assert casdav("import", tmp_path / "source", "v:/").err == ""
    assert casdav("gc", "--grace", "0s").code == 0
    assert casdav("repair", "--yes").out == "nothing is damaged\n"


def test_a_dry_run_changes_nothing(casdav: Casdav) -> None:
    pack = damage(casdav)
    assert "would take" in casdav("repair", "--dry-run", code=None).out
    assert pack.exists()
    assert not (casdav.store / "quarantine").exists()


def test_in_json(casdav: Casdav) -> None:
    pack = damage(casdav)
    next(casdav.store.glob("refs/*")).unlink()
    lines = casdav("repair", "--yes", "--json", code=13).lines
    by_type = {line["message_type"]: line for line in lines}
    assert (by_type["pack"]["pack"], by_type["pack"]["lost"]) == (pack.name, 1)
    assert by_type["ref"]["ref"].startswith("refs/")
    assert by_type["affected"]["path"] == "file"
    summary = by_type["summary"]
    assert (summary["packs"], summary["refs"], summary["affected"]) == (1, 1, 1)


def test_a_repository_that_cannot_be_opened_is_opened_again(casdav: Casdav) -> None:
    shutil.rmtree(casdav.store / "local")
    for ref in casdav.store.glob("refs/*"):
        flip(ref, 50)
    assert "casdav repair" in casdav("ls", code=13).err
    assert "would make the catalog anew" in casdav("repair", "--dry-run", code=13).err
    casdav("ls", code=13)
    ended = casdav("repair", "--yes", code=13)
    assert "cannot be opened" in ended.err
    assert "given up" in ended.out
    assert casdav("cat", "v:/other").out == "other"
    casdav("check", "--read-data")


def test_a_catalog_that_cannot_be_opened_costs_nothing_else(casdav: Casdav) -> None:
    data = casdav.store / "local" / "catalog" / "data.mdb"
    data.write_bytes(seeded_bytes(1, data.stat().st_size))
    ended = casdav("repair", "--yes")
    assert "made the catalog anew" in ended.out
    assert "given up" not in ended.out
    assert casdav("cat", "v:/other").out == "other"


def test_what_a_new_catalog_mends_is_left_to_that(casdav: Casdav) -> None:
    with cas.open(casdav.store) as repository, repository.engine.catalog.write() as transaction:
        transaction.delete_location(chunk_id(casdav.store, DATA))
    assert "casdav index rebuild" in casdav("repair", "--yes", code=13).err
    assert "casdav index rebuild" in casdav("check", code=13).err
    casdav("index", "rebuild", "--yes")
    casdav("check")


def test_nothing_is_done_without_a_yes(casdav: Casdav) -> None:
    assert "--yes" in casdav("repair", code=2).err
