"""What goes in by `casdav import` comes out by `casdav export`, byte for byte."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tools.trees import Node, describe_tree, make_tree, trees

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

counter = itertools.count()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, other=trees)
def test_any_tree_comes_back_as_it_was_also_over_another(
    casdav: Casdav, tmp_path: Path, tree: dict[bytes, Node], other: dict[bytes, Node]
) -> None:
    work = tmp_path / str(next(counter))
    for name, held in [("first", tree), ("second", other)]:
        (work / name).mkdir(parents=True)
        make_tree(work / name, held)
    casdav("import", work / "first", f"v:/{work.name}")
    casdav("export", f"v:/{work.name}", work / "out")
    assert describe_tree(work / "out") == describe_tree(work / "first")
    casdav("import", "--delete", work / "second", f"v:/{work.name}")
    casdav("export", "--no-sync", f"v:/{work.name}", work / "other")
    assert describe_tree(work / "other") == describe_tree(work / "second")


def test_the_root_of_a_volume_comes_back_too(casdav: Casdav, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    source.chmod(0o750)
    os.utime(source, ns=(5, 5))
    casdav("import", source, "v:/")
    casdav("export", "v:/", tmp_path / "out")
    assert describe_tree(tmp_path / "out") == describe_tree(source)


def test_a_single_file_goes_in_and_out(casdav: Casdav, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3_000_000)
    (tmp_path / "a").chmod(0o640)
    os.utime(tmp_path / "a", ns=(7, 7))
    casdav("import", tmp_path / "a", "v:/deep/er/name")
    casdav("export", "v:/deep/er/name", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "a").stat().st_mode
    assert (tmp_path / "b").stat().st_mtime_ns == 7
    assert casdav("import", tmp_path / "a", "v:/", code=2).err.count("\n") == 1
    assert casdav("export", "v:/deep/er/name", tmp_path / "b", code=14).err.count("\n") == 1


@pytest.mark.parametrize("kept", [True, False])
def test_set_id_bits_of_files_come_back_only_when_asked(
    casdav: Casdav, tmp_path: Path, *, kept: bool
) -> None:
    (tmp_path / "source").mkdir()
    program = tmp_path / "source" / "program"
    program.write_text("#!")
    program.chmod(0o4755)
    casdav("import", tmp_path / "source", "v:/x")
    casdav("export", *(["--keep-set-id"] if kept else []), "v:/x", tmp_path / "out")
    mode = (tmp_path / "out" / "program").stat().st_mode & 0o7777
    assert mode == (0o4755 if kept else 0o755)


def test_hard_links_come_back_as_copies(casdav: Casdav, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("same")
    os.link(tmp_path / "source" / "a", tmp_path / "source" / "b")
    casdav("import", tmp_path / "source", "v:/x")
    casdav("export", "v:/x", tmp_path / "out")
    assert describe_tree(tmp_path / "out") == describe_tree(tmp_path / "source")
    assert (tmp_path / "out" / "a").stat().st_nlink == 1
