"""Two devices that keep a folder in sync: `syncd` with a server, and syncthing, unison, rsync.

Things are done in the first folder; the clock stops when the second folder has them. What one does
there, all do: files appear by one rename, so that nobody sees them half written.
"""

from __future__ import annotations

import filecmp
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import corpus
from bench.figures import Contender, Figure, Table, compete
from bench.peers import program
from bench.scale import KIB, MIB, Scale
from bench.sync_peers import (
    RSYNC,
    SYNCTHING,
    UNISON,
    Pair,
    Sync,
    casdav_pair,
    rsync_pair,
    syncthing_pair,
    unison_pair,
)

_PEERS: dict[str, Sync] = {SYNCTHING: syncthing_pair, UNISON: unison_pair, RSYNC: rsync_pair}
_SMALL = 4 * KIB
_PATIENCE = 600.0
_QUIET_SECONDS = 1.5
_CHATTER = 8 * KIB
_WATCHED_SECONDS = 20.0
_CHANGES = 20
_ROUNDS = 1


@dataclass
class Work:
    """What is done, one after the other, and measured of each: seconds, MiB, CPU seconds."""

    pair: Pair
    prepared: Path
    values: dict[str, float]

    def measure(self, key: str, do: Callable[[], object], is_there: Callable[[], bool]) -> None:
        wait_until_quiet(self.pair)
        passed, cpu = self.pair.passed(), self.pair.cpu_seconds()
        begun = time.perf_counter()
        do()
        wait_for(self.pair, is_there)
        self.values[key] = time.perf_counter() - begun
        wait_until_quiet(self.pair)
        self.values[f"{key} sent"] = (self.pair.passed() - passed) / MIB
        if self.pair.is_watching:  # What is started anew has no process to ask.
            self.values[f"{key} cpu"] = self.pair.cpu_seconds() - cpu


def wait_for(pair: Pair, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_there():
        pair.kick()
        assert time.monotonic() < deadline, "the second folder never had it"
        time.sleep(0.002)


def wait_until_quiet(pair: Pair) -> None:
    """Wait until no more passes in a second than programs say to each other all the time."""
    while True:
        passed = pair.passed()
        time.sleep(_QUIET_SECONDS)
        if pair.passed() - passed < _CHATTER:
            return


def _figures(scale: Scale) -> list[Figure]:
    files, edits = scale.synced_files, scale.synced_files // 10
    size = f"{scale.synced_file // MIB} MiB"
    done = {
        "files": f"sync: {files} files of 4 KiB",
        "file": f"sync: a file of {size}",
        "insert": f"sync: a byte before {size}",
        "rename file": f"sync: {size} renamed",
        "edits": f"sync: {edits} edits of small files",
        "rename folder": f"sync: folder of {files} files renamed",
    }
    units = {"": "s", " sent": "MiB", " cpu": "cpu s"}
    made = [
        Figure(key + kind, title, unit, higher_is_better=False)
        for key, title in done.items()
        for kind, unit in units.items()
    ]
    change = "sync: one small change"
    return [
        *made,
        Figure("change", f"{change}, median", "ms", higher_is_better=False, limit=500),
        Figure("slow change", f"{change}, 19 of 20", "ms", higher_is_better=False, limit=1000),
    ]


@pytest.fixture(scope="module")
def prepared(place: Path, scale: Scale) -> Path:
    """What is put into the folders, on the same file system."""
    corpus.write_equal_files(place / "small", scale.synced_files, _SMALL)
    corpus.write_stream(place / "large", corpus.incompressible(1, scale.synced_file))
    return place


def test_two_devices(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, prepared: Path
) -> None:
    others = {
        name: _contender(sync, prepared, scale)
        for name, sync in _PEERS.items()
        if _is_installed(name)
    }
    ours = _contender(casdav_pair, prepared, scale)
    compete(benchmark, table, _figures(scale), ours, others, _ROUNDS)


def _is_installed(name: str) -> bool:
    try:
        program(name, f"the Debian package {name}")
    except pytest.skip.Exception:
        return False
    return True


def _contender(sync: Sync, prepared: Path, scale: Scale) -> Contender:
    def measure() -> dict[str, float]:
        home = prepared / "pair"
        home.mkdir()
        with sync(home) as pair:
            work = Work(pair, prepared, {})
            _many_files(work, scale)
            _large_file(work)
            _edits(work, scale)
            _folder(work)
            if pair.is_watching:
                _changes(work)
        shutil.rmtree(home)
        return work.values

    return measure


def _many_files(work: Work, scale: Scale) -> None:
    source, staged = work.prepared / "small", work.prepared / "staged"
    shutil.copytree(source, staged)
    waiting = _sizes(staged)
    assert len(waiting) == scale.synced_files
    work.measure(
        "files",
        lambda: staged.rename(work.pair.first / "folder"),
        partial(_have_come, work.pair.second / "folder", waiting),
    )


def _large_file(work: Work) -> None:
    first, second = work.pair.first, work.pair.second
    source, staged = work.prepared / "large", work.prepared / "staged"
    shutil.copyfile(source, staged)
    size = source.stat().st_size
    work.measure(
        "file", lambda: staged.rename(first / "large"), lambda: _size(second / "large") == size
    )
    with staged.open("wb") as file, source.open("rb") as original:
        file.write(b"!")
        shutil.copyfileobj(original, file, MIB)
    work.measure(
        "insert",
        lambda: staged.rename(first / "large"),
        lambda: _size(second / "large") == size + 1,
    )
    assert filecmp.cmp(first / "large", second / "large", shallow=False)
    work.measure(
        "rename file",
        lambda: (first / "large").rename(first / "renamed"),
        lambda: _size(second / "renamed") == size + 1 and not (second / "large").exists(),
    )


def _edits(work: Work, scale: Scale) -> None:
    folder = work.pair.first / "folder"
    chosen = sorted(path for path in folder.rglob("*") if path.is_file())[::10]
    waiting = [path.relative_to(work.pair.first) for path in chosen]
    assert len(waiting) == scale.synced_files // 10

    def edit() -> None:
        for number, path in enumerate(chosen):
            with path.open("r+b") as file:
                file.seek(1000)
                file.write(f"edit {number}".encode())

    def are_there() -> bool:
        while waiting:
            path = waiting[-1]
            if _content(work.pair.first / path) != _content(work.pair.second / path):
                break
            waiting.pop()
        return not waiting

    work.measure("edits", edit, are_there)


def _folder(work: Work) -> None:
    first, second = work.pair.first, work.pair.second
    waiting = _sizes(first / "folder")

    def is_renamed() -> bool:
        return _have_come(second / "moved", waiting) and not (second / "folder").exists()

    work.measure("rename folder", lambda: (first / "folder").rename(first / "moved"), is_renamed)


def _changes(work: Work) -> None:
    times = list(_change_times(work))
    work.values["change"] = median(times)
    work.values["slow change"] = quantiles(times, n=20)[-1]


def _change_times(work: Work) -> Iterator[float]:
    for number in range(_CHANGES):
        wait_until_quiet(work.pair)
        content = f"change {number:{number + 3}}".encode()
        begun = time.perf_counter()
        (work.pair.first / "note").write_bytes(content)
        wait_for(work.pair, partial(_holds, work.pair.second / "note", content))
        yield (time.perf_counter() - begun) * 1000


def _sizes(folder: Path) -> list[tuple[Path, int]]:
    """Return all files below a folder by their relative paths, with their sizes in bytes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.relative_to(folder), path.stat().st_size) for path in files]


def _have_come(folder: Path, waiting: list[tuple[Path, int]]) -> bool:
    """Tell whether all files are in a folder; those that are there are waited for no more."""
    while waiting and _size(folder / waiting[-1][0]) == waiting[-1][1]:
        waiting.pop()
    return not waiting


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _holds(path: Path, content: bytes) -> bool:
    return _content(path) == content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_nothing_happens_and_a_restart(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path
) -> None:
    idle = f"sync: idle with {scale.watched_files} files"
    restart = f"sync: restart with {scale.watched_files} files"
    figures = [
        Figure("first", f"sync: {scale.watched_files} files that both have", "s", False),
        Figure("cpu", f"{idle}, busiest device", "% of a core", False, limit=0.5),
        Figure("memory", f"{idle}, largest device", "MiB", False, limit=150),
        Figure("passed", f"{idle}, through the busiest wire", "B/s", False, limit=50),
        Figure("written", f"{idle}, written to the disk", "B/s", False, limit=0),
        Figure("restart", f"{restart}, a change made meanwhile", "s", False, limit=3),
    ]
    corpus.write_equal_files(place / "watched", scale.watched_files, 100)
    others = {}
    if _is_installed(SYNCTHING):
        others[SYNCTHING] = _idle_contender(syncthing_pair, place, scale)
    ours = _idle_contender(casdav_pair, place, scale)
    compete(benchmark, table, figures, ours, others, _ROUNDS)


def _idle_contender(sync: Sync, place: Path, scale: Scale) -> Contender:
    def measure() -> dict[str, float]:
        home = place / "idle"
        home.mkdir()
        with sync(home) as pair:
            values = _measure_idle(pair, place / "watched", scale)
        shutil.rmtree(home)
        return values

    return measure


def _measure_idle(pair: Pair, files: Path, scale: Scale) -> dict[str, float]:
    roots = (pair.first, pair.second)
    staged = [root.with_name(f"{root.name}-staged") for root in roots]
    for copy in staged:
        shutil.copytree(files, copy)
    begun = time.perf_counter()
    for root, copy in zip(roots, staged, strict=True):
        copy.rename(root / "folder")
    note = pair.first / "note"
    note.write_bytes(b"first")
    wait_for(pair, lambda: _content(pair.second / "note") == b"first")
    first = time.perf_counter() - begun
    wait_until_quiet(pair)
    passed, written = pair.passed(), sum(device.written() for device in pair.devices)
    cpu = [device.cpu_seconds() for device in pair.devices]
    time.sleep(_WATCHED_SECONDS)
    busiest = max(
        device.cpu_seconds() - before for device, before in zip(pair.devices, cpu, strict=True)
    )
    values = {
        "first": first,
        "cpu": 100 * busiest / _WATCHED_SECONDS,
        "memory": max(device.memory() for device in pair.devices) / MIB,
        "passed": (pair.passed() - passed) / _WATCHED_SECONDS,
        "written": (sum(device.written() for device in pair.devices) - written) / _WATCHED_SECONDS,
        "restart": _restart_seconds(pair, note),
    }
    assert len(_sizes(pair.second / "folder")) == scale.watched_files
    return values


def _restart_seconds(pair: Pair, note: Path) -> float:
    begun = 0.0

    def change() -> None:
        nonlocal begun
        note.write_bytes(b"of the meantime")
        begun = time.perf_counter()

    assert pair.restart is not None
    pair.restart(change)
    wait_for(pair, lambda: _content(pair.second / "note") == b"of the meantime")
    return time.perf_counter() - begun
