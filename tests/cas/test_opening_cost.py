"""Opening a repository after a crash costs the same whatever it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas
from cas.repository import Repository
from cas.stores.local import LocalStore
from tests.support.faulty_store import FaultyStore


def fill(volume: cas.Volume, packs: int) -> None:
    """Store files, and have a data pack sealed for every thousand of them."""
    for pack in range(packs):
        folder = volume.folder()
        stored = volume.store([b"%d" % (1000 * pack + number) for number in range(1000)])
        folder.rely_on(stored)
        for number, content in enumerate(stored.contents):
            folder.put(str(number), content, mtime_ns=0, mode=0o600)
        with volume.edit() as edit:
            edit.put_folder(f"folder{pack}", folder, mtime_ns=0)


def operations_of_opening(location: Path, monkeypatch: pytest.MonkeyPatch, packs: int) -> list[str]:
    """Return what opening does with the blob store when a process has died, by operation."""
    with monkeypatch.context() as patch:
        patch.setattr("cas.packs.PACK_RECORD_LIMIT", 1000)
        source = cas.create(location / "source")
        volume = source.create_volume("v")
        fill(volume, packs)
        source.checkpoint()
        with volume.edit() as edit:
            edit.make_directory("last")
    crashed = location / "crashed"
    shutil.copytree(location / "source", crashed)
    source.close()
    assert len(list(crashed.rglob("packs/*/*"))) >= packs
    store = FaultyStore(LocalStore(crashed))
    with Repository(store, cas.SystemClock()) as opened:
        operations = [operation for operation, _ in store.operations]
        with opened.volume("v").view() as view:
            assert view.entry("last").is_directory
    return operations


def test_opening_after_a_crash_asks_the_store_no_more_for_many_packs_than_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    few = operations_of_opening(tmp_path / "few", monkeypatch, 2)
    many = operations_of_opening(tmp_path / "many", monkeypatch, 12)
    assert many == few
