"""What an import takes out of a volume: what it was told to, and what something new replaces."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tools import importer
from tools.source_tree import look_up

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "folder" / "empty").mkdir(parents=True)
    (top / "a").write_text("a")
    (top / "folder" / "b").write_bytes(b"b" * 200_000)
    (top / "link").symlink_to("a")
    return top


def listed(casdav: Casdav, place: str = "v:/x") -> list[str]:
    return [line["path"] for line in casdav("ls", "-R", "--json", place).lines]


def test_nothing_is_deleted_unless_asked_and_never_what_is_excluded(
    casdav: Casdav, source: Path
) -> None:
    casdav("import", source, "v:/x")
    (source / "a").unlink()
    shutil.rmtree(source / "folder")
    casdav("import", source, "v:/x")
    assert "x/a" in listed(casdav)
    dry = casdav("import", "--delete", "--dry-run", source, "v:/x")
    assert "- a\n" in dry.out
    assert "x/a" in listed(casdav)
    casdav("import", "--delete", "--exclude", "folder", source, "v:/x")
    assert "x/a" not in listed(casdav)
    assert "x/folder/b" in listed(casdav)
    casdav("import", "--delete", source, "v:/x")
    assert listed(casdav) == ["x/link"]


def test_what_is_excluded_is_not_deleted_with_the_folder_around_it(
    casdav: Casdav, source: Path
) -> None:
    (source / "folder" / "kept.log").write_text("kept")
    (source / "folder" / "below").mkdir()
    (source / "folder" / "below" / "c").write_text("c")
    casdav("import", source, "v:/x")
    shutil.rmtree(source / "folder")
    shutil.rmtree(source / "empty", ignore_errors=True)
    exclude = ("--delete", "--exclude", "*.log")
    dry = casdav("import", "-n", *exclude, source, "v:/x")
    assert "- folder/b\n" in dry.out
    assert "- folder\n" not in dry.out
    casdav("import", *exclude, source, "v:/x")
    assert listed(casdav) == ["x/a", "x/folder", "x/folder/kept.log", "x/link"]
    (source / "folder").write_text("a file now")
    ended = casdav("import", *exclude, source, "v:/x", code=3)
    assert "folder: " in ended.err
    assert "x/folder/kept.log" in listed(casdav)


def test_kinds_change_but_a_full_folder_stays(casdav: Casdav, source: Path) -> None:
    casdav("import", source, "v:/x")
    (source / "a").unlink()
    (source / "a").mkdir()
    (source / "link").unlink()
    (source / "link").write_text("file now")
    shutil.rmtree(source / "folder" / "empty")
    (source / "folder" / "empty").symlink_to("b")
    casdav("import", source, "v:/x")
    shutil.rmtree(source / "folder")
    (source / "folder").write_text("file now")
    ended = casdav("import", source, "v:/x", code=3)
    assert "folder: a folder that is not empty has this name" in ended.err
    kinds = {line["path"]: line["kind"] for line in casdav("ls", "-R", "--json", "v:/x").lines}
    assert kinds == {
        "x/a": "folder",
        "x/folder": "folder",
        "x/folder/b": "file",
        "x/folder/empty": "symlink",
        "x/link": "file",
    }
    casdav("import", "--delete", source, "v:/x")
    assert casdav("cat", "v:/x/folder").out == "file now"


def test_what_is_to_be_replaced_stays_if_what_replaces_it_cannot_be_read(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casdav("import", source, "v:/x")
    (source / "link").unlink()
    (source / "link").touch()
    (source / "folder" / "empty").rmdir()
    (source / "folder" / "empty").touch()
    (source / "a").unlink()
    (source / "a").mkdir()

    def vanish(parent: int, name: str) -> os.stat_result:
        status = look_up(parent, name)
        if name in {"link", "empty"}:
            os.unlink(name, dir_fd=parent)
        elif name == "a":
            os.rmdir(name, dir_fd=parent)
        return status

    monkeypatch.setattr(importer, "look_up", vanish)
    before = listed(casdav)
    assert casdav("import", source, "v:/x", code=3).err.count("No such file") == 3
    assert listed(casdav) == before


@pytest.mark.parametrize("kind", ["file", "link", "nothing"])
def test_what_others_put_meanwhile_is_not_removed(
    casdav: Casdav, source: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "folder" / "last").touch()
    casdav("import", source, "v:/x")
    (source / "folder" / "empty").rmdir()
    if kind == "file":
        (source / "folder" / "empty").touch()
    elif kind == "link":
        (source / "folder" / "empty").symlink_to("b")

    def put(parent: int, name: str) -> os.stat_result:
        if name == "last":  # the folder is to go, but that is not committed yet
            with cas.open(casdav.store) as repository, repository.volume("v").edit() as edit:
                edit.put("x/folder/empty/own", cas.EMPTY_CONTENT)
        return look_up(parent, name)

    monkeypatch.setattr(importer, "look_up", put)
    delete = ["--delete"] if kind == "nothing" else []
    ended = casdav("import", *delete, source, "v:/x", code=3)
    assert "x/folder/empty/own" in listed(casdav)
    assert ended.err.count("folder/empty: it has changed in the volume meanwhile") == 1
    assert ended.err.count("\n") == 2
