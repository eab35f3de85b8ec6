"""Reading in process: a whole file, small ranges of it. Every byte is checked against its hash."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench import corpus
from bench.figures import Figure, Table, compete
from bench.scale import KIB, MIB, Scale

_RANGE = 4 * KIB
_RANGES = 500


@pytest.fixture(scope="module")
def volume(place: Path, scale: Scale) -> Iterator[cas.Volume]:
    """A volume with a file of each kind, read from packs and with nothing in the caches."""
    location = place / "store"
    with cas.create(location) as repository:
        made = repository.create_volume("bench")
        for kind, source in (("incompressible", corpus.incompressible), ("text", corpus.text)):
            with made.upload() as upload:
                for block in source(1, scale.stream):
                    upload.write(block)
                with made.edit() as edit:
                    edit.put(kind, upload)
    with cas.open(location) as repository:
        yield repository.volume("bench")


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_streaming(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, volume: cas.Volume, kind: str
) -> None:
    def read() -> dict[str, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        with volume.view() as view, view.open(kind) as reader:
            size = sum(len(piece) for piece in reader.chunks())
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert size == scale.stream
        return {"cpu": size / MIB / cpu, "wall": size / MIB / wall}

    figures = [
        Figure("cpu", f"reading a file, {kind}, in process", "MiB/cpu s"),
        Figure("wall", f"reading a file, {kind}, in process", "MiB/s"),
    ]
    compete(benchmark, table, figures, read, {}, scale.rounds)


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_ranges(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, volume: cas.Volume, kind: str
) -> None:
    chance = random.Random(7)

    def read() -> dict[str, float]:
        offsets = [chance.randrange(scale.stream - _RANGE) for _ in range(_RANGES)]
        with volume.view() as view, view.open(kind) as reader:
            start = time.perf_counter()
            for offset in offsets:
                size = sum(len(piece) for piece in reader.chunks(offset, offset + _RANGE))
                assert size == _RANGE
            seconds = time.perf_counter() - start
        return {"time": seconds / _RANGES * 1000}

    figures = [Figure("time", f"4 KiB anywhere in a file, {kind}", "ms", higher_is_better=False)]
    compete(benchmark, table, figures, read, {}, scale.rounds)
