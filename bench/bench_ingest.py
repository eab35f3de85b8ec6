"""Bringing directory trees in and out: `casdav import` and `export` against restic and borg.

CPU seconds are those of the whole command, from its start to its end, by resource usage. Every
round begins with a new repository. borg runs without encryption, restic cannot.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import corpus, processes
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.peers import BORG, RESTIC, program
from bench.scale import MIB, Scale
from tests.support.processes import casdav_command, casdav_environment, run_casdav

BORG_ZSTD = "borg zstd,1"
_VOLUME = "bench"


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


@dataclass
class _Tool:
    """A tool with a repository: how it is made, filled, emptied."""

    repository: Path
    initialise: Callable[[], object]
    ingest: list[str | Path]
    restore: Callable[[Path], list[str | Path]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: list[str | Path]) -> processes.Cost:
        return processes.run(command, self.environment)


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
    ours, peers = _casdav(place, tree), _peers(place, tree)
    bars = {} if bar is None else {RESTIC: bar, BORG: bar}
    figures = [
        Figure("ingest", f"ingest, {title}", "MiB/cpu s", ratio=bars),
        Figure("wall", f"ingest, {title}", "MiB/s"),
        Figure("again", f"ingest again, nothing changed, {title}", "cpu s", higher_is_better=False),
        Figure("stored", f"repository, {title}", "MiB", higher_is_better=False),
        Figure("memory", f"memory of ingest, {title}", "MiB", higher_is_better=False),
        Figure("restore", f"restore, {title}", "MiB/cpu s"),
    ]
    contenders = {name: _contender(tool, tree, place) for name, tool in peers.items()}
    compete(benchmark, table, figures, _contender(ours, tree, place), contenders, scale.rounds)


def _contender(tool: _Tool, tree: Tree, place: Path) -> Contender:
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


def _casdav(place: Path, tree: Tree) -> _Tool:
    repository = place / "casdav"
    command: list[str | Path] = [*casdav_command()]

    def initialise() -> None:
        run_casdav("init", repository)
        run_casdav("volume", "create", _VOLUME, store=repository)

    return _Tool(
        repository,
        initialise,
        [*command, "-q", "import", tree.top, f"{_VOLUME}:/tree"],
        lambda target: [*command, "-q", "export", f"{_VOLUME}:/tree", target / "tree"],
        casdav_environment({"CASDAV_STORE": str(repository)}),
    )


def _peers(place: Path, tree: Tree) -> dict[str, _Tool]:
    tools: dict[str, _Tool] = {}
    reasons = []
    for make in (_restic, _borg):
        try:
            tools |= make(place, tree)
        except pytest.skip.Exception as skipped:
            reasons.append(str(skipped))
    if not tools:
        pytest.skip("; ".join(reasons))
    return tools


def _restic(place: Path, tree: Tree) -> dict[str, _Tool]:
    found = program("restic", "the Debian package restic")
    repository = place / "restic"
    environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repository)}
    tool = _Tool(
        repository,
        lambda: processes.run([found, "init"], environment),
        [found, "-q", "backup", tree.top],
        lambda target: [found, "-q", "restore", "latest", "--target", target],
        environment,
    )
    return {RESTIC: tool}


def _borg(place: Path, tree: Tree) -> dict[str, _Tool]:
    """Borg with its default compression (lz4, faster), and with ours."""
    found = program("borg", "the Debian package borgbackup")
    tools = {}
    for name, compression in ((BORG, "lz4"), (BORG_ZSTD, "zstd,1")):
        repository = place / name.replace(" ", "-").replace(",", "-")
        environment = {
            "BORG_REPO": str(repository),
            "BORG_BASE_DIR": str(place / "borg-base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        tools[name] = _borg_tool(found, repository, compression, tree, environment)
    return tools


def _borg_tool(
    found: str, repository: Path, compression: str, tree: Tree, environment: Mapping[str, str]
) -> _Tool:
    create: list[str | Path] = [found, "create", "--compression", compression]
    return _Tool(
        repository,
        lambda: processes.run([found, "init", "--encryption", "none"], environment),
        # {now} names each archive anew; the microseconds make two in one second possible.
        [*create, "::{now:%H%M%S%f}", tree.top],
        lambda target: ["sh", "-c", _EXTRACT, found, target],
        environment,
    )


_EXTRACT = 'cd "$1" && "$0" extract "::$("$0" list --short --last 1)"'
"""borg extracts into the working directory, the newest archive if it is told its name."""
