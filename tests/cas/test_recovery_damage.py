"""What a process left behind when it died, damaged or not: made good, or reported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cas
from cas.ids import Kind
from cas.packfile import FOOTER_MAGIC, TRAILER_SIZE, RecordPlace
from tests.support.damage import footer_of
from tests.support.processes import CHECKOUT, casdav_environment


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A closed repository with two packs of journal records."""
    with cas.create(tmp_path / "store") as repository:
        repository.create_volume("v")
        make_folder(repository, "first")
    with cas.open(tmp_path / "store") as repository:
        make_folder(repository, "second")
    return tmp_path / "store"


def make_folder(repository: cas.Repository, name: str) -> None:
    with repository.volume("v").edit() as edit:
        edit.make_directory(name)


def names(repository: cas.Repository) -> list[str]:
    with repository.volume("v").view() as view:
        return [name for name, _ in view.list()]


def journal_places(pack: Path) -> tuple[int, list[RecordPlace]]:
    """Return the number of the pack's last journal record, and where its records lie."""
    footer = footer_of(pack)
    return footer.last_journal, [p for p in footer.places if p.kind is Kind.JOURNAL]


def data_packs(location: Path) -> list[Path]:
    """Return the packs with journal records, in the order of these."""
    found = [pack for pack in location.glob("packs/*/*") if journal_places(pack)[1]]
    return sorted(found, key=lambda pack: journal_places(pack)[0])


def flip_last_bit(pack: Path, place: RecordPlace) -> None:
    content = bytearray(pack.read_bytes())
    content[place.end - 1] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)


def test_damage_to_the_journal_behind_the_commits_stops_no_rebuild(location: Path) -> None:
    for pack in data_packs(location):
        for place in journal_places(pack)[1]:
            flip_last_bit(pack, place)
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as repository:
        assert names(repository) == ["first", "second"]
        make_folder(repository, "third")
    with cas.open(location) as repository:
        assert names(repository) == ["first", "second", "third"]


@pytest.mark.parametrize("which", [0, -1])
def test_damage_to_a_journal_record_that_no_commit_holds_is_reported(
    location: Path, which: int
) -> None:
    shutil.rmtree(location / "refs")  # so all that was acknowledged is in the journal alone
    shutil.rmtree(location / "local" / "catalog")
    pack = data_packs(location)[which]
    flip_last_bit(pack, journal_places(pack)[1][which])
    with pytest.raises(cas.IntegrityError, match="journal"):
        cas.open(location)


def test_a_footer_that_its_process_did_not_sync_is_synced_by_who_adopts_it(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import cas, os, signal, sys\n"
        "repository = cas.open(sys.argv[1])\n"
        "with repository.volume('v').edit() as edit: edit.make_directory('third')\n"
        "def die(descriptor):\n"
        "    end = os.fstat(descriptor).st_size\n"
        f"    if os.pread(descriptor, 8, end - {TRAILER_SIZE}) == {FOOTER_MAGIC!r}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.fdatasync = die\n"
        "repository.close()\n"
    )
    command = [sys.executable, "-c", program, str(location)]
    killed = subprocess.run(command, cwd=CHECKOUT, env=casdav_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    left = {path.stat().st_ino for path in (location / "local" / "open").iterdir()}
    assert left
    synced = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with cas.open(location) as repository:
        assert names(repository) == ["first", "second", "third"]
    assert left <= synced


def test_what_a_power_cut_took_from_the_catalog_is_done_again_on_folders_made_aside(
    location: Path,
) -> None:
    """LMDB may lose its newest transaction; the one that follows may not have come to LMDB."""
    program = (
        "import cas, os, shutil, sys\n"
        "volume = cas.open(sys.argv[1]).volume('v')\n"
        "with volume.edit() as edit: edit.make_directory('third')\n"
        "shutil.copytree(sys.argv[1] + '/local/catalog', sys.argv[1] + '/local/synced')\n"
        "folder = volume.folder()\n"
        "for name in map(str, range(1000)):\n"
        "    folder.put(name, cas.EMPTY_CONTENT, mtime_ns=1, mode=0o644)\n"
        "with volume.edit() as edit: edit.put_folder('aside', folder, mtime_ns=1)\n"
        "with volume.edit() as edit: edit.put('aside/new', cas.EMPTY_CONTENT)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-c", program, str(location)]
    subprocess.run(command, cwd=CHECKOUT, env=casdav_environment(), check=True)
    shutil.rmtree(location / "local" / "catalog")
    (location / "local" / "synced").rename(location / "local" / "catalog")
    for _ in range(2):
        with cas.open(location) as repository, repository.volume("v").view() as view:
            assert len(list(view.list("aside"))) == 1001
        shutil.rmtree(location / "local" / "catalog")
