"""The drive mounted by rclone, with programs at work in it that know nothing of WebDAV."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import free_port, wait_until
from tests.support.network import LOOPBACK
from tests.support.programs import needs, run_program
from tests.support.rclone import REMOTE, Rclone, find_rclone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Server

pytestmark = [
    pytest.mark.debian,
    needs("fusermount3", "rsync", "tar"),
    pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse"),
]

FILES = 60


def make_tree(root: Path) -> Path:
    content = random.Random(11)
    for number in range(FILES):
        path = root / f"folder {number % 7}" / f"datei ü {number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(content.randrange(200_000)))
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    return root


def times(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): int(path.stat().st_mtime) for path in root.rglob("*.bin")
    }


@contextmanager
def mounted(rclone: Rclone, directory: Path) -> Iterator[Path]:
    """Mount the home until the end of the block; when it ends, everything has been uploaded."""
    folder = directory / "mnt"
    folder.mkdir(exist_ok=True)
    control = f"{LOOPBACK}:{free_port()}"
    options = ["--vfs-cache-mode=full", "--vfs-write-back=1s", f"--cache-dir={directory / 'cache'}"]
    remote_control = ["--rc", f"--rc-addr={control}", "--rc-no-auth"]

    def is_uploaded() -> bool:
        answer = rclone.run("rc", f"--url=http://{control}/", "vfs/stats").stdout
        cache = json.loads(answer)["diskCache"]
        return not cache["uploadsInProgress"] and not cache["uploadsQueued"]

    with rclone.start("mount", *options, *remote_control, REMOTE, folder) as process:
        wait_until(lambda: folder.is_mount() or process.poll() is not None, "the mount")
        assert process.poll() is None, "rclone mount ended"
        try:
            yield folder
            wait_until(is_uploaded, "the uploads", timeout_seconds=120)
        finally:
            run_program("fusermount3", "-u", "-z", folder)
            assert process.wait(timeout=120) == 0


@pytest.fixture
def rclone(server: Server) -> Rclone:
    return Rclone(server)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def test_an_unpacked_archive_is_the_tree_that_was_packed(
    rclone: Rclone, tree: Path, tmp_path: Path
) -> None:
    run_program("tar", "-czf", tmp_path / "tree.tgz", "-C", tree, ".")
    with mounted(rclone, tmp_path) as folder:
        (folder / "unpacked").mkdir()
        run_program("tar", "-xzf", tmp_path / "tree.tgz", "-C", folder / "unpacked", "-o")
    rclone.run("check", "--download", tree, REMOTE + "unpacked")
    # While uploads end, folders get new times, at which tar would complain: so, a new mount.
    with mounted(rclone, tmp_path) as folder:
        run_program("tar", "-cf", tmp_path / "again.tar", "-C", folder / "unpacked", ".")
    (tmp_path / "back").mkdir()
    run_program("tar", "-xf", tmp_path / "again.tar", "-C", tmp_path / "back")
    run_program("diff", "-r", tree, tmp_path / "back")
    assert times(tmp_path / "back") == times(tree)


def test_rsync_brings_a_tree_and_then_only_what_changed(
    rclone: Rclone, tree: Path, tmp_path: Path
) -> None:
    rsync = ["rsync", "-rt", "--modify-window=1", "--inplace", "--stats", "--delete", f"{tree}/"]
    with mounted(rclone, tmp_path) as folder:
        run_program(*rsync, folder / "synced")
    changed = next(path for path in sorted(tree.rglob("*.bin")) if path.stat().st_size)
    changed.write_bytes(b"new")
    next(path for path in sorted(tree.rglob("*.bin")) if path != changed).unlink()
    with mounted(rclone, tmp_path) as folder:
        printed = run_program(*rsync, folder / "synced").stdout
        run_program("diff", "-r", tree, folder / "synced")
    assert "Number of regular files transferred: 1\n" in printed
    rclone.run("check", "--download", tree, REMOTE + "synced")


def test_a_database_works_in_the_mount(rclone: Rclone, tmp_path: Path) -> None:
    with (
        mounted(rclone, tmp_path) as folder,
        closing(sqlite3.connect(folder / "numbers.db")) as database,
    ):
        database.execute("CREATE TABLE numbers (number INTEGER, word TEXT)")
        for number in range(20):
            with database:
                rows = [(number * 100 + item, f"word {item}" * 20) for item in range(100)]
                database.executemany("INSERT INTO numbers VALUES (?, ?)", rows)
        with database:
            database.execute("DELETE FROM numbers WHERE number % 2")
    rclone.run("copy", REMOTE + "numbers.db", tmp_path / "back")
    with closing(sqlite3.connect(tmp_path / "back" / "numbers.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*), sum(number) FROM numbers").fetchone() == (
            1000,
            999_000,
        )
