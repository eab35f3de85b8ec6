"""What encryption costs: the same work in a repository without it, by CPU seconds."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench import corpus, processes
from bench.backups import BackupTool, casdav
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.scale import MIB, Scale

_PLAIN = "not encrypted"
_BAR = {_PLAIN: 0.7}
"""Share of the throughput without encryption that is left with it, at least."""
_KINDS = {"incompressible": corpus.incompressible, "text": corpus.text}


@pytest.fixture(scope="module")
def source_tree(place: Path, scale: Scale) -> Tree:
    return corpus.write_source_tree(place / "source", scale.source_tree)


@pytest.fixture
def repositories(place: Path) -> Iterator[dict[bool, cas.Repository]]:
    """Two repositories, by whether they are encrypted."""
    key = cas.KeyFile(secrets.token_bytes(cas.KEY_FILE_SIZE))
    top = place / "streams"
    with (
        cas.create(top / "plain", key=None) as plain,
        cas.create(top / "sealed", key=key) as sealed,
    ):
        for repository in (plain, sealed):
            repository.create_volume("bench")
        yield {False: plain, True: sealed}
    shutil.rmtree(top)


@pytest.mark.parametrize("kind", _KINDS)
def test_streams_in_process(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    repositories: dict[bool, cas.Repository],
    kind: str,
) -> None:
    seeds = iter(range(1_000))

    def contender(*, is_encrypted: bool) -> Contender:
        volume = repositories[is_encrypted].volume("bench")

        def measure() -> dict[str, float]:
            blocks = list(_KINDS[kind](next(seeds), scale.stream))

            def store() -> None:
                with volume.upload() as upload:
                    for block in blocks:
                        upload.write(block)
                    with volume.edit() as edit:
                        edit.put(kind, upload)

            def read() -> None:
                with volume.view() as view, view.open(kind) as reader:
                    assert sum(len(piece) for piece in reader.chunks()) == scale.stream

            size = scale.stream / MIB
            return {"store": size / _cpu(store), "read": size / _cpu(read)}

        return measure

    figures = [
        Figure("store", f"encrypted: storing a stream, {kind}", "MiB/cpu s", ratio=_BAR),
        Figure("read", f"encrypted: reading a file, {kind}", "MiB/cpu s", ratio=_BAR),
    ]
    plain = {_PLAIN: contender(is_encrypted=False)}
    compete(benchmark, table, figures, contender(is_encrypted=True), plain, scale.rounds)


def test_ingest_and_restore_of_a_source_tree(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, source_tree: Tree
) -> None:
    key_file = place / "key"
    key_file.write_bytes(secrets.token_bytes(cas.KEY_FILE_SIZE))
    contenders = {
        name: _contender(casdav(place / name.replace(" ", "-"), source_tree, key), source_tree)
        for name, key in (("encrypted", key_file), (_PLAIN, None))
    }
    figures = [
        Figure("ingest", "encrypted: ingest, source tree", "MiB/cpu s", ratio=_BAR),
        Figure("restore", "encrypted: restore, source tree", "MiB/cpu s", ratio=_BAR),
        Figure("check", "encrypted: check of every byte, source tree", "MiB/cpu s"),
        Figure("stored", "encrypted: repository", "MiB", higher_is_better=False),
    ]
    plain = {_PLAIN: contenders[_PLAIN]}
    compete(benchmark, table, figures, contenders["encrypted"], plain, scale.rounds)


def _contender(tool: BackupTool, tree: Tree) -> Contender:
    restored = tool.repository.parent / "restored"

    def measure() -> dict[str, float]:
        shutil.rmtree(tool.repository.parent, ignore_errors=True)
        tool.repository.parent.mkdir()
        tool.initialise()
        ingest = tool.run(tool.ingest)
        stored = processes.directory_size(tool.repository)
        restored.mkdir()
        restore = tool.run(tool.restore(restored))
        check = tool.run(tool.check)
        size = tree.size / MIB
        return {
            "ingest": size / ingest.cpu,
            "restore": size / restore.cpu,
            "check": size / check.cpu,
            "stored": stored / MIB,
        }

    return measure


def _cpu(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
