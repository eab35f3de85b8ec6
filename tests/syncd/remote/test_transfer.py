"""Chunks up and down through a real server: in parallel, resumed, checked."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

import cas
from cas import wire
from syncd.remote.errors import UntrustedError
from syncd.remote.pace import Backoff, TokenBucket
from syncd.remote.transfer import Transfers, WantedChunk
from syncd.remote.trust import check_change, check_entry, check_path, open_chunk, open_node
from tests.support.device import Device, LocalFile
from tests.support.volumes import put


@pytest.fixture
def transfers(device: Device) -> Iterator[Transfers]:
    made = Transfers(device.remote, device.keys)
    yield made
    made.close()


def wanted(path: bytes, file: LocalFile) -> list[WantedChunk]:
    return [
        WantedChunk(path, file.content.id, part.id, len(file.chunks[part.id]), part.offset)
        for part in file.offsets
    ]


def test_a_file_of_many_requests_goes_up_and_comes_down(
    device: Device, transfers: Transfers
) -> None:
    data = random.Random(1).randbytes(20_000_000) + bytes(20_000_000)
    file = device.file(data)
    transfers.send(device.place, file.chunks.items(), file.nodes.values())
    device.commit(wire.PutFile(b"big", file.content, 5))
    nodes = transfers.nodes(device.place, 0, b"big", file.content, lambda _: None)
    assert nodes is not None
    assert set(nodes) == set(file.nodes)
    found = [chunk.plaintext for chunk in transfers.fetch(device.place, 0, wanted(b"big", file))]
    assert b"".join(piece for piece in found if piece is not None) == data


def test_nodes_that_are_known_are_not_fetched(device: Device, transfers: Transfers) -> None:
    data = random.Random(2).randbytes(20_000_000)
    put(device.volume, "big", data + b"!")
    old, new = device.file(data), device.file(data + b"!")
    asked: list[bytes] = []

    def known(node_id: bytes) -> cas.FileNode | None:
        node = old.load(node_id)
        if node is None:
            asked.append(node_id)
        return node

    nodes = transfers.nodes(device.place, 0, b"big", new.content, known)
    assert nodes is not None
    assert list(cas.chunks_of(new.content, nodes.get))[-1][0] < len(data) + 1
    assert len(asked) == 2


def test_a_file_that_has_changed_meanwhile_is_not_there(
    device: Device, transfers: Transfers
) -> None:
    first, second = device.file(b"first" * 200_000), device.file(b"second" * 200_000)
    put(device.volume, "file", b"second" * 200_000)
    fetched = list(transfers.fetch(device.place, 0, wanted(b"file", first)))
    assert {chunk.plaintext for chunk in fetched} == {None}
    assert transfers.nodes(device.place, 0, b"file", first.content, lambda _: None) is None
    assert transfers.nodes(device.place, 0, b"file", second.content, lambda _: None)


def test_an_old_version_is_fetched_from_its_state(device: Device, transfers: Transfers) -> None:
    sequence = put(device.volume, "file", b"first")
    put(device.volume, "file", b"second")
    file = device.file(b"first")
    (chunk,) = transfers.fetch(device.place, sequence, wanted(b"file", file))
    assert chunk.plaintext == b"first"


def test_names_that_lead_out_of_a_folder_are_refused() -> None:
    for path in (b"", b"/", b"/etc", b"a/", b"..", b"a/../b", b".", b"a//b", b"a\0", b"x" * 256):
        with pytest.raises(UntrustedError):
            check_path(path)
    for path in (b"a", b"a/b", b"...", b"C:", b"\xff", b" "):
        check_path(path)


def entry(kind: cas.EntryKind, size: int, content: bytes, **more: object) -> wire.RemoteEntry:
    return wire.RemoteEntry(bytes(32), kind, size, 0, 0o644, content, **more)  # type: ignore[arg-type]


def test_entries_that_cannot_be_are_refused() -> None:
    kinds = cas.EntryKind
    for bad in (
        entry(kinds.CHUNK_FILE, 1, b"short"),
        entry(kinds.CHUNK_FILE, 1 << 40, bytes(32)),
        entry(kinds.CHUNK_FILE, -1, bytes(32)),
        entry(kinds.NODE_FILE, 0, bytes(32)),
        entry(kinds.EMPTY_FILE, 1, b""),
        entry(kinds.DIRECTORY, 0, b"x"),
        entry(kinds.SYMLINK, 0, b"x" * 5000),
        entry(kinds.SYMLINK, 0, b"a\0b"),
        entry(kinds.RECORD, 0, b""),
    ):
        with pytest.raises(UntrustedError):
            check_entry(bad)
    with pytest.raises(UntrustedError):
        check_change(wire.RemoteChange(1, cas.Action.PUT, b"a", None))
    with pytest.raises(UntrustedError):
        check_change(wire.RemoteChange(1, cas.Action.MOVE, b"a", None, b"../b"))


def test_other_bytes_than_an_id_says_are_refused(device: Device) -> None:
    good = wire.pack_chunk(device.keys.chunk_id(b"good"), b"good")
    bad = wire.pack_chunk(good.id, b"evil")
    assert open_chunk(good, good.id, device.keys) == b"good"
    for chunk, chunk_id in ((bad, good.id), (good, bytes(32))):
        with pytest.raises(UntrustedError):
            open_chunk(chunk, chunk_id, device.keys)
    with pytest.raises(UntrustedError):
        open_node(b"node", bytes(32), device.keys)
    with pytest.raises(UntrustedError):
        open_node(b"node", device.keys.node_id(b"node"), device.keys)


def test_a_bucket_lets_bytes_pass_at_its_rate() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    bucket = TokenBucket(1000.0, lambda: now, sleep)
    for _ in range(100):
        bucket.take(100)
    assert now == pytest.approx(10.0, abs=0.5)
    bucket.set_rate(None)
    bucket.take(10**12)
    assert now == pytest.approx(10.0, abs=0.5)


def test_pauses_grow_and_are_as_long_as_the_server_asks() -> None:
    backoff = Backoff(random.Random(1))
    pauses = [backoff.pause() for _ in range(12)]
    assert 0.25 <= pauses[0] <= 0.5
    assert 30.0 <= pauses[-1] <= 60.0
    assert backoff.pause(100.0) >= 100.0
    backoff.reset()
    assert backoff.pause() <= 0.5


def test_streams_are_identified_while_they_are_sent(device: Device, transfers: Transfers) -> None:
    data = random.Random(3).randbytes(3_000_000)
    found: list[tuple[bytes, bytes]] = []
    nodes: list[bytes] = []
    content = cas.identify_file(
        io.BytesIO(data),
        device.keys,
        on_chunk=lambda piece: found.append((piece.id, bytes(piece.plaintext))),
        on_node=lambda _, encoded: nodes.append(encoded),
    )
    transfers.send(device.place, found, nodes)
    device.commit(wire.PutFile(b"stream", content, 5))
    assert device.read("stream") == data
