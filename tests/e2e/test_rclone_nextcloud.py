"""rclone takes the server for a Nextcloud: big files go up in chunks that can be sent again."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.network import LOOPBACK
from tests.support.rclone import REMOTE, Rclone, find_rclone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Server

pytestmark = pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")

MEBIBYTE: Final = 1 << 20
LONG_AGO: Final = 1_234_567_890
IN_CHUNKS: Final = "--webdav-nextcloud-chunk-size=10Mi"


@pytest.fixture
def rclone(server: Server) -> Rclone:
    url = f"http://{LOOPBACK}:{server.port}/remote.php/dav/files/{server.user}/"
    return Rclone(server, vendor="nextcloud", url=url)


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "big #1 ü.bin"
    path.parent.mkdir()
    path.write_bytes(random.Random(9).randbytes(34 * MEBIBYTE + 17))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_a_file_of_several_chunks_is_whole_and_keeps_its_time(
    rclone: Rclone, server: Server, big_file: Path, tmp_path: Path
) -> None:
    rclone.run("copy", IN_CHUNKS, big_file.parent, REMOTE + "folder")
    assert server.log.count("PUT /remote.php/dav/uploads/") == 4
    rclone.run("check", "--download", big_file.parent, REMOTE + "folder")
    rclone.run("copy", REMOTE + "folder", tmp_path / "back")
    assert int((tmp_path / "back" / big_file.name).stat().st_mtime) == LONG_AGO


def test_a_file_of_several_chunks_replaces_the_one_before(rclone: Rclone, big_file: Path) -> None:
    rclone.run("copy", IN_CHUNKS, big_file.parent, REMOTE + "folder")
    big_file.write_bytes(b"in front" + big_file.read_bytes())
    rclone.run("copy", IN_CHUNKS, big_file.parent, REMOTE + "folder")
    rclone.run("check", "--download", big_file.parent, REMOTE + "folder")
    again = rclone.run("copy", "-v", IN_CHUNKS, big_file.parent, REMOTE + "folder")
    assert "There was nothing to transfer" in again.stderr


def test_what_lies_under_the_other_address_is_the_same_home(
    rclone: Rclone, server: Server, big_file: Path
) -> None:
    rclone.run("copy", IN_CHUNKS, big_file.parent, REMOTE + "folder")
    Rclone(server).run("check", "--download", big_file.parent, REMOTE + "folder")
    Rclone(server).run("moveto", REMOTE + "folder", REMOTE + "moved")
    assert rclone.run("lsf", REMOTE).stdout.split() == ["moved/"]
