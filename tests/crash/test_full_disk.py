"""A full disk: StoreFullError, nothing lost, and it works again after room was made."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

import cas
from tests.support.corpus import seeded_bytes
from tests.support.processes import run_casdav
from tools.exits import Exit

MiB: Final = 1024 * 1024
DISK_SIZE: Final = 48 * MiB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "casdav-test", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root, and a kernel that lets it")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    with volume.upload() as upload:
        for start in range(0, len(data), MiB):
            upload.write(data[start : start + MiB])
        with volume.edit() as edit:
            edit.put(path, upload)


def read_all(volume: cas.Volume) -> dict[str, bytes]:
    found = {}
    with volume.view() as view:
        for path, entry in view.walk():
            if entry.is_file:
                with view.open(path) as reader:
                    found[path] = reader.read()
    return found


def fill(volume: cas.Volume, size: int) -> dict[str, bytes]:
    """Put files until the disk is full; return what was acknowledged."""
    stored: dict[str, bytes] = {}
    for seed in count():
        data = seeded_bytes(seed, size)
        try:
            put(volume, f"file {seed}", data)
        except cas.StoreFullError:
            return stored
        stored[f"file {seed}"] = data
    raise AssertionError


@pytest.mark.parametrize("size", [3_000, 100_000, 5 * MiB])
def test_uploads_that_fill_the_disk_lose_nothing(disk: Path, size: int) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(36 * MiB if size < MiB else 8 * MiB))
    with cas.create(disk / "store") as repository:
        volume = repository.create_volume("v")
        stored = fill(volume, size)
        assert read_all(volume) == stored
        # Looking, removing and restarting work on a full disk.
        gone = min(stored)
        with volume.edit() as edit:
            edit.remove(gone)
        del stored[gone]
    with cas.open(disk / "store") as repository:
        assert read_all(repository.volume("v")) == stored
    ballast.unlink()
    with cas.open(disk / "store") as repository:
        volume = repository.volume("v")
        put(volume, "after", b"there is room again")
        stored["after"] = b"there is room again"
        repository.checkpoint()
        assert read_all(volume) == stored
    shutil.rmtree(disk / "store" / "local" / "catalog")
    with cas.open(disk / "store") as repository:
        assert read_all(repository.volume("v")) == stored


@pytest.mark.parametrize("free", range(0, 3_600_000, 400_000))
def test_a_disk_that_others_fill_loses_nothing(disk: Path, free: int) -> None:
    """Whatever room there is, a commit or checkpoint works or fails as a whole."""
    ballast = disk / "ballast"
    with cas.create(disk / "store") as repository:
        volume = repository.create_volume("v")
        stored = {"first": seeded_bytes(0, 400_000)}
        put(volume, "first", stored["first"])
        state = os.statvfs(disk)
        ballast.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - free)))
        for seed in range(1, 25):
            data = seeded_bytes(seed, 90_000)
            with contextlib.suppress(cas.StoreFullError):
                put(volume, f"file {seed}", data)
                stored[f"file {seed}"] = data
            with contextlib.suppress(cas.StoreFullError), volume.edit() as edit:
                for number in range(100):
                    edit.make_directory(f"folders/{seed}/{number}", parents=True)
            if seed % 4 == 0:
                with contextlib.suppress(cas.StoreFullError):
                    repository.checkpoint()
            assert read_all(volume) == stored
        ballast.unlink()
        put(volume, "after", b"room")
        stored["after"] = b"room"
        repository.checkpoint()
        assert read_all(volume) == stored
    with cas.open(disk / "store") as repository:
        assert read_all(repository.volume("v")) == stored
    shutil.rmtree(disk / "store" / "local" / "catalog")
    with cas.open(disk / "store") as repository:
        assert read_all(repository.volume("v")) == stored
        assert list((disk / "store" / "local" / "open").iterdir()) == []


def test_a_catalog_that_has_no_room_to_be_made_is_an_error_and_kills_nobody(disk: Path) -> None:
    location = disk / "store"
    with cas.create(location) as repository:
        put(repository.create_volume("v"), "file", b"content")
    ballast = (disk / "ballast").open("wb", buffering=0)
    with ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    for words in (("index", "rebuild", "--yes"), ("ls", "v:/")):
        assert run_casdav(*words, store=location, check=False).returncode == Exit.FULL
    shutil.rmtree(location / "local" / "catalog")
    with (disk / "ballast").open("ab", buffering=0) as more, contextlib.suppress(OSError):
        while True:
            more.write(bytes(4096))
    for words in (("ls", "v:/"), ("index", "rebuild", "--yes")):
        assert run_casdav(*words, store=location, check=False).returncode == Exit.FULL
    (disk / "ballast").unlink()
    assert run_casdav("cat", "v:/file", store=location).stdout == "content"
