"""A full disk under the drive: 507, nothing lost, and it goes on once there is room."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import Server, running_server
from tests.support.disks import resize_disk, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEBIBYTE: Final = 1 << 20
DISK_BYTES: Final = 96 * MEBIBYTE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as directory:
        yield directory


def fill(server: Server, size: int, prefix: str) -> dict[str, bytes]:
    """PUT files until the server says 507; return what it acknowledged."""
    content = random.Random(size)
    stored: dict[str, bytes] = {}
    while True:
        name = f"{prefix}{len(stored)}"
        body = content.randbytes(size)
        status = server.request("PUT", name, body)[0]
        if status == 507:
            return stored
        assert status == 201
        stored[name] = body


def lost(server: Server, stored: dict[str, bytes]) -> list[str]:
    return [name for name, body in stored.items() if server.request("GET", name)[2] != body]


def test_a_full_disk_is_507_and_nothing_is_lost(disk: Path) -> None:
    with running_server(disk / "store") as server:
        stored = fill(server, 7 * MEBIBYTE, "large") | fill(server, 100_000, "middle")
        assert stored
        assert lost(server, stored) == []
        assert server.request("GET", f"large{len(stored)}")[0] == 404
        # Looking and removing go on.
        assert server.request("PROPFIND", "", headers={"Depth": "1"})[0] == 207
        removed = "large0"
        assert server.request("DELETE", removed)[0] == 204
        del stored[removed]
        # A restart, and a crash, on the full disk.
        for end in (server.stop, server.kill):
            end()
            server.start()
            assert lost(server, stored) == []
        resize_disk(disk, 2 * DISK_BYTES)
        assert server.request("PUT", "after", b"works again" * 1000)[0] == 201
        stored["after"] = b"works again" * 1000
        stored["after_large"] = random.Random(19).randbytes(20 * MEBIBYTE)
        assert server.request("PUT", "after_large", stored["after_large"])[0] == 201
        assert lost(server, stored) == []


def test_an_upload_that_cannot_fit_is_refused_before_it_fills_the_disk(disk: Path) -> None:
    with running_server(disk / "store") as server:
        assert server.request("PUT", "file", b"old")[0] == 201
        before = shutil.disk_usage(disk).used
        status, _, body = server.request("PUT", "file", bytes(2 * DISK_BYTES))
        assert status == 507
        assert b"sufficient-disk-space" in body
        assert shutil.disk_usage(disk).used - before < MEBIBYTE
        assert server.request("GET", "file")[2] == b"old"
        assert server.request("PUT", "file", b"new")[0] == 204


def test_an_upload_without_a_length_that_does_not_fit_leaves_the_old_file(disk: Path) -> None:
    with running_server(disk / "store") as server:
        assert server.request("PUT", "file", b"old")[0] == 201
        content = random.Random(18)
        pieces = (content.randbytes(MEBIBYTE) for _ in range(2 * DISK_BYTES // MEBIBYTE))
        assert server.request("PUT", "file", pieces)[0] == 507
        assert server.request("GET", "file")[2] == b"old"
        resize_disk(disk, 2 * DISK_BYTES)
        assert server.request("PUT", "file", b"new")[0] == 204
