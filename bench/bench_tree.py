"""Operations on trees: one change in directories of any size, and folders moved as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import pytest
from blake3 import blake3
from pytest_benchmark.fixture import BenchmarkFixture

import cas
from bench.client import Target, ask
from bench.figures import Figure, Table, compete
from bench.scale import Scale
from cas import trees
from cas.objects import TreeNode, encode
from tests.support.network import LOOPBACK
from tests.support.server import Server, running_server

_BATCH = 4096
_UPDATES = 100
_TREE_LIMIT_MS = 10.0


class _CountingNodes:
    """Tree nodes in memory: counts what is written, in nodes and in encoded bytes."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, TreeNode] = {}
        self.written = 0
        self.size = 0

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        return self._nodes[node_id]

    def save_tree_node(self, node: TreeNode) -> bytes:
        encoded = encode(node)
        node_id = blake3(encoded).digest()
        self._nodes[node_id] = node
        self.written += 1
        self.size += len(encoded)
        return node_id


def _name(index: int) -> str:
    return f"file {index * 7919 % 10_000_019:07d}.txt"


def _entry(index: int) -> cas.Entry:
    content = blake3(str(index).encode()).digest()
    time_ns = 1_700_000_000_000_000_000 + index
    return cas.Entry(cas.EntryKind.CHUNK_FILE, index, time_ns, 0o644, content, created_ns=time_ns)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["small", "middle", "large"])
def test_one_change(benchmark: BenchmarkFixture, table: Table, scale: Scale, position: int) -> None:
    """The tree alone: decode nothing, encode, hash, keep in memory."""
    count = scale.directories[position]
    nodes, shape = _CountingNodes(), trees.TreeShape(seed=1)
    root = trees.edit(
        nodes, shape, b"", {_name(index).encode(): _entry(index) for index in range(count)}
    )
    assert root is not None
    rounds = iter(range(1, 1000))

    def change() -> dict[str, float]:
        step = next(rounds) * 104_729
        edits = [
            {_name((step + index * 31) % count).encode(): _entry(step + index)}
            for index in range(_UPDATES)
        ]
        written, size = nodes.written, nodes.size
        start = time.perf_counter()
        for edit in edits:
            trees.edit(nodes, shape, root.id, edit)
        seconds = time.perf_counter() - start
        return {
            "time": seconds / _UPDATES * 1e6,
            "nodes": (nodes.written - written) / _UPDATES,
            "bytes": (nodes.size - size) / _UPDATES / 1024,
        }

    title = f"one change among {count:,} entries"
    figures = [
        Figure("time", f"{title}, tree alone", "us", higher_is_better=False),
        Figure("nodes", f"{title}, nodes written", "nodes", higher_is_better=False),
        Figure("bytes", f"{title}, written", "KiB", higher_is_better=False),
    ]
    compete(benchmark, table, figures, change, {}, scale.rounds)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["small", "middle", "large"])
def test_one_commit(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, place: Path, position: int
) -> None:
    """A durable commit of one change: journal, sync and catalog as well."""
    count = scale.committed[position]
    with cas.create(place / f"store-{count}") as repository:
        volume = repository.create_volume("bench")
        content = _content(volume)
        _fill(volume, "", map(_name, range(count)), content)
        repository.checkpoint()  # Not in the background while the clock runs.
        rounds = iter(range(1, 1000))

        def change() -> dict[str, float]:
            step = next(rounds) * 104_729
            times = []
            cpu = time.process_time()
            for index in range(_UPDATES):
                start = time.perf_counter()
                with volume.edit() as edit:
                    edit.put(_name((step + index * 31) % count), content, mtime_ns=step + index)
                times.append(time.perf_counter() - start)
            cpu = time.process_time() - cpu
            return {"time": median(times) * 1000, "cpu": cpu / _UPDATES * 1000}

        title = f"one durable commit among {count:,} entries"
        figures = [
            Figure("time", title, "ms", higher_is_better=False),
            Figure("cpu", title, "cpu ms", higher_is_better=False),
        ]
        compete(benchmark, table, figures, change, {}, scale.rounds)


@pytest.fixture(scope="module")
def server(place: Path, scale: Scale) -> Iterator[Server]:
    store = place / "served"
    with running_server(store, "--log-format", "json") as running:
        with cas.open(store) as repository:
            volume = repository.volume(running.user)
            content = _content(volume)
            for count in scale.folders:
                with volume.edit() as edit:
                    edit.make_directory(f"folder{count}")
                _fill(volume, f"folder{count}/", map(_name, range(count)), content)
        yield running


@pytest.mark.parametrize("position", [0, 1], ids=["10k", "100k"])
def test_whole_folders(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, server: Server, position: int
) -> None:
    """COPY, MOVE and DELETE over HTTP, timed by the client: the network is included."""
    count = scale.folders[position]
    folder = f"folder{count}"
    target = Target(LOOPBACK, server.port, f"/dav/{server.user}/", server.user, server.password)

    def timed(method: str, source: str, destination: str = "") -> float:
        headers = [("Destination", target.url(destination))] if destination else []
        return ask(target, target.request(method, source, headers=headers)).seconds * 1000

    def operate() -> dict[str, float]:
        return {
            "COPY": timed("COPY", f"{folder}/", "copied/"),
            "MOVE": timed("MOVE", "copied/", "moved/"),
            "DELETE": timed("DELETE", "moved/"),
        }

    operate()  # The password is checked once, at its first use.
    figures = [
        Figure(
            method,
            f"{method} of a folder of {count:,} files",
            "ms",
            higher_is_better=False,
            limit=_TREE_LIMIT_MS,
        )
        for method in ("COPY", "MOVE", "DELETE")
    ]
    compete(benchmark, table, figures, operate, {}, max(scale.rounds, 9))


def _content(volume: cas.Volume) -> cas.Content:
    with volume.upload() as upload:
        upload.write(b"the content of every file\n")
        with volume.edit() as edit:
            edit.put("content", upload)
    with volume.view() as view:
        entry = view.entry("content")
    return cas.Content(entry.kind, entry.size, entry.content)


def _fill(volume: cas.Volume, prefix: str, names: Iterable[str], content: cas.Content) -> None:
    """Put files into a folder, a few thousand with each commit."""
    names = list(names)
    for start in range(0, len(names), _BATCH):
        with volume.edit() as edit:
            for name in names[start : start + _BATCH]:
                edit.put(prefix + name, content)
