"""Disks of a test's own, which only root can mount: small ones, and those of other systems."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import as_root, can_be_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    """Mount a disk of `size` bytes until the end of the block; skip the test if that cannot be."""
    directory.mkdir()
    owner = f"uid={os.getuid()},gid={os.getgid()}"
    command = as_root("mount", "-t", "tmpfs", "-o", f"size={size},{owner}", "casdav", directory)
    if not can_be_root() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root, and a kernel that lets it")
    try:
        yield directory
    finally:
        subprocess.run(as_root("umount", "-l", directory), check=True)


def resize_disk(directory: Path, size: int) -> None:
    """Give a small disk another size in bytes."""
    subprocess.run(as_root("mount", "-o", f"remount,size={size}", directory), check=True)


@dataclass(frozen=True)
class Disk:
    """A file system that people carry about: how it is made, and mounted."""

    name: str
    format: tuple[str, ...]
    mount: tuple[str, ...]


EXFAT = Disk("exfat", ("mkfs.exfat",), ("mount.exfat-fuse",))
NTFS = Disk("ntfs", ("mkntfs", "-F", "-q"), ("ntfs-3g", "-o", "windows_names"))
_CARRIED_SIZE = 64 * 1024 * 1024


@contextmanager
def carried_disk(disk: Disk, directory: Path, name: str) -> Iterator[Path]:
    """Mount a new disk in a directory until the end of the block; skip the test if it cannot be."""
    if not can_be_root():
        pytest.skip("mounting needs root")
    image, place = directory / f"{name}.image", directory / name
    with image.open("wb") as file:
        file.truncate(_CARRIED_SIZE)
    place.mkdir()
    subprocess.run([*disk.format, image], check=True, capture_output=True)
    loop = subprocess.run(
        as_root("losetup", "--find", "--show", image), check=False, capture_output=True, text=True
    )
    if loop.returncode:
        pytest.skip("there is no loop device")
    device = loop.stdout.strip()
    try:
        subprocess.run(as_root(*disk.mount, device, place), check=True, capture_output=True)
    except subprocess.CalledProcessError:
        subprocess.run(as_root("losetup", "--detach", device), check=True)
        pytest.skip(f"{disk.name} cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(as_root("umount", "-l", place), check=True)
        subprocess.run(as_root("losetup", "--detach", device), check=True)
