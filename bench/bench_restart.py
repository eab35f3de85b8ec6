"""How soon the drive answers again after its server was killed, in a small and a large store."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from threading import Event, Thread

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench.figures import Figure, Table, compete
from bench.scale import Scale
from tests.support.server import Server, running_server

_LIMIT_SECONDS = 2.0
_LOAD_SECONDS = 2.0
_CLIENTS = 4
_BUNDLE = 1000


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", ["small", "large"])
def test_restart_after_a_kill(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    place: Path,
    size: str,
    workers: int,
) -> None:
    files = scale.stored[size == "large"]
    numbers = itertools.count()
    with running_server(place / f"restart-{files}-{workers}", "--workers", str(workers)) as server:
        server.stop()
        _fill(server, files)
        server.start()

        def restart() -> dict[str, float]:
            _kill_under_load(server, numbers)
            start = time.perf_counter()
            server.start()
            return {"time": time.perf_counter() - start}

        with_workers = f", {workers} workers" if workers > 1 else ""
        figure = Figure(
            "time",
            f"restart after kill -9, {files:,} files in the store{with_workers}",
            "s",
            higher_is_better=False,
            limit=_LIMIT_SECONDS,
        )
        compete(benchmark, table, [figure], restart, {}, max(scale.rounds, 5))


def _fill(server: Server, files: int) -> None:
    """Put folders of small files, all different, into the user's volume."""
    with cas.open(server.store) as repository:
        volume = repository.volume(server.user)
        for first in range(0, files, _BUNDLE):
            folder = volume.folder()
            stored = volume.store([b"file %d" % (first + number) * 20 for number in range(_BUNDLE)])
            folder.rely_on(stored)
            for number, content in enumerate(stored.contents):
                folder.put(f"{number:04}", content, mtime_ns=0, mode=0o644)
            with volume.edit() as edit:
                edit.put_folder(f"folder{first:08}", folder, mtime_ns=0)


def _kill_under_load(server: Server, numbers: itertools.count[int]) -> None:
    """Kill the server while clients write; each stops at its first failed request."""
    is_over = Event()

    def write() -> None:
        while not is_over.is_set():
            number = next(numbers)
            try:
                server.request("PUT", f"written{number}", b"%d" % number * 500)
            except OSError:
                return

    clients = [Thread(target=write) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(_LOAD_SECONDS)
    server.kill()
    is_over.set()
    for client in clients:
        client.join()
