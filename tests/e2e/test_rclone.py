"""rclone copies, checks, syncs and moves a tree over the drive, and finds it as it was."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.processes import run_casdav
from tests.support.rclone import REMOTE, Rclone, find_rclone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Server

pytestmark = pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")

NAMES: Final = [
    "plain.txt",
    "with space.txt",
    "deep/er/est/file.bin",
    "reserved #?;%+&<>'.txt",
    "percent %41 %zz.txt",
    "日本語/naïve — Ωmega.txt",
    "name of 255 bytes " + "x" * 237,
]
HALF_A_MEBIBYTE: Final = 1 << 19
LONG_AGO_NS: Final = 1_234_567_890_123_456_789


def make_tree(root: Path) -> Path:
    content = random.Random(20261122)
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(content.randrange(HALF_A_MEBIBYTE)))
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    (root / "empty.txt").touch()
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def rclone(server: Server) -> Rclone:
    return Rclone(server)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def test_a_copied_tree_comes_back_byte_for_byte(rclone: Rclone, tree: Path, tmp_path: Path) -> None:
    rclone.run("copy", tree, REMOTE + "tree")
    rclone.run("check", "--download", tree, REMOTE + "tree")
    rclone.run("copy", REMOTE + "tree", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)


def test_times_are_kept_to_the_second_for_the_vendor_owncloud(
    rclone: Rclone, tree: Path, tmp_path: Path
) -> None:
    rclone.run("copy", tree, REMOTE + "tree")
    rclone.run("copy", REMOTE + "tree", tmp_path / "back")
    times = {int((tmp_path / "back" / name).stat().st_mtime) for name in NAMES}
    assert times == {LONG_AGO_NS // 1_000_000_000}


def test_a_second_sync_of_an_unchanged_tree_transfers_nothing(rclone: Rclone, tree: Path) -> None:
    rclone.run("sync", tree, REMOTE + "tree")
    again = rclone.run("sync", "-v", tree, REMOTE + "tree")
    assert "There was nothing to transfer" in again.stderr


def test_sync_carries_changes_and_removals(rclone: Rclone, tree: Path, tmp_path: Path) -> None:
    rclone.run("sync", tree, REMOTE + "tree")
    (tree / "plain.txt").write_text("changed")
    (tree / "with space.txt").unlink()
    rclone.run("sync", tree, REMOTE + "tree")
    rclone.run("copy", REMOTE + "tree", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)


def test_a_moved_folder_is_found_under_its_new_name_only(rclone: Rclone, tree: Path) -> None:
    rclone.run("copy", tree, REMOTE + "before")
    rclone.run("moveto", REMOTE + "before", REMOTE + "after")
    rclone.run("check", "--download", tree, REMOTE + "after")
    folders = rclone.run("lsf", "--dirs-only", REMOTE).stdout.split()
    assert folders == ["after/"]


def test_a_server_side_copy_is_whole(rclone: Rclone, tree: Path) -> None:
    rclone.run("copy", tree, REMOTE + "first")
    rclone.run("copy", REMOTE + "first", REMOTE + "second")
    rclone.run("check", "--download", tree, REMOTE + "second")


def test_a_snapshot_is_browsed_checked_and_copied_from(
    rclone: Rclone, server: Server, tree: Path
) -> None:
    rclone.run("copy", tree, f"{REMOTE}tree")
    run_casdav("snapshot", "create", server.user, "monday", store=server.store)
    rclone.run("purge", f"{REMOTE}tree")
    past = f"{REMOTE}.snapshots/monday"
    assert rclone.run("lsf", f"{REMOTE}.snapshots").stdout.split() == ["monday/"]
    listed = rclone.run("lsf", "-R", "--files-only", f"{past}/tree").stdout.splitlines()
    assert sorted(listed) == sorted([*NAMES, "empty.txt"])
    assert rclone.run("lsf", REMOTE).stdout == ""
    rclone.run("check", "--download", tree, f"{past}/tree")
    assert rclone.run("copy", tree, f"{past}/new", check=False).returncode != 0
    rclone.run("copy", f"{past}/tree", f"{REMOTE}restored")
    rclone.run("check", "--download", tree, f"{REMOTE}restored")
