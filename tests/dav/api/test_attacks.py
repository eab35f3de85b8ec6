"""What a malicious client sends is answered 4xx, and nothing has changed."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable

import msgspec
import pytest
import zstandard

import cas
from cas import wire
from cas.objects import FileNode, Piece, Span, encode
from syncd.remote.client import Remote
from syncd.remote.errors import GoneError, MissingError, RefusedError
from tests.support.device import Device
from tests.support.drive import Drive

KiB = 1024


def raw(
    device: Device, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", device.drive.port, timeout=30)
    token = device.remote.connection.token()
    fields = {"Authorization": f"Bearer {token}", **headers}
    try:
        connection.request(method, f"/api/v1/{path}", body, fields)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def bomb(size: int, frame: bytes | None = None) -> wire.PackedChunk:
    """A chunk that says it is small and would become very large."""
    return wire.PackedChunk(bytes(32), size, 1, frame or zstandard.compress(bytes(64 << 20)))


def stream_bomb() -> bytes:
    """A frame that does not say how long its content is."""
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    return compressor.compress(bytes(64 << 20))


def chunk_cases(device: Device) -> list[wire.PackedChunk]:
    good = wire.pack_chunk(device.keys.chunk_id(b"x" * 1000), b"x" * 1000)
    return [
        msgspec.structs.replace(good, id=bytes(32)),
        msgspec.structs.replace(good, id=b""),
        msgspec.structs.replace(good, size=10),
        msgspec.structs.replace(good, size=0),
        msgspec.structs.replace(good, size=-1),
        msgspec.structs.replace(good, size=1 << 62),
        msgspec.structs.replace(good, codec=9),
        msgspec.structs.replace(good, stored=good.stored[:-1]),
        msgspec.structs.replace(good, stored=good.stored + b"x"),
        bomb(1000),
        bomb(256 * KiB),
        bomb(64 << 20),
        bomb(1000, stream_bomb()),
    ]


@pytest.mark.parametrize("number", range(13))
def test_chunks_that_are_not_what_they_say(device: Device, number: int) -> None:
    chunk = chunk_cases(device)[number]
    with pytest.raises(RefusedError) as caught:
        device.remote.send(device.place, [chunk])
    assert caught.value.status == 400
    with pytest.raises(RefusedError) as caught:
        device.commit(wire.MakeFolder(b"folder"), chunks=[chunk])
    assert caught.value.status == 400
    assert device.paths() == []


def test_more_than_a_request_may_carry(device: Device) -> None:
    data = random.Random(1).randbytes(250 * KiB)
    chunk = wire.pack_chunk(device.keys.chunk_id(data), data)
    zeros = wire.pack_chunk(device.keys.chunk_id(bytes(256 * KiB)), bytes(256 * KiB))
    attempts: list[Callable[[], object]] = [
        lambda: device.remote.send(device.place, [chunk] * 60),
        lambda: device.remote.send(device.place, [zeros] * 2000),
        lambda: device.remote.send(device.place, [], [b""] * 9000),
        lambda: device.remote.missing(device.place, [bytes(32)] * 9000),
        lambda: device.remote.missing(device.place, [], bases=[b"a"] * 17),
        lambda: device.commit(*[wire.MakeFolder(b"f")] * 2001),
        device.commit,
        lambda: device.remote.chunks(
            device.place, 0, [wire.FilePart(b"a", b"", [wire.Located(b"", 0)] * 9000)]
        ),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.status in {400, 413}
    assert device.paths() == []


def node_of(device: Device, node: FileNode) -> tuple[bytes, bytes]:
    encoded = encode(node)
    return device.keys.node_id(encoded), encoded


def test_files_whose_nodes_lie(device: Device) -> None:
    device.remote.send(device.place, [wire.pack_chunk(device.keys.chunk_id(b"x" * 9), b"x" * 9)])
    chunk_id = device.keys.chunk_id(b"x" * 9)
    longer_id, longer = node_of(device, FileNode(0, [Piece(chunk_id, 10, 1)], []))
    leaf_id, leaf = node_of(device, FileNode(0, [Piece(chunk_id, 9, 2)], []))
    lying_id, lying = node_of(device, FileNode(1, [], [Span(leaf_id, 999)]))
    level_id, level = node_of(device, FileNode(3, [], [Span(leaf_id, 18)]))
    file = cas.EntryKind.NODE_FILE
    for content, nodes in [
        (cas.Content(file, 10, longer_id), [longer]),
        (cas.Content(file, 19, leaf_id), [leaf]),
        (cas.Content(file, 999, lying_id), [lying, leaf]),
        (cas.Content(file, 18, level_id), [level, leaf]),
        (cas.Content(cas.EntryKind.CHUNK_FILE, 8, chunk_id), []),
        (cas.Content(cas.EntryKind.EMPTY_FILE, 9, b""), []),
        (cas.Content(cas.EntryKind.EMPTY_FILE, 0, chunk_id), []),
        (cas.Content(cas.EntryKind.CHUNK_FILE, 0, b""), []),
        (cas.Content(cas.EntryKind.DIRECTORY, 0, b""), []),
        (cas.Content(cas.EntryKind.SYMLINK, 9, b"/etc/passwd"), []),
        (cas.Content(cas.EntryKind.RECORD, 9, b"recordrec"), []),
    ]:
        with pytest.raises(RefusedError) as caught:
            device.commit(wire.PutFile(b"file", content, 5), nodes=nodes)
        assert caught.value.status == 400, content
    assert device.paths() == []


def test_a_folder_s_tree_cannot_be_passed_off_as_a_file(device: Device) -> None:
    with device.volume.edit() as edit:
        edit.make_directory("a/b", parents=True)
    with device.volume.view() as view:
        tree_id = view.entry("a").content
    for kind in (cas.EntryKind.CHUNK_FILE, cas.EntryKind.NODE_FILE):
        with pytest.raises(MissingError):
            device.commit(wire.PutFile(b"file", cas.Content(kind, 10, tree_id), 5))


def test_paths_that_are_none(device: Device) -> None:
    device.put(b"file", b"x")
    bad = [b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"a\0b", b"x" * 256, b"a/" * 300 + b"a"]
    for path in [*bad, b""]:
        with pytest.raises(RefusedError):
            device.commit(wire.Remove(path))
        with pytest.raises(RefusedError):
            device.commit(wire.Move(b"file", path))
        with pytest.raises(RefusedError):
            device.put(path, b"x")
    for path in bad:
        with pytest.raises(RefusedError) as caught:
            device.remote.head(wire.Place(device.volume.id, path))
        assert caught.value.status in {400, 404}
        with pytest.raises(RefusedError) as caught:
            device.remote.page(device.place, after=path)
        assert caught.value.status in {400, 404}
    assert device.paths() == ["file"]


def test_moves_that_would_make_a_cycle(device: Device) -> None:
    device.commit(wire.MakeFolder(b"a"), wire.MakeFolder(b"a/b"))
    for move in (wire.Move(b"a", b"a/b/c"), wire.Move(b"a", b"a"), wire.Copy(b"a", b"a/b/c")):
        with pytest.raises(RefusedError) as caught:
            device.commit(move)
        assert caught.value.status == 409
        assert [failure.index for failure in caught.value.refusal.failures] == [0]
    assert device.paths() == ["a", "a/b"]


def test_keys_devices_and_times_that_are_none(device: Device) -> None:
    for key in ("", "x" * 65, "a b", "é", "\n"):
        with pytest.raises(RefusedError) as caught:
            device.commit(wire.MakeFolder(b"f"), key=key)
        assert caught.value.status == 400
    for name in ("x" * 101, "a\nb"):
        with pytest.raises(RefusedError) as caught:
            device.commit(wire.MakeFolder(b"f"), device=name)
        assert caught.value.status == 400
    for time_ns in (1 << 63, -(1 << 63) - 1):
        with pytest.raises((RefusedError, OverflowError)):
            device.commit(wire.MakeFolder(b"f", mtime_ns=time_ns))
    assert device.paths() == []


def test_the_registry_is_no_volume_for_anybody(device: Device, drive: Drive) -> None:
    place = wire.Place(drive.repository.registry.id)
    with pytest.raises(GoneError):
        device.remote.head(place)
    with pytest.raises(GoneError):
        device.remote.commit(wire.CommitRequest(place, "k", 0, [wire.MakeFolder(b"users/eve")]))


def test_a_foreign_volume_is_as_none(device: Device, bob: Remote) -> None:
    nobody = wire.Place(bytes(16))
    for place in (device.place, nobody):
        for attempt in (
            lambda place=place: bob.head(place),
            lambda place=place: bob.delta(place, 0),
            lambda place=place: bob.page(place),
            lambda place=place: bob.nodes(place, 0, []),
            lambda place=place: bob.missing(place, []),
            lambda place=place: bob.send(place, []),
            lambda place=place: bob.commit(
                wire.CommitRequest(place, "k", 0, [wire.MakeFolder(b"f")])
            ),
        ):
            with pytest.raises(GoneError):
                attempt()
    assert device.paths() == []


def test_bodies_that_are_no_messages(device: Device) -> None:
    deep = b"\x91" * 100_000
    wide = b"\xdd\xff\xff\xff\xff"
    garbage = random.Random(2).randbytes(99)
    bodies = [b"", b"\xc1", b"{}", deep, wide, b"\x90", b"\x80", garbage]
    for path in ("sync/tree", "nodes/get", "chunks/get", "chunks/missing", "chunks", "commit"):
        for body in bodies:
            status, answer = raw(device, "POST", path, body)
            assert status == 400, (path, body[:20])
            assert wire.decode_message(answer, wire.Refusal).kind == "invalid"
        status, _ = raw(device, "POST", path, b"", **{"Content-Length": str(13 << 20)})
        assert status == 413
    assert device.paths() == []


def test_queries_that_are_none(device: Device) -> None:
    volume = device.volume.id.hex()
    for query in (
        "",
        "volume",
        "volume=x",
        "volume=00",
        f"volume={volume}&volume={volume}",
        f"volume={volume}&since=-1",
        f"volume={volume}&since=99999999999999999999999",
        f"volume={volume}&since=x",
        f"volume={volume}&wait=100000",
        f"volume={volume}&limit=99999999",
        "&".join("a=b" for _ in range(50)),
    ):
        status, _ = raw(device, "GET", f"sync/delta?{query}")
        assert status == 400, query


def test_who_does_not_sign_in_learns_nothing(device: Device) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", device.drive.port, timeout=30)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": "casdav-session=x"}):
        for method, path in (("GET", "volumes"), ("POST", "commit"), ("GET", "sync/delta")):
            connection.request(method, f"/api/v1/{path}", headers=headers)
            response = connection.getresponse()
            assert response.status == 401
            response.read()
    connection.close()


def test_addresses_and_methods_that_there_are_not(device: Device) -> None:
    assert raw(device, "GET", "nothing")[0] == 404
    assert raw(device, "DELETE", "commit")[0] == 405
    assert raw(device, "GET", "")[0] == 200
