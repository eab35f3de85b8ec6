"""History: differences, snapshots, the log of a path, a past moment and a rollback, in process."""

from __future__ import annotations

import time
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench.figures import Figure, Table, compete
from bench.scale import Scale

_FOLDERS = 100
_FILES_A_FOLDER = 1_000
_SNAPSHOTS = 1_000
_DIFF_LIMIT_MS = 30.0
_LIST_LIMIT_MS = 50.0
_CHANGES = 100_000
_LOG_LIMIT_MS = 10.0
_ROLLBACK_LIMIT_MS = 50.0


def test_diff_of_snapshots(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path
) -> None:
    """Ten edits among 100,000 files, two of them moves: opening both states is part of it."""
    store = place / "diff"
    with cas.create(store) as repository:
        volume = repository.create_volume("bench")
        for number in range(_FOLDERS):
            with volume.edit() as edit:
                edit.make_directory(_folder(number))
                for index in range(_FILES_A_FOLDER):
                    edit.put(f"{_folder(number)}/file {index:04}", cas.EMPTY_CONTENT)
        volume.create_snapshot("old")
        for number in range(8):
            upload = volume.upload()
            upload.write(b"changed %d" % number)
            with volume.edit() as edit:
                edit.put(f"{_folder(number * 11)}/file {number * 101:04}", upload)
        with volume.edit() as edit:
            edit.move(_folder(50), "elsewhere")
        with volume.edit() as edit:
            edit.move(f"{_folder(60)}/file 0000", f"{_folder(61)}/moved")
        volume.create_snapshot("new")

    def compare() -> dict[str, float]:
        with cas.open(store) as repository:  # Nothing is in its cache yet.
            volume = repository.volume("bench")
            times = [_compare(volume, "old", "new") for _ in range(2)]
        return {"first": times[0], "again": times[1]}

    title = f"diff of snapshots, 10 edits among {_FOLDERS * _FILES_A_FOLDER:,} files"
    figures = [
        Figure("first", title, "ms", higher_is_better=False, limit=_DIFF_LIMIT_MS),
        Figure("again", f"{title}, again", "ms", higher_is_better=False, limit=_DIFF_LIMIT_MS),
    ]
    compete(benchmark, table, figures, compare, {}, max(scale.rounds, 9))


def test_list_of_snapshots(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path
) -> None:
    store = place / "list"
    with cas.create(store) as repository:
        volume = repository.create_volume("bench")
        first = volume.create_snapshot("first")
        record = cas.SnapshotRecord(first.commit, first.time_ns)
        with volume.edit() as edit:
            for number in range(_SNAPSHOTS - 1):
                edit.put_snapshot(f"hourly-{number:05}", record, epoch=0)

    def listed() -> dict[str, float]:
        with cas.open(store) as repository:
            volume = repository.volume("bench")
            start = time.perf_counter()
            found = volume.snapshots()
            milliseconds = (time.perf_counter() - start) * 1000
        assert len(found) == _SNAPSHOTS
        return {"time": milliseconds}

    title = f"listing {_SNAPSHOTS:,} snapshots"
    figure = Figure("time", title, "ms", higher_is_better=False, limit=_LIST_LIMIT_MS)
    compete(benchmark, table, [figure], listed, {}, max(scale.rounds, 9))


def test_the_past(benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path) -> None:
    """A file of three versions in a volume with 100,000 changes: its log, an old state of it."""
    store = place / "past"
    middle = 0
    with cas.create(store) as repository:
        volume = repository.create_volume("bench")
        with volume.edit() as edit:
            for number in range(_FOLDERS):
                edit.make_directory(_folder(number))
        for number in range(_FOLDERS):
            with volume.edit() as edit:
                for index in range(_CHANGES // _FOLDERS):
                    edit.put(f"{_folder(number)}/file {index:04}", cas.EMPTY_CONTENT)
                if number % 40 == 0:
                    edit.set_properties(f"{_folder(0)}/file 0500", mtime_ns=number)
            if number == _FOLDERS // 2 + 5:
                middle = edit.sequence
            if number % 10 == 0:
                repository.checkpoint()

    def look() -> dict[str, float]:
        with cas.open(store) as repository:
            volume = repository.volume("bench")
            start = time.perf_counter()
            items = list(volume.log(f"{_folder(0)}/file 0500"))
            logged = time.perf_counter()
            with volume.at_sequence(middle) as view:
                files = view.root.files
                opened = time.perf_counter()
                with volume.edit() as edit:
                    edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
                taken_back = time.perf_counter()
            with volume.view() as view:
                assert view.root.files == files
        assert len(items) >= 4
        return {
            "log": (logged - start) * 1000,
            "past": (opened - logged) * 1000,
            "rollback": (taken_back - opened) * 1000,
        }

    among = f"among {_CHANGES:,} changes"
    figures = [
        Figure(
            "log",
            f"log of a path {among}",
            "ms",
            higher_is_better=False,
            limit=_LOG_LIMIT_MS,
        ),
        Figure("past", "a state between commits opened", "ms", higher_is_better=False),
        Figure(
            "rollback",
            "volume taken back by half its files",
            "ms",
            higher_is_better=False,
            limit=_ROLLBACK_LIMIT_MS,
        ),
    ]
    compete(benchmark, table, figures, look, {}, max(scale.rounds, 9))


def _compare(volume: cas.Volume, old: str, new: str) -> float:
    start = time.perf_counter()
    with volume.at_snapshot(old)[1] as before, volume.at_snapshot(new)[1] as after:
        moves = cas.moves_between(before, after, changes=volume.changes)
        found = list(cas.diff(before, after, moves=moves))
    milliseconds = (time.perf_counter() - start) * 1000
    assert sum(each.source is not None for each in found) == 2
    assert sum(each.new is not None and each.new.is_file for each in found) == 9
    return milliseconds


def _folder(number: int) -> str:
    return f"folder {number:03}"
