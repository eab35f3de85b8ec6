"""A power cut while a commit is synced: the change has happened whole, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import cas
from cas.packfile import PackKind
from tests.support.corpus import seeded_bytes
from tests.support.damage import kind_of


class Disk:
    """Notes what is synced, and what a power cut before each sync could leave.

    The worst case: of the packs with the journal all that was written is on the disk, of the
    others only what was synced.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._synced: dict[int, int] = {}
        self._sync = os.fdatasync
        self.left: list[Path] = []

    def sync(self, descriptor: int) -> None:
        """Stand in for `os.fdatasync`."""
        left = self._store.with_name(f"left {len(self.left)}")
        shutil.copytree(self._store, left, ignore=shutil.ignore_patterns("catalog"))
        for pack in (self._store / "local" / "open").iterdir():
            if kind_of(pack) is PackKind.TREE:
                size = self._synced.get(pack.stat().st_ino, 0)
                os.truncate(left / pack.relative_to(self._store), size)
        self.left.append(left)
        self._sync(descriptor)
        status = os.fstat(descriptor)
        self._synced[status.st_ino] = status.st_size


def test_the_journal_never_names_what_is_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "store")
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        monkeypatch.setattr(os, "fdatasync", disk.sync)
        for number in range(6):
            folder = volume.folder()
            folder.put(f"{number}", cas.EMPTY_CONTENT, mtime_ns=number, mode=0o644)
            with volume.edit() as edit:
                edit.put_folder(f"folder {number}", folder, mtime_ns=1)
            with volume.upload() as upload, volume.edit() as edit:
                upload.write(seeded_bytes(number, 700_000))
                edit.put("file", upload)
        monkeypatch.undo()
    assert len(disk.left) > 12
    for left in disk.left:
        with cas.open(left) as repository, repository.volume("v").view() as view:
            for _, entry in view.walk():
                if entry.is_file:
                    with view.open(entry, "file") as reader:
                        assert len(reader.read()) == entry.size
