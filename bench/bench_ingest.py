"""Bringing directory trees in and out: `casdav import` and `export` against restic and borg.

CPU seconds are those of the whole command, from its start to its end, by resource usage. Every
round begins with a new repository. borg runs without encryption, restic cannot.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import corpus, processes
from bench.backups import BackupTool, casdav, peers
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.peers import BORG, RESTIC
from bench.scale import MIB, Scale


@pytest.fixture(scope="module")
def source_tree(place: Path, scale: Scale) -> Tree:
    return corpus.write_source_tree(place / "source", scale.source_tree)


@pytest.fixture(scope="module")
def mixed_tree(place: Path, scale: Scale) -> Tree:
    return corpus.write_mixed_tree(place / "mixed", scale.mixed_tree)


def test_ingest_of_a_source_tree(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, source_tree: Tree
) -> None:
    _ingest(benchmark, table, scale, place, source_tree, "source tree", bar=2.0)


def test_ingest_of_a_mixed_tree(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, mixed_tree: Tree
) -> None:
    _ingest(benchmark, table, scale, place, mixed_tree, "mixed tree", bar=None)


def _ingest(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    place: Path,
    tree: Tree,
    title: str,
    *,
    bar: float | None,
) -> None:
    ours, others = casdav(place, tree), peers(place, tree)
    bars = {} if bar is None else {RESTIC: bar, BORG: bar}
    figures = [
        Figure("ingest", f"ingest, {title}", "MiB/cpu s", ratio=bars),
        Figure("wall", f"ingest, {title}", "MiB/s"),
        Figure("again", f"ingest again, nothing changed, {title}", "cpu s", higher_is_better=False),
        Figure("stored", f"repository, {title}", "MiB", higher_is_better=False),
        Figure("memory", f"memory of ingest, {title}", "MiB", higher_is_better=False),
        Figure("restore", f"restore, {title}", "MiB/cpu s"),
    ]
    contenders = {name: _contender(tool, tree, place) for name, tool in others.items()}
    compete(benchmark, table, figures, _contender(ours, tree, place), contenders, scale.rounds)


def _contender(tool: BackupTool, tree: Tree, place: Path) -> Contender:
    restored = place / "restored"

    def measure() -> dict[str, float]:
        shutil.rmtree(tool.repository, ignore_errors=True)
        tool.initialise()
        first = tool.run(tool.ingest)
        stored = processes.directory_size(tool.repository)
        again = tool.run(tool.ingest)
        restored.mkdir()
        back = tool.run(tool.restore(restored))
        count = sum(1 for path in restored.rglob("*") if path.is_file())
        shutil.rmtree(restored)
        assert count == tree.files, f"{count} of {tree.files} files came back"
        size = tree.size / MIB
        return {
            "ingest": size / first.cpu,
            "wall": size / first.wall,
            "again": again.cpu,
            "stored": stored / MIB,
            "memory": first.memory / MIB,
            "restore": size / back.cpu,
        }

    return measure
