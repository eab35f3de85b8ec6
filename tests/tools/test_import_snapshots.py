"""`casdav import --snapshot`: a name for the volume as it is afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    top.mkdir()
    (top / "a").write_text("a")
    return top


def snapshots(casdav: Casdav) -> list[str]:
    return [line["name"] for line in casdav("snapshot", "list", "--json", "v").document]


def test_the_snapshot_holds_what_was_imported(casdav: Casdav, source: Path) -> None:
    ended = casdav("import", "--snapshot", "one", source, "v:/x")
    assert "made the snapshot v@one" in ended.out
    (source / "b").write_text("b")
    summary = casdav("import", "--json", "--snapshot", "two", source, "v:/x").lines[-1]
    assert (summary["message_type"], summary["snapshot"]) == ("summary", "two")
    assert snapshots(casdav) == ["one", "two"]
    assert casdav("ls", "v@one:/x").out.split() == ["a"]
    assert casdav("ls", "v@two:/x").out.split() == ["a", "b"]
    assert casdav("import", "--json", source, "v:/x").lines[-1]["snapshot"] is None


def test_one_that_changes_nothing_makes_it_too(casdav: Casdav, source: Path) -> None:
    casdav("import", source, "v:/x")
    casdav("import", "--snapshot", "same", source, "v:/x")
    assert snapshots(casdav) == ["same"]


@pytest.mark.parametrize("name", ["taken", "a/b", "", "ä", "x" * 256])
def test_a_name_that_cannot_be_is_refused_before_anything_is_done(
    casdav: Casdav, source: Path, name: str
) -> None:
    casdav("snapshot", "create", "v", "taken")
    for more in ([], ["--dry-run"]):
        ended = casdav("import", *more, "--snapshot", name, source, "v:/x", code=None)
        assert ended.code not in {0, 3}
        assert "name" in ended.err or "already" in ended.err
    assert snapshots(casdav) == ["taken"]
    assert casdav("ls", "v:/").out == ""


def test_a_dry_run_makes_none(casdav: Casdav, source: Path) -> None:
    ended = casdav("import", "--dry-run", "--snapshot", "one", source, "v:/x")
    assert "would make the snapshot v@one" in ended.out
    assert snapshots(casdav) == []


def test_problems_do_not_prevent_it(casdav: Casdav, source: Path) -> None:
    os.mkfifo(source / "pipe")
    casdav("import", "--snapshot", "one", source, "v:/x", code=3)
    assert "a" in casdav("ls", "v@one:/x").out.split()


def test_an_import_that_fails_makes_none(casdav: Casdav, source: Path) -> None:
    casdav("import", source / "a", "v:/file")
    casdav("import", "--snapshot", "one", source, "v:/file", code=None)
    assert snapshots(casdav) == []
