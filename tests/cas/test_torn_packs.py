"""Pages that a power cut kept from an open pack, between records that did reach the disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cas
from cas.ids import Kind
from cas.packfile import PackKind, RecordPlace
from tests.support.checking import assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import kind_of, scanned
from tests.support.processes import CHECKOUT, casdav_environment

_PAGE = 4096
Files = dict[str, bytes]


def put(volume: cas.Volume, name: str, content: bytes) -> None:
    with volume.upload() as upload, volume.edit() as edit:
        upload.write(content)
        edit.put(name, upload)


def files(location: Path) -> Files:
    """Open the repository, which must be sound; return all that it holds, and close it."""
    with cas.open(location) as repository:
        assert_sound(repository)
        found = {}
        with repository.volume("v").view() as view:
            for name, entry in view.walk():
                if entry.is_file:
                    with view.open(entry, name) as reader:
                        found[name] = reader.readall()
        return found


class Cuts:
    """Leaves what a power cut before each sync may leave: any part of what was not synced."""

    def __init__(self, store: Path, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._sync = os.fdatasync
        self._synced: dict[int, int] = {}
        self._packs: set[str] = set()
        self._older: Path | None = None
        self.is_due = False
        self.acknowledged: Files = {}
        self.trying: Files = {}
        self.left: list[tuple[Path, Files, Files]] = []

    def sync(self, descriptor: int) -> None:
        """Stand in for `os.fdatasync`."""
        if self.is_due:
            self._cut()
        self._sync(descriptor)
        for pack in (self._store / "local" / "open").iterdir():
            if pack.stat().st_ino == os.fstat(descriptor).st_ino:
                self._synced[pack.stat().st_ino] = len(pack.read_bytes().rstrip(b"\0"))

    def _cut(self) -> None:
        left = self._store.with_name(f"left {len(self.left)}")
        shutil.copytree(self._store, left)
        packs = {path.stem for path in self._store.rglob("*.pack")}
        if self._older is not None and packs == self._packs:
            shutil.copytree(self._older, left / "older")  # LMDB may lose its newest transaction
        self._packs, self._older = packs, left / "local" / "catalog"
        for pack in (self._store / "local" / "open").iterdir():
            self._tear(
                left / pack.relative_to(self._store), self._synced.get(pack.stat().st_ino, 0)
            )
        self.left.append((left, self.acknowledged, self.trying))

    def _tear(self, pack: Path, synced: int) -> None:
        """Put back to zeros what is behind `synced` in some sectors, or pages."""
        size = self._random.choice([512, _PAGE])
        share = self._random.choice([0.03, 0.3, 0.9])
        content = bytearray(pack.read_bytes())
        for start in range(synced - synced % size, len(content), size):
            if self._random.random() < share:
                begin, end = max(start, synced), min(start + size, len(content))
                content[begin:end] = bytes(end - begin)
        pack.write_bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_part_of_an_unsynced_commit_is_there_it_has_happened_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    if seed % 2:
        monkeypatch.setattr("cas.packs.PACK_RECORD_LIMIT", 9)
    store = tmp_path / "store"
    cuts = Cuts(store, seed)
    chance = random.Random(seed)
    with cas.create(store) as repository, cas.open(store) as other:
        monkeypatch.setattr(os, "fdatasync", cuts.sync)
        repository.create_volume("v")
        cuts.is_due = True
        others_upload = other.volume("v").upload()
        for number in range(9):
            volume = chance.choice([repository, other]).volume("v")
            name, content = f"{number % 5}", chance.randbytes(chance.choice([100, 9_000, 150_000]))
            others_upload.write(chance.randbytes(90_000))
            cuts.trying = {**cuts.acknowledged, name: content}
            put(volume, name, content)
            cuts.acknowledged = cuts.trying
        monkeypatch.undo()
    assert len(cuts.left) >= 9
    for left, acknowledged, trying in cuts.left:
        for catalog in ("kept", "older", "lost"):
            copy = tmp_path / f"{left.name} {catalog}"
            shutil.copytree(left, copy)
            if catalog != "kept":
                shutil.rmtree(copy / "local" / "catalog")
            if catalog == "older" and (copy / "older").exists():
                (copy / "older").rename(copy / "local" / "catalog")
            found = files(copy)
            assert found in (acknowledged, trying)
            with cas.open(copy) as repository:
                put(repository.volume("v"), "later", b"later" * 100)
            shutil.rmtree(copy / "local" / "catalog")
            assert files(copy) == {**found, "later": b"later" * 100}
            shutil.rmtree(copy)


def killed_process(location: Path, *, answered: int, begun: int) -> tuple[Path, list[RecordPlace]]:
    """Let a process make files 0, 1, ... and die; return its data pack, and the records in it.

    It dies before it syncs what is behind `answered` of them.
    """
    program = (
        "import cas, os, signal, sys\n"
        "from tests.support.corpus import seeded_bytes\n"
        "volume = cas.open(sys.argv[1]).volume('v')\n"
        "def put(number):\n"
        "    with volume.upload() as upload, volume.edit() as edit:\n"
        "        upload.write(seeded_bytes(number, 16_000))\n"
        "        edit.put(str(number), upload)\n"
        "def die(descriptor): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"for number in range({answered}): put(number)\n"
        "os.fdatasync = die\n"
        f"put({answered}) if {begun} else die(0)\n"
    )
    command = [sys.executable, "-c", program, str(location)]
    killed = subprocess.run(command, cwd=CHECKOUT, env=casdav_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    for pack in (location / "local" / "open").iterdir():
        if kind_of(pack) is PackKind.DATA:
            return pack, scanned(pack)
    raise AssertionError("it left no data pack")


def chunks(places: list[RecordPlace]) -> list[RecordPlace]:
    return [place for place in places if place.kind is Kind.CHUNK]


def overwrite(pack: Path, offset: int, content: bytes) -> None:
    with pack.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def page_in(place: RecordPlace) -> int:
    """Return where a page begins that lies in the record wholly."""
    return (place.offset // _PAGE + 1) * _PAGE


@pytest.fixture
def location(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store") as repository:
        repository.create_volume("v")
    return tmp_path / "store"


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_commit_that_nobody_was_told_of_and_that_lacks_a_page_has_not_happened(
    location: Path, caplog: pytest.LogCaptureFixture, *, is_lost: bool
) -> None:
    pack, places = killed_process(location, answered=2, begun=1)
    overwrite(pack, page_in(chunks(places)[-1]), bytes(_PAGE))
    if is_lost:
        shutil.rmtree(location / "local" / "catalog")
    assert sorted(files(location)) == ["0", "1"]
    assert "never acknowledged" in caplog.text
    with cas.open(location) as repository:
        put(repository.volume("v"), "2", seeded_bytes(2, 16_000))
    shutil.rmtree(location / "local" / "catalog")
    assert files(location) == {str(n): seeded_bytes(n, 16_000) for n in range(3)}


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("damaged", [0, 1])
def test_damage_to_what_was_synced_costs_no_acknowledged_change_and_is_named(
    location: Path, damaged: int, *, is_lost: bool
) -> None:
    pack, places = killed_process(location, answered=2, begun=0)
    if damaged == 0:  # a page: another record follows from the one that names it
        overwrite(pack, page_in(chunks(places)[0]), bytes(_PAGE))
    else:  # some bytes: a power cut does not do that
        overwrite(pack, page_in(chunks(places)[1]) + 100, b"rotten" * 10)
    if is_lost:
        shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as repository, repository.volume("v").view() as view:
        assert sorted(name for name, _ in view.list()) == ["0", "1"]
        with pytest.raises(cas.IntegrityError):
            view.open(view.entry(f"{damaged}"), "").readall()
        with view.open(view.entry(f"{1 - damaged}"), "") as reader:
            assert reader.readall() == seeded_bytes(1 - damaged, 16_000)
        assert check(repository).paths == {f"v:/{damaged}"}


def test_a_page_that_rotted_is_no_torn_one_where_the_catalog_knows_what_follows(
    location: Path,
) -> None:
    pack, places = killed_process(location, answered=2, begun=0)
    overwrite(pack, page_in(chunks(places)[1]), bytes(_PAGE))
    with cas.open(location) as repository, repository.volume("v").view() as view:
        assert sorted(name for name, _ in view.list()) == ["0", "1"]
        with pytest.raises(cas.IntegrityError):
            view.open(view.entry("1"), "").readall()
