"""`casdav diff`: added, removed, changed and moved, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import cas

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav

FILES = {"d/x": b"x", "d/y": b"yy", "gone": b"gone", "mode": b"", "kind": b"", "same": b"same"}


def put(volume: cas.Volume, edit: cas.Edit, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    edit.put(path, upload)


@pytest.fixture
def changed(casdav: Casdav) -> Casdav:
    """A volume `v` with the snapshots `before` and `after`, and every kind of difference."""
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        with volume.edit() as edit:
            edit.make_directory("d")
            edit.make_directory("old")
            for path, data in FILES.items():
                put(volume, edit, path, data)
        volume.create_snapshot("before")
        with volume.edit() as edit:
            edit.move("d", "moved")
            put(volume, edit, "moved/x", b"other")
            edit.make_directory("new")
            put(volume, edit, "new/file", b"12345")
            edit.move("moved/y", "new/y")
            edit.remove("gone")
            edit.set_properties("mode", mode=0o600, mtime_ns=1)
            edit.remove("kind")
            edit.make_symlink("kind", "same")
            edit.set_properties("old", mode=0o700)
        volume.create_snapshot("after")
    return casdav


LINES = """\
R  /d/ -> /moved/
M  /moved/x
R  /d/y -> /new/y
-  /gone
T  /kind  (kind, modified, mode, created)
U  /mode  (modified, mode)
+  /new/
U  /old/  (mode)
"""


def test_each_difference_is_a_line(changed: Casdav) -> None:
    assert changed("diff", "v@before", "v@after").out == LINES
    assert changed("diff", "v@before").out == LINES
    assert changed("diff", "v@before", "v@before").out == ""


def test_backwards_a_move_goes_back(changed: Casdav) -> None:
    lines = changed("diff", "v@after", "v@before").out.splitlines()
    assert lines[0] == "R  /moved/ -> /d/"
    assert lines[2] == "R  /new/y -> /d/y"
    assert "-  /new/" in lines


def test_sums_do_not_count_what_was_moved(changed: Casdav) -> None:
    out = changed("diff", "v@before", "v@after", "--stat").out
    assert out == (
        "added:    1 files, 1 folders, 5 B\n"
        "removed:  1 files, 0 folders, 4 B\n"
        "changed:  2, and 2 in metadata alone\n"
        "moved:    2\n"
    )


def test_json_has_every_member(changed: Casdav) -> None:
    *lines, summary = changed("diff", "--json", "v@before", "v@after").lines
    assert {line["message_type"] for line in lines} == {"difference"}
    by_path: dict[str, Any] = {line["path"]: line for line in lines}
    assert by_path["moved"] == {
        "message_type": "difference",
        "change": "moved",
        "path": "moved",
        "kind": "folder",
        "what": [],
        "old_size": 3,
        "size": 5,
        "source": "d",
        "files": 1,
        "folders": 0,
    }
    assert by_path["moved/x"]["what"] == ["content", "modified"]
    assert (by_path["gone"]["change"], by_path["gone"]["size"]) == ("removed", None)
    assert by_path["kind"]["kind"] == "symlink"
    assert (summary["message_type"], summary["moved"], summary["files_added"]) == ("summary", 2, 1)


def test_below_a_path_and_between_two(changed: Casdav) -> None:
    assert changed("diff", "v@before:/mode", "v:/mode").out == "U  /mode  (modified, mode)\n"
    assert changed("diff", "v@before:/d", "v:/moved").out == "M  /moved/x\n-  /d/y\n"
    assert changed("diff", "v@before:/new").out == "+  /new/\n"
    assert "nowhere" in changed("diff", "v@before:/nowhere", code=1).err
    assert "v:/nowhere" in changed("diff", "v@before:/d", "v:/nowhere", code=1).err
    assert "never" in changed("diff", "v@never", code=1).err


def test_another_volume_by_content(changed: Casdav) -> None:
    with cas.open(changed.store) as repository:
        volume, other = repository.volume("v"), repository.create_volume("w")
        with volume.view() as view, other.edit() as edit:
            edit.attach("moved", view.entry("moved"), epoch=view.epoch, nodes=view.nodes)
            edit.attach("n", view.entry("new"), epoch=view.epoch, nodes=view.nodes)
    lines = changed("diff", "v", "w").out.splitlines()
    assert lines[0] == "R  /new/ -> /n/"
    assert "-  /same" in lines
    assert not any("moved" in line for line in lines)
