"""The drive over real HTTP, and other WebDAV servers with the same requests in the same run.

One machine carries clients and servers, so that a client's CPU time is taken from its server:
the client is made to need as little as it can. All peers answer without asking for a password;
ours asks for one. Only ours has a file on the disk, by fdatasync, before it answers a PUT.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import client, corpus
from bench.client import Target
from bench.figures import OURS, Contender, Figure, Table, compete
from bench.peers import APACHE, RCLONE, WSGIDAV, is_installed, serving
from bench.processes import Group
from bench.scale import KIB, MIB, Scale
from tests.support.network import LOOPBACK
from tests.support.processes import run_casdav
from tests.support.server import running_server

_PEERS = (RCLONE, WSGIDAV, APACHE)
_LISTED = "listed"
_SMALL = 4 * KIB
_PROPFIND_LIMIT_MS = 150.0
_MEMORY_LIMIT = 100.0
_ALLPROP = b'<?xml version="1.0"?><propfind xmlns="DAV:"><allprop/></propfind>'
_RESPONSE_END = re.compile(rb"</(?:\w+:)?response>")
_SIX_PROPERTIES = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:displayname/>'
    b"<D:getlastmodified/><D:getcontentlength/><D:resourcetype/><D:getcontenttype/>"
    b"<D:getetag/></D:prop></D:propfind>"
)


@dataclass(frozen=True)
class Drive:
    """A server that is measured."""

    target: Target
    group: Group

    def cpu_of(self, work: Callable[[], float]) -> tuple[float, float]:
        """Do the work; return what it returns and the CPU seconds that the server took."""
        before = self.group.cpu_seconds()
        result = work()
        return result, self.group.cpu_seconds() - before


@pytest.fixture(scope="module")
def drives(place: Path, scale: Scale) -> Iterator[dict[str, Drive]]:
    """Our server and all peers that are installed, each with a folder of many entries."""
    with ExitStack() as stack:
        found = {}
        for name in filter(is_installed, _PEERS):
            peer = stack.enter_context(serving(name, place))
            corpus.write_small_files(peer.directory / _LISTED, scale.listed)
            found[name] = Drive(peer.target, peer.group)
        found[OURS] = stack.enter_context(_our_drive(place, scale, "store"))
        yield found


@pytest.fixture(scope="module")
def two_workers(place: Path, scale: Scale) -> Iterator[Drive]:
    with ExitStack() as stack:
        yield stack.enter_context(_our_drive(place, scale, "two", "--workers", "2"))


@contextmanager
def _our_drive(place: Path, scale: Scale, name: str, *arguments: str) -> Iterator[Drive]:
    with running_server(place / name, *arguments) as server:
        assert server.process is not None
        source = corpus.write_small_files(place / f"{name}-files", scale.listed)
        run_casdav("import", source.top, f"{server.user}:/{_LISTED}", store=server.store)
        prefix = f"/dav/{server.user}/"
        target = Target(LOOPBACK, server.port, prefix, server.user, server.password)
        yield Drive(target, Group(server.process.pid))


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_big_stream(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    place: Path,
    drives: dict[str, Drive],
    kind: str,
) -> None:
    source = corpus.incompressible if kind == "incompressible" else corpus.text
    seeds = itertools.count(1)
    path = place / "stream"

    def contender(drive: Drive) -> Contender:
        def transfer() -> dict[str, float]:
            # New bytes every time: ours would not store the same ones twice.
            client_file = corpus.write_stream(path, source(next(seeds), scale.stream))
            up, up_cpu = drive.cpu_of(lambda: client.put_file(drive.target, kind, client_file))
            down, down_cpu = drive.cpu_of(lambda: _get(drive.target, kind, scale.stream))
            size = scale.stream / MIB
            return {
                "put": size / up,
                "put cpu": size / up_cpu,
                "get": size / down,
                "get cpu": size / down_cpu,
            }

        return transfer

    figures = [
        Figure("put", f"PUT of a stream, {kind}", "MiB/s", ratio={RCLONE: 1.0}),
        Figure("put cpu", f"PUT of a stream, {kind}", "MiB/cpu s"),
        Figure("get", f"GET of a stream, {kind}", "MiB/s", ratio={RCLONE: 0.5}),
        Figure("get cpu", f"GET of a stream, {kind}", "MiB/cpu s"),
    ]
    _compete(benchmark, table, figures, drives, contender, scale.rounds)


@pytest.mark.parametrize("clients", [1, 8])
def test_small_puts(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    drives: dict[str, Drive],
    two_workers: Drive,
    clients: int,
) -> None:
    numbers = itertools.count()
    content = b"".join(corpus.text(5, 4 * MIB))

    def contender(drive: Drive) -> Contender:
        folder = f"small{clients}"
        client.ask(drive.target, drive.target.request("MKCOL", f"{folder}/"))

        def put() -> dict[str, float]:
            requests = []
            for _ in range(scale.small_puts):
                number = next(numbers)
                start = number * 1021 % (len(content) - _SMALL)
                body = number.to_bytes(8) + content[start : start + _SMALL - 8]
                requests.append(drive.target.request("PUT", f"{folder}/{number:08d}.txt", body))
            seconds, cpu = drive.cpu_of(lambda: client.ask_all(drive.target, requests, clients))
            return {"rate": len(requests) / seconds, "cpu": cpu / len(requests) * 1e6}

        return put

    who = "one client" if clients == 1 else f"{clients} clients"
    figures = [
        Figure("rate", f"small PUT, {who}", "1/s", ratio={WSGIDAV: 1.0}),
        Figure("cpu", f"small PUT, {who}", "cpu us", higher_is_better=False),
    ]
    entrants = {**drives, "casdav, 2 workers": two_workers}
    _compete(benchmark, table, figures, entrants, contender, scale.rounds)


@pytest.mark.parametrize("asked", ["all properties", "six properties"])
def test_listing(
    benchmark: BenchmarkFixture,
    table: Table,
    scale: Scale,
    drives: dict[str, Drive],
    asked: str,
) -> None:
    body = _ALLPROP if asked == "all properties" else _SIX_PROPERTIES

    def contender(drive: Drive) -> Contender:
        headers = [("Depth", "1"), ("Content-Type", "application/xml")]
        request = drive.target.request("PROPFIND", f"{_LISTED}/", body, headers)

        def answer() -> float:
            answer = client.ask(drive.target, request)
            assert answer.status == 207
            assert len(_RESPONSE_END.findall(answer.body)) == scale.listed + 1
            return answer.seconds

        def measure() -> dict[str, float]:
            seconds, cpu = drive.cpu_of(answer)
            return {"time": seconds * 1000, "cpu": cpu * 1000}

        answer()  # Warm: ours checks the password, the others read the folder from the disk.
        return measure

    title = f"PROPFIND of {scale.listed:,} entries, {asked}"
    figures = [
        Figure("time", title, "ms", higher_is_better=False, ratio={RCLONE: 1.0, APACHE: 1.0}),
        Figure("cpu", title, "cpu ms", higher_is_better=False, limit=_PROPFIND_LIMIT_MS),
    ]
    _compete(benchmark, table, figures, drives, contender, max(scale.rounds, 7))


@pytest.mark.parametrize("kind", ["incompressible", "text"])
def test_memory(
    benchmark: BenchmarkFixture, table: Table, scale: Scale, drives: dict[str, Drive], kind: str
) -> None:
    """By how much the server grows while it takes, and then sends, a file of gigabytes."""
    drive = drives[OURS]
    source = corpus.incompressible if kind == "incompressible" else corpus.text
    size = scale.long_stream

    def growth(transfer: Callable[[], object]) -> float:
        before = drive.group.reset_peak()
        transfer()
        return (drive.group.peak() - before) / MIB

    def measure() -> dict[str, float]:
        blocks = source(99, size)
        return {
            "put": growth(lambda: client.put_blocks(drive.target, "long", size, blocks)),
            "get": growth(lambda: _get(drive.target, "long", size)),
        }

    title = f"{size // MIB:,} MiB, {kind}"
    figures = [
        Figure(
            method.lower(),
            f"growth of the server during {method} of {title}",
            "MiB",
            higher_is_better=False,
            limit=_MEMORY_LIMIT,
        )
        for method in ("PUT", "GET")
    ]
    compete(benchmark, table, figures, measure, {}, 1)


def _compete(
    benchmark: BenchmarkFixture,
    table: Table,
    figures: list[Figure],
    drives: dict[str, Drive],
    contender: Callable[[Drive], Contender],
    rounds: int,
) -> None:
    contenders = {name: contender(drive) for name, drive in drives.items()}
    ours = contenders.pop(OURS)
    compete(benchmark, table, figures, ours, contenders, rounds)


def _get(target: Target, path: str, size: int) -> float:
    received, seconds = client.get(target, path)
    assert received == size
    return seconds
