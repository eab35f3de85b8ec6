"""A check finds nothing in a sound repository, whatever was done to it, and runs beside others."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import cas
from cas.compression import Codec
from cas.disk import file_lock
from cas.formats import COLLECTION_LOCK
from cas.ids import Kind
from cas.packfile import PackKind, Record
from cas.reliance import Reliance
from tests.support.checking import Told, assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import damage_object


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A closed repository with folders, snapshots and history."""
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        with volume.edit() as edit:
            edit.make_directory("folder")
        for number in range(5):
            put(volume, f"folder/file {number}", seeded_bytes(number, 150_000))
        put(volume, "old", b"only in the history")
        volume.create_snapshot("first")
        put(volume, "old", b"another")
        repository.checkpoint()
        put(volume, "old", b"the newest")
    return tmp_path / "store"


def test_nothing_is_wrong_with_a_repository_as_it_is_made(location: Path) -> None:
    with cas.open(location) as repository:
        told = Told()
        summary = cas.check_repository(repository, reading=cas.Share(), watcher=told)
        assert (summary.damaged, told.damages, summary.kinds) == (0, [], set())
        assert summary.packs_read == summary.packs == len(list(location.glob("packs/*/*")))
        assert told.expected == told.advanced
        assert (summary.volumes, summary.snapshots) == (2, 1)
        assert summary.commits >= 4
        assert summary.bytes_read > 5 * 150_000


@pytest.mark.parametrize("seed", range(4))
def test_shapes_and_sums_of_folders_of_any_size_are_as_the_format_wants_them(
    tmp_path: Path, seed: int
) -> None:
    chosen = random.Random(seed)
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        there: set[str] = set()
        for _ in range(8):
            with volume.edit() as edit:
                for _ in range(chosen.choice([1, 30, 1500])):
                    name = f"{chosen.randrange(4000)}"
                    if name in there and chosen.random() < 0.5:
                        edit.remove(name)
                        there.discard(name)
                    elif name not in there:
                        edit.make_directory(name)
                        there.add(name)
            if chosen.random() < 0.5:
                repository.checkpoint()
            assert_sound(repository)


def test_shapes_of_large_files_are_as_the_format_wants_them(tmp_path: Path) -> None:
    content = seeded_bytes(1, 24_000_000)
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        for number, data in enumerate(
            [content, content[:9_000_000] + b"!" + content[9_000_000:], bytes(5_000_000) + content]
        ):
            put(volume, f"{number}", data)
        assert_sound(repository)


def test_what_is_young_and_what_is_in_open_packs_is_checked_too(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        assert_sound(repository)
        volume = repository.create_volume("v")
        put(volume, "file", seeded_bytes(1, 300_000))
        assert_sound(repository)
        repository.checkpoint()
        put(volume, "more", seeded_bytes(2, 300_000))
        assert_sound(repository)
        with cas.open(tmp_path / "store") as other:
            assert_sound(other)


def test_it_runs_beside_writers_checkpoints_and_packs_that_are_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.packs.PACK_RECORD_LIMIT", 8)
    with cas.create(tmp_path / "store") as repository, cas.open(tmp_path / "store") as other:
        volume = repository.create_volume("v")
        is_over = threading.Event()

        def write() -> None:
            number = 0
            while not is_over.is_set():
                number += 1
                put(volume, f"{number % 40}", seeded_bytes(number, 40_000))
                if number % 7 == 0:
                    repository.checkpoint()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(6):
                for each in (repository, other):
                    assert_sound(each)
        finally:
            is_over.set()
            writer.join()
        assert_sound(other)


def test_it_runs_between_the_moves_of_refs_and_what_the_catalog_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    with cas.create(tmp_path / "store") as repository, cas.open(tmp_path / "store") as other:
        put(repository.create_volume("v"), "file", seeded_bytes(1, 40_000))
        rename = Path.rename

        def check_behind(source: Path, target: Path) -> Path:
            renamed = rename(source, target)
            if target.parent.name == "refs":
                moved.append(target.name)
                for each in (repository, other):
                    assert_sound(each)
            return renamed

        monkeypatch.setattr(Path, "rename", check_behind)
        repository.checkpoint()
        monkeypatch.undo()
        assert len(moved) == 2
        assert_sound(other)


class _Meanwhile(Told):
    """Does something once, in the first step of the reading of bytes."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act
        self.has_acted = False

    def advance(self, steps: int) -> None:
        super().advance(steps)
        if not self.has_acted:
            self.has_acted = True
            self._act()


@pytest.mark.parametrize("is_in_memory", [False, True])
def test_a_collection_goes_on_while_bytes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_in_memory: bool
) -> None:
    monkeypatch.setattr("cas.packs.PACK_RECORD_LIMIT", 8)
    location = "memory:" if is_in_memory else tmp_path / "store"
    with cas.create(location) as repository:
        volume = repository.create_volume("v")
        for number in range(60):
            put(volume, f"{number % 7}", seeded_bytes(number, 40_000))
        repository.engine.chunks.open_packs.seal_current()
        policy = cas.VersionPolicy(versions=1, states=cas.Retention())
        reports: list[cas.CollectionReport] = []

        def collect() -> None:
            reports.append(cas.collect_garbage(repository, policy, grace_seconds=0))

        told = _Meanwhile(collect)
        summary = cas.check_repository(repository, reading=cas.Share(), watcher=told)
        assert told.messages == ""
        assert summary.is_sound
        assert reports[0].removed_packs
        assert summary.packs_read > 1
        assert_sound(repository)


class _Queued(Told):
    """Lets go of what is waited for."""

    def __init__(self, held: ExitStack) -> None:
        super().__init__()
        self._held = held
        self.times = 0

    def queued(self) -> None:
        self.times += 1
        self._held.close()


def test_who_has_to_wait_for_another_is_told_so(location: Path, tmp_path: Path) -> None:
    with cas.open(location) as repository:
        for work in (
            lambda told: cas.check_repository(repository, watcher=told),
            lambda told: cas.repair_repository(repository, watcher=told),
            lambda told: cas.replicate(repository, tmp_path / "replica", watcher=told),
        ):
            held = ExitStack()
            held.enter_context(file_lock(repository.engine.local / COLLECTION_LOCK, wait=False))
            told = _Queued(held)
            with pytest.raises(cas.LockedError):
                cas.collect_garbage(repository)
            work(told)
            assert told.times == 1


@pytest.mark.plain
def test_damage_is_told_although_a_collection_has_been_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.packs.PACK_RECORD_LIMIT", 8)
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        for number in range(30):
            put(volume, f"{number % 7}", seeded_bytes(number, 40_000))
        repository.checkpoint()
        with volume.view() as view:
            content = view.entry("3").content
        put(volume, "4", b"another")
        repository.engine.chunks.open_packs.seal_current()
        damage_object(tmp_path / "store", content)
        policy = cas.VersionPolicy(versions=1, states=cas.Retention())
        told = _Meanwhile(lambda: cas.collect_garbage(repository, policy, grace_seconds=0))
        summary = cas.check_repository(repository, reading=cas.Share(), watcher=told)
        assert told.has_acted
        assert not summary.is_sound
        assert told.paths == {"v:/3"}


def test_a_rebuilt_catalog_and_a_deleted_volume_are_sound(location: Path) -> None:
    with cas.open(location) as repository:
        repository.delete_volume("v")
        assert_sound(repository)
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as repository:
        assert_sound(repository)


def test_a_repository_in_memory_is_checked_too() -> None:
    with cas.create("memory:") as repository:
        put(repository.create_volume("v"), "file", seeded_bytes(1, 300_000))
        repository.checkpoint()
        assert_sound(repository)


def packs_read(repository: cas.Repository, reading: cas.Reading) -> int:
    return cas.check_repository(repository, reading=reading).packs_read


def test_a_share_of_the_packs_is_the_same_for_the_same_seed(location: Path) -> None:
    with cas.open(location) as repository:
        known = [(number, row) for number, row in enumerate(["a", "b", "c", "d"] * 5)]
        one, two = (cas.Share(0.25, 7).choose(known) for _ in range(2))  # type: ignore[arg-type]
        assert one == two
        assert len(one) == 5
        assert packs_read(repository, cas.Share(0.01)) == 1
    for share in (0, -1, 1.1):
        with pytest.raises(cas.InvalidError):
            cas.Share(share)


def test_a_scrub_goes_on_where_the_last_one_stopped(location: Path) -> None:
    """A clock that moves on when it is asked ends each slice behind one pack."""
    total = len(list(location.glob("packs/*/*")))
    ticks = iter(range(1000))
    names = []
    for number in range(2 * total):
        with cas.open(location) as repository:
            scrub = cas.Scrub(repository, 2, clock=lambda: float(next(ticks)))
            assert packs_read(repository, scrub) == 1
            names.append((location / "local" / "scrub.json").read_text())
            assert scrub.rounds == (number + 1) // total
    assert len(set(names)) == len(names)
    with cas.open(location) as repository:
        scrub = cas.Scrub(repository, 3600)
        assert packs_read(repository, scrub) == total
        assert scrub.rounds == 3
    (location / "local" / "scrub.json").write_text("{}{")
    with cas.open(location) as repository:
        assert cas.Scrub(repository, 1).rounds == 0


@pytest.mark.plain
def test_an_old_version_that_is_damaged_is_named_with_its_commit(location: Path) -> None:
    for pack in location.glob("packs/*/*"):
        content = bytearray(pack.read_bytes())
        at = content.find(b"another")
        if at >= 0:
            content[at] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)
    with cas.open(location) as repository:
        assert check(repository).damages == []  # the chunk's bytes were not read
        told = check(repository, cas.Share())
        assert told.kinds == ["damaged"]
        (affected,) = told.affecteds
        assert (affected.volume, affected.path) == ("v", "old")
        (state,) = affected.states
        with repository.volume("v").at(bytes.fromhex(state)) as view:
            assert view.entry("old").size == len("another")


def test_what_two_writers_stored_at_the_same_moment_lies_there_twice_and_is_sound(
    tmp_path: Path,
) -> None:
    """Between looking a chunk up and appending it, another thread may append it too."""
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        put(volume, "file", b"content")
        chunks = repository.engine.chunks
        record = Record(Kind.CHUNK, chunks.identifier.chunk(b"content"), 7, Codec.RAW, b"content")
        for name in ("again", "and again"):
            chunks.open_packs.append(PackKind.DATA, [record], Reliance())
            put(volume, name, b"another " + name.encode())
        assert_sound(repository)
        chunks.open_packs.seal_current()
        assert_sound(repository)
    shutil.rmtree(tmp_path / "store" / "local" / "catalog")
    with cas.open(tmp_path / "store") as repository:
        assert_sound(repository)
        policy = cas.VersionPolicy(versions=1, states=cas.Retention())
        cas.collect_garbage(repository, policy, grace_seconds=0)
        assert_sound(repository)
        report = cas.replicate(repository, tmp_path / "replica")
        assert not report.damaged_packs
