"""`casdav index rebuild`: what it says, and when it refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cas
from tests.support.damage import flip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav


def damage_catalog(casdav: Casdav) -> Path:
    data = casdav.store / "local" / "catalog" / "data.mdb"
    os.truncate(data, data.stat().st_size // 3)
    return data


def test_a_damaged_catalog_is_reported_and_made_anew(casdav: Casdav) -> None:
    damage_catalog(casdav)
    assert "casdav index rebuild" in casdav("ls", code=13).err
    assert "made the catalog anew" in casdav("index", "rebuild", "--yes").out
    assert "v" in casdav("ls").out
    casdav("check")


def test_a_dry_run_changes_nothing(casdav: Casdav) -> None:
    data = damage_catalog(casdav)
    size = data.stat().st_size
    pack = next(casdav.store.glob("packs/*/*"))
    flip(pack, pack.stat().st_size - 1)
    ended = casdav("index", "rebuild", "--dry-run")
    assert "would make the catalog anew" in ended.out
    assert pack.name in ended.out
    document = casdav("index", "rebuild", "-n", "--json").document
    assert (document["rebuilt"], document["objects"]) == (False, None)
    assert len(document["problems"]) == 1
    assert data.stat().st_size == size


def test_nothing_is_done_without_a_yes(casdav: Casdav) -> None:
    assert "--yes" in casdav("index", "rebuild", code=2).err


def test_it_is_refused_while_the_repository_is_open(casdav: Casdav) -> None:
    with cas.open(casdav.store):
        assert str(os.getpid()) in casdav("index", "rebuild", "--yes", code=11).err
        assert str(os.getpid()) in casdav("index", "rebuild", "--dry-run").out


def test_in_json(casdav: Casdav) -> None:
    document = casdav("index", "rebuild", "--yes", "--json").document
    assert document["rebuilt"]
    assert document["objects"] > 0
    assert document["packs"] == len(list(casdav.store.glob("packs/*/*")))


def test_no_repository_is_10(casdav: Casdav, tmp_path: Path) -> None:
    casdav("index", "rebuild", "--yes", "--store", tmp_path, code=10)
