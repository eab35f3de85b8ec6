"""`casdav snapshot`, and the commands that look at a state it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import cas

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav


def put(casdav: Casdav, path: str, data: bytes) -> None:
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        with volume.edit() as edit:
            upload = volume.upload()
            upload.write(data)
            edit.put(path, upload)


@pytest.fixture(autouse=True)
def _two_states(casdav: Casdav) -> None:
    put(casdav, "file", b"old")
    casdav("snapshot", "create", "v", "before")
    put(casdav, "file", b"changed")
    put(casdav, "more", b"!")


def test_every_command_that_reads_takes_the_state_of_a_snapshot(
    casdav: Casdav, tmp_path: Path
) -> None:
    assert casdav("cat", "v@before:/file").out == "old"
    assert casdav("cat", "v:/file").out == "changed"
    assert casdav("ls", "v@before:/").out == "file\n"
    assert casdav("find", "v@before:/").out == "v@before:/\nv@before:/file\n"
    assert casdav("stat", "--json", "v@before:/file").document["size"] == 3
    assert casdav("du", "--json", "v@before:/").lines[0]["size"] == 3
    casdav("export", "v@before:/", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    assert (tmp_path / "out" / "file").read_bytes() == b"old"


def test_a_commit_is_a_state_too(casdav: Casdav) -> None:
    commit = casdav("snapshot", "show", "--json", "v", "before").document["commit"]
    assert casdav("cat", f"v@{commit}:/file").out == "old"
    assert "no commit" in casdav("cat", f"v@{'0' * 64}:/file", code=1).err


def test_a_state_that_is_not_known_is_named_with_what_to_do(casdav: Casdav) -> None:
    ended = casdav("ls", "v@never:/", code=1)
    assert "'never'" in ended.err
    assert "casdav snapshot list v" in ended.err


@pytest.mark.parametrize("command", ["import", "lock"])
def test_the_past_cannot_be_changed(casdav: Casdav, tmp_path: Path, command: str) -> None:
    words = ["import", tmp_path] if command == "import" else ["lock", "list"]
    assert "cannot be changed" in casdav(*words, "v@before:/", code=2).err


def test_without_a_name_it_is_named_by_the_time(casdav: Casdav) -> None:
    names = [casdav("snapshot", "create", "--json", "v").document["name"] for _ in range(2)]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\dZ(-\d+)?", name) for name in names)


def test_they_are_listed_by_age_shown_renamed_and_pinned(casdav: Casdav) -> None:
    casdav("snapshot", "create", "v", "after", "--pin")
    assert [one["name"] for one in casdav("snapshot", "list", "--json", "v").document] == [
        "before",
        "after",
    ]
    assert "pinned" in casdav("snapshot", "list", "v").out
    shown = casdav("snapshot", "show", "--json", "v", "after").document
    assert (shown["pinned"], shown["files"], shown["size"]) == (True, 2, 8)
    assert "2 files" in casdav("snapshot", "show", "v", "after").out
    casdav("snapshot", "pin", "v", "after", "--off")
    casdav("snapshot", "rename", "v", "after", "later")
    later = casdav("snapshot", "show", "--json", "v", "later").document
    assert later == {**shown, "name": "later", "pinned": False}


def test_deleting_takes_all_that_are_named_or_none(casdav: Casdav) -> None:
    casdav("snapshot", "create", "v", "after")
    casdav("snapshot", "delete", "v", "before", "missing", "--yes", code=1)
    casdav("snapshot", "delete", "v", "before", "--dry-run")
    assert len(casdav("snapshot", "list", "--json", "v").document) == 2
    casdav("snapshot", "delete", "v", "before", "after", "--yes")
    assert casdav("snapshot", "list", "--json", "v").document == []
    assert casdav("cat", "v:/file").out == "changed"


def test_names_are_refused_before_anything_changes(casdav: Casdav) -> None:
    assert "already" in casdav("snapshot", "create", "v", "before", code=None).err
    assert "cannot be a snapshot's name" in casdav("snapshot", "create", "v", "a/b", code=None).err
    casdav("snapshot", "create", "v", "after")
    assert "already" in casdav("snapshot", "rename", "v", "after", "before", code=None).err
    assert casdav("snapshot", "pin", "v", "missing", code=1).err.count("\n") == 1
    assert len(casdav("snapshot", "list", "--json", "v").document) == 2
