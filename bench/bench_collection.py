"""Giving room back: `casdav gc` against `restic forget --prune` and `borg prune` with `compact`.

Each round fills a new repository with several states of a tree, of which a quarter of the files
change from one to the next, and keeps the newest alone.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench import corpus, processes
from bench.backups import BackupTool, casdav, peers
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.peers import BORG, RESTIC
from bench.scale import KIB, MIB, Scale
from cas.packfile import PackKind

_STATES = 6
_QUARTERS = 4
_FILES_A_FOLDER = 1_000
_OVERWRITES = 10_000
_VERSIONS = 10
_GROWTH_LIMIT = 1.2
_MARKING_LIMIT = 16.0  # MiB, whatever there is: caches of nodes, and a bit for each record


def test_dropping_all_states_but_one(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path
) -> None:
    tree = corpus.write_source_tree(place / "source", scale.source_tree)
    others = {name: _contender(tool, tree) for name, tool in peers(place, tree).items()}
    title = f"{_STATES - 1} of {_STATES} states dropped"
    bars = {RESTIC: 1.0, BORG: 1.0}
    figures = [
        Figure("cpu", title, "cpu s", higher_is_better=False, ratio=bars),
        Figure("wall", title, "s", higher_is_better=False, ratio=bars),
        Figure("memory", f"memory, {title}", "MiB", higher_is_better=False),
        Figure("stored", f"repository, {title}", "MiB", higher_is_better=False),
    ]
    compete(benchmark, table, figures, _contender(casdav(place, tree), tree), others, scale.rounds)


def test_marking(benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path) -> None:
    """A collection that finds nothing to do: all that it does is look."""
    files = scale.stored[1]
    store = place / "marked"
    # In a process of its own: memory that is free here again would hide what marking takes.
    filling = multiprocessing.get_context("spawn").Process(target=_fill_store, args=(store, files))
    filling.start()
    filling.join()
    assert filling.exitcode == 0

    opened = _Opened()

    def mark() -> dict[str, float]:
        with cas.open(store) as repository:
            data_packs = _data_packs(repository)
            watcher = _Memory()
            start, cpu = time.perf_counter(), time.process_time()
            with opened:
                cas.collect_garbage(repository, is_dry_run=True, grace_seconds=0, watcher=watcher)
            assert opened.names - data_packs  # those of nodes: it is heard what is opened
            return {
                "wall": time.perf_counter() - start,
                "cpu": time.process_time() - cpu,
                "memory": watcher.growth / MIB,
                "read": len(opened.names & data_packs) / len(data_packs),
            }

    title = f"marking {files:,} files"
    figures = [
        Figure("wall", title, "s", higher_is_better=False),
        Figure("cpu", title, "cpu s", higher_is_better=False),
        Figure("memory", f"memory, {title}", "MiB", higher_is_better=False, limit=_MARKING_LIMIT),
        Figure("read", f"data packs opened, {title}", "share", higher_is_better=False, limit=0),
    ]
    compete(benchmark, table, figures, mark, {}, scale.rounds)


def test_overwrites(benchmark: BenchmarkFixture, table: Table, place: Path) -> None:
    """One small file written over and over; then all its versions but ten are dropped."""
    store = place / "overwritten"
    policy = cas.VersionPolicy(versions=_VERSIONS, states=cas.Retention())

    def overwrite() -> dict[str, float]:
        shutil.rmtree(store, ignore_errors=True)
        with cas.create(store) as repository:
            volume = repository.create_volume("bench")
            _put(volume, "corpus", b"".join(corpus.incompressible(1, 20 * MIB)))
            for number in range(_VERSIONS):
                _put(volume, "file", _small(number))
        before = processes.directory_size(store)
        with cas.open(store) as repository:
            volume = repository.volume("bench")
            for number in range(_OVERWRITES):
                _put(volume, "file", _small(_VERSIONS + number))
        with cas.open(store) as repository:  # what was open is sealed
            cas.collect_garbage(repository, policy, grace_seconds=0)
        return {"growth": processes.directory_size(store) / before}

    title = f"store of 20 MiB after {_OVERWRITES:,} overwrites and a collection"
    figure = Figure("growth", title, "times as large", higher_is_better=False, limit=_GROWTH_LIMIT)
    compete(benchmark, table, [figure], overwrite, {}, rounds=1)


def _contender(tool: BackupTool, tree: Tree) -> Contender:
    def measure() -> dict[str, float]:
        shutil.rmtree(tool.repository, ignore_errors=True)
        tool.initialise()
        for state in range(_STATES):
            _change(tree, state)
            tool.run(tool.ingest)
        full = processes.directory_size(tool.repository)
        cost = tool.run(tool.prune)
        stored = processes.directory_size(tool.repository)
        assert stored < full
        tool.run(tool.check)
        return {
            "cpu": cost.cpu,
            "wall": cost.wall,
            "memory": cost.memory / MIB,
            "stored": stored / MIB,
        }

    return measure


def _change(tree: Tree, state: int) -> None:
    """Give a quarter of the files the content that they have in this state."""
    files = sorted(path for path in tree.top.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        if number % _QUARTERS == state % _QUARTERS:
            seed = state * len(files) + number
            path.write_bytes(b"".join(corpus.text(seed, path.stat().st_size)))


def _fill_store(store: Path, files: int) -> None:
    with cas.create(store) as repository:
        volume = repository.create_volume("bench")
        for number in range(files // _FILES_A_FOLDER):
            _fill(volume, f"folder {number:05}")


def _fill(volume: cas.Volume, folder: str) -> None:
    stored = volume.store([f"{folder} {index}".encode() for index in range(_FILES_A_FOLDER)])
    with volume.edit() as edit:
        edit.rely_on(stored)
        edit.make_directory(folder)
        for index, content in enumerate(stored.contents):
            edit.put(f"{folder}/file {index:04}", content)


def _put(volume: cas.Volume, path: str, data: bytes) -> None:
    with volume.upload() as upload:
        upload.write(data)
        with volume.edit() as edit:
            edit.put(path, upload)


class _Memory(cas.Watcher):
    """Notes how much this process's own memory grows, without the pages of LMDB's file."""

    def __init__(self) -> None:
        self._before = self._now()
        self.growth = 0

    def advance(self, steps: int) -> None:
        self.growth = max(self.growth, self._now() - self._before)

    @staticmethod
    def _now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * KIB for line in lines if line.startswith("RssAnon:"))


class _Opened:
    """The names of the files that this process has opened within the context."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._is_on = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> None:
        self.names.clear()
        self._is_on = True

    def __exit__(self, *_: object) -> None:
        self._is_on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and event == "open":
            self.names.add(Path(os.fsdecode(arguments[0])).name)


def _data_packs(repository: cas.Repository) -> set[str]:
    with repository.engine.catalog.read() as transaction:
        return {row.id.hex() for _, row in transaction.packs() if row.kind == PackKind.DATA}


def _small(number: int) -> bytes:
    return b"".join(corpus.incompressible(number, 1500))
