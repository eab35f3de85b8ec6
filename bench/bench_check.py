"""Checking every byte of a repository: `casdav check --read-data` against restic and borg.

By CPU seconds of plaintext that is decompressed and compared with its hash. In process, without
the start of a command, as the bar is meant; as commands, as people wait for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench import corpus
from bench.backups import BackupTool, casdav, peers
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.peers import BORG, RESTIC
from bench.scale import MIB, Scale

_MB = 1_000_000
_SOURCE_BAR = 500.0
_MEDIA_BAR = 1500.0


@pytest.mark.parametrize("kind", ["source tree", "incompressible files"])
def test_check_of_every_byte(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, kind: str
) -> None:
    home = place / kind.replace(" ", "-")
    home.mkdir()
    if kind == "source tree":
        tree = corpus.write_source_tree(home / "tree", scale.checked_tree)
    else:
        tree = corpus.write_media(home / "tree", scale.checked_tree)
    ours, others = casdav(home, tree), peers(home, tree)
    for tool in (ours, *others.values()):
        tool.initialise()
        tool.run(tool.ingest)
    limit = _SOURCE_BAR if kind == "source tree" else _MEDIA_BAR
    figures = [
        Figure("engine", f"check of every byte in process, {kind}", "MB/cpu s", limit=limit),
        Figure(
            "check",
            f"check of every byte, {kind}",
            "MiB/cpu s",
            ratio={RESTIC: 4.0, BORG: 1.0},
        ),
        Figure("wall", f"check of every byte, {kind}", "MiB/s"),
    ]
    contenders = {name: _command(tool, tree) for name, tool in others.items()}
    command = _command(ours, tree)

    def both() -> Mapping[str, float]:
        return {**command(), "engine": _in_process(ours.repository)}

    compete(benchmark, table, figures, both, contenders, scale.rounds)


def _command(tool: BackupTool, tree: Tree) -> Contender:
    def measure() -> dict[str, float]:
        cost = tool.run(tool.check)
        size = tree.size / MIB
        return {"check": size / cost.cpu, "wall": size / cost.wall}

    return measure


def _in_process(location: Path) -> float:
    """Return the bytes of plaintext that are checked in a second of CPU time."""
    with cas.open(location) as repository:
        start = time.process_time()
        summary = cas.check_repository(repository, reading=cas.Share())
        seconds = time.process_time() - start
    assert summary.is_sound
    return summary.bytes_read / _MB / seconds
