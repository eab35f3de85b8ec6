"""Small disks that a test can fill: a tmpfs of its own, which only root can mount."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
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
