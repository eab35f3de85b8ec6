from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tools.trees import describe_tree
from tools.target_tree import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


@pytest.fixture
def filled(casdav: Casdav, tmp_path: Path) -> Path:
    """A source directory whose content is in `v:/x`."""
    top = tmp_path / "source"
    (top / "folder").mkdir(parents=True)
    (top / "a").write_text("a")
    (top / "b").write_bytes(os.urandom(3_000_000))
    (top / "folder" / "c").write_text("c")
    (top / "link").symlink_to("a")
    casdav("import", top, "v:/x")
    return top


def test_nothing_is_overwritten_unless_asked(casdav: Casdav, filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("mine")
    (out / "other").write_text("stays")
    assert "--overwrite" in casdav("export", "v:/x", out, code=14).err
    assert (out / "a").read_text() == "mine"
    dry = casdav("export", "--overwrite", "--dry-run", "v:/x", out)
    assert "~ x/a\n+ x/b\n" in dry.out
    assert (out / "a").read_text() == "mine"
    casdav("export", "--overwrite", "v:/x", out)
    assert (out / "a").read_text() == "a"
    assert (out / "other").read_text() == "stays"
    (out / "other").unlink()
    os.utime(out, ns=(0, filled.stat().st_mtime_ns))
    assert describe_tree(out) == describe_tree(filled)


def test_an_export_over_an_earlier_one_writes_into_read_only_folders(
    casdav: Casdav, filled: Path, tmp_path: Path
) -> None:
    (filled / "folder").chmod(0o500)
    casdav("import", filled, "v:/x")
    casdav("export", "v:/x", tmp_path / "out")
    casdav("export", "--overwrite", "v:/x", tmp_path / "out")
    assert describe_tree(tmp_path / "out") == describe_tree(filled)


def test_nothing_is_written_through_a_link(casdav: Casdav, filled: Path, tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.mkdir()
    (victim / "c").write_text("precious")
    (out / "folder").symlink_to(victim)
    (out / "a").symlink_to(victim / "c")
    casdav("export", "--overwrite", "v:/x", out)
    assert (victim / "c").read_text() == "precious"
    assert describe_tree(out) == describe_tree(filled)


def test_a_folder_is_not_replaced_by_a_file(casdav: Casdav, filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    ended = casdav("export", "--overwrite", "v:/x", out, code=3)
    assert "x/a: a folder has this name already" in ended.err
    assert (out / "b").read_bytes() == (filled / "b").read_bytes()


@pytest.mark.plain
def test_damage_is_named_and_the_rest_comes_out(
    casdav: Casdav, filled: Path, tmp_path: Path
) -> None:
    flip_bits_of(casdav.store, (filled / "b").read_bytes()[1_000_000:1_000_032])
    ended = casdav("export", "--json", "v:/x", tmp_path / "out", code=3)
    [problem, summary] = ended.lines
    assert problem["path"] == "x/b"
    assert (summary["files"], summary["problems"]) == (2, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "folder", "link"]
    assert casdav("cat", "v:/x/b", code=13).err.count("\n") == 1


def flip_bits_of(store: Path, needle: bytes) -> None:
    """Damage the stored bytes that hold the needle, which is not compressible."""
    for path in store.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        at = content.find(needle)
        if at >= 0 and "packs" in path.parts:
            path.chmod(0o600)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            return
    pytest.fail("the content was not found in a pack")


@pytest.mark.plain
def test_no_unfinished_file_stays(casdav: Casdav, filled: Path, tmp_path: Path) -> None:
    flip_bits_of(casdav.store, (filled / "b").read_bytes()[2_900_000:2_900_032])
    casdav("export", "v:/x", tmp_path / "out", code=3)
    names = [path.name for path in (tmp_path / "out").rglob("*")]
    assert not [name for name in names if name.startswith(TEMPORARY_PREFIX)]


def test_what_is_not_there_is_one_line(casdav: Casdav, tmp_path: Path) -> None:
    for place in ("v:/nothing", "w:/"):
        ended = casdav("export", place, tmp_path / "out", code=1)
        assert ended.err.startswith("casdav: there is no ")
        assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("filled")
def test_a_place_without_rights_is_one_line(casdav: Casdav, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    code, errors = casdav.without_rights("export", "v:/x", tmp_path / "shut" / "out")
    assert (code, errors.count("\n")) == (1, 1)
    assert "Permission denied" in errors
