"""The engine's first steps alone, in process: cutting, and storing a stream."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench import corpus
from bench.figures import Figure, Table, compete
from bench.scale import MIB, Scale
from cas.chunking import Chunker, choose_parameters

_SEGMENT = 4 * MIB


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_cutting(benchmark: BenchmarkFixture, table: Table, scale: Scale, kind: str) -> None:
    data = _content(kind, 1, scale.stream)
    segments = [data[start : start + _SEGMENT] for start in range(0, len(data), _SEGMENT)]

    def cut() -> dict[str, float]:
        start = time.process_time()
        chunker = Chunker(choose_parameters(data))
        count, rest = 0, b""
        for segment in segments:
            segment = rest + segment  # noqa: PLW2901 - as the writer joins them
            ends = chunker.cut(segment, final=False)
            count += len(ends)
            rest = segment[ends[-1] :] if ends else segment
        seconds = time.process_time() - start
        return {"speed": len(data) / MIB / seconds, "mean": len(data) / 1024 / count}

    figures = [
        Figure("speed", f"cutting, {kind}", "MiB/cpu s"),
        Figure("mean", f"mean chunk, {kind}", "KiB"),
    ]
    compete(benchmark, table, figures, cut, {}, scale.rounds)


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_storing(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, kind: str
) -> None:
    rounds = iter(range(1, 1000))
    with cas.create(place / f"store-{kind}") as repository:
        volume = repository.create_volume("bench")

        def store() -> dict[str, float]:
            index = next(rounds)
            data = memoryview(_content(kind, index, scale.stream))
            cpu, wall = time.process_time(), time.perf_counter()
            with volume.upload() as upload:
                for start in range(0, len(data), MIB):
                    upload.write(data[start : start + MIB])
                with volume.edit() as edit:
                    edit.put(f"{index}", upload)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            size = len(data) / MIB
            return {"cpu": size / cpu, "wall": size / wall}

        figures = [
            Figure("cpu", f"storing a stream, {kind}, in process", "MiB/cpu s"),
            Figure("wall", f"storing a stream, {kind}, in process", "MiB/s"),
        ]
        compete(benchmark, table, figures, store, {}, scale.rounds)


def _content(kind: str, seed: int, size: int) -> bytes:
    source = corpus.incompressible if kind == "incompressible" else corpus.text
    return b"".join(source(seed, size))
