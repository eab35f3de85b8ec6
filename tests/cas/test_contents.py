"""A device computes the same ids as the store, and finds out what one file has and others lack."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cas
from cas import wire
from cas.contents import NODE_LEVEL_LIMIT
from cas.objects import FileNode, Piece, Span, encode

KiB = 1024
MiB = 1024 * KiB


class Local:
    """What a device finds in its own file."""

    def __init__(self, data: bytes, keys: cas.ContentKeys) -> None:
        self.encoded: dict[bytes, bytes] = {}
        self.pieces: list[tuple[int, bytes, int]] = []
        self.content = cas.identify_file(
            io.BytesIO(data),
            keys,
            on_chunk=lambda piece: self.pieces.append(
                (piece.offset, piece.id, len(piece.plaintext))
            ),
            on_node=self.encoded.__setitem__,
        )

    def load(self, node_id: bytes) -> cas.FileNode | None:
        encoded = self.encoded.get(node_id)
        return None if encoded is None else cas.read_file_node(encoded)


@pytest.fixture(scope="module", params=["plain", "encrypted"])
def repository(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[cas.Repository]:
    key = cas.KeyFile(bytes(range(32))) if request.param == "encrypted" else None
    with cas.create(tmp_path_factory.mktemp("contents") / "store", key=key) as made:
        yield made


@pytest.fixture(scope="module")
def keys(repository: cas.Repository) -> cas.ContentKeys:
    return repository.content_keys()


@pytest.fixture(scope="module")
def plain_keys(tmp_path_factory: pytest.TempPathFactory) -> cas.ContentKeys:
    """Keys that are always the same: with those of an encrypted repository cuts are by chance."""
    with cas.create(tmp_path_factory.mktemp("plain") / "store") as made:
        return made.content_keys()


def random_bytes(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


SAMPLES = {
    "empty": b"",
    "one byte": b"x",
    "one chunk": random_bytes(1, 12 * KiB),
    "signature": random_bytes(2, 4096),
    "several chunks": random_bytes(3, MiB + 17),
    "longer than one read": random_bytes(4, 5 * MiB + 1),
    "zeros": bytes(9 * MiB),
    "database": b"SQLite format 3\0" + random_bytes(5, 3 * MiB),
    "many nodes": random_bytes(6, 24 * MiB),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_device_computes_the_content_that_the_store_has(
    name: str, repository: cas.Repository, keys: cas.ContentKeys
) -> None:
    data = SAMPLES[name]
    volume = repository.create_volume(name.replace(" ", "-"))
    with volume.upload() as upload:
        upload.write(data)
        stored = upload.finish()
    local = Local(data, keys)
    assert local.content == stored
    assert list(cas.chunks_of(local.content, local.load)) == local.pieces
    assert sum(length for _, _, length in local.pieces) == len(data)


def test_streams_that_give_few_bytes_at_a_time_are_cut_the_same(keys: cas.ContentKeys) -> None:
    data = SAMPLES["several chunks"]

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1000))

    assert cas.identify_file(Slow(data), keys) == Local(data, keys).content


def test_what_an_insert_leaves_unshared_is_a_chunk_and_the_nodes_above_it(
    plain_keys: cas.ContentKeys,
) -> None:
    data = SAMPLES["many nodes"]
    old, new = Local(data, plain_keys), Local(b"!" + data, plain_keys)
    found = cas.unshared(new.content, new.load, [(old.content, old.load)])
    assert not found.absent
    assert len(found.nodes) == 2  # a leaf and the root
    assert len(found.chunks) <= 2


def test_the_base_is_read_only_where_it_differs(plain_keys: cas.ContentKeys) -> None:
    data = SAMPLES["many nodes"]
    old, new = Local(data, plain_keys), Local(data + b"!", plain_keys)
    asked: set[bytes] = set()

    def load(node_id: bytes) -> cas.FileNode | None:
        asked.add(node_id)
        return old.load(node_id)

    cas.unshared(new.content, new.load, [(old.content, load)])
    assert len(asked) < len(old.encoded)


def test_a_node_that_is_not_to_be_had_is_named(keys: cas.ContentKeys) -> None:
    new = Local(SAMPLES["many nodes"], keys)
    lost = next(iter(new.encoded))
    found = cas.unshared(
        new.content, lambda node_id: None if node_id == lost else new.load(node_id), []
    )
    assert found.absent == [lost]
    assert lost not in found.nodes


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), edits=st.lists(st.integers(0, 2**20), max_size=4))
def test_unshared_and_shared_together_are_the_file(seed: int, edits: list[int]) -> None:
    keys = cas.ContentKeys(bytes(32), bytes([1]) * 32)
    data = random_bytes(seed, 2 * MiB)
    edited = bytearray(data)
    for position in edits:
        edited[position] ^= 1
    old, new = Local(data, keys), Local(bytes(edited), keys)
    found = cas.unshared(new.content, new.load, [(old.content, old.load)])
    mine = {(chunk_id, length) for _, chunk_id, length in new.pieces}
    theirs = {(chunk_id, length) for _, chunk_id, length in old.pieces}
    assert mine - theirs <= set(found.chunks) <= mine
    assert set(new.encoded) - set(old.encoded) <= set(found.nodes)


def leaf(length: int = 1, repeat: int = 1, count: int = 1, size: int = 32) -> bytes:
    return encode(FileNode(0, [Piece(bytes(size), length, repeat)] * count, []))


BAD_NODES = {
    "no MessagePack": b"\xc1",
    "no members": encode(FileNode(0, [], [])),
    "both kinds": encode(FileNode(0, [Piece(bytes(32), 1, 1)], [Span(bytes(32), 1)])),
    "spans in a leaf": encode(FileNode(0, [], [Span(bytes(32), 1)])),
    "pieces above leaves": encode(FileNode(1, [Piece(bytes(32), 1, 1)], [])),
    "too many": leaf(count=513),
    "short id": leaf(size=31),
    "empty piece": leaf(length=0),
    "huge piece": leaf(length=cas.CHUNK_SIZE_LIMIT + 1),
    "negative repeat": leaf(repeat=-1),
    "petabytes of zeros": leaf(length=cas.CHUNK_SIZE_LIMIT, repeat=2**62),
    "a span of nothing": encode(FileNode(1, [], [Span(bytes(32), 0)])),
    "too high": encode(FileNode(NODE_LEVEL_LIMIT, [], [Span(bytes(32), 1)])),
    "below the leaves": encode(FileNode(-1, [], [Span(bytes(32), 1)])),
    "something behind": leaf() + b"\x00",
    "another encoding": leaf().replace(b"\xc4 ", b"\xc5\x00 "),
}


@pytest.mark.parametrize("name", BAD_NODES)
def test_what_cannot_be_a_file_node_is_refused(name: str) -> None:
    with pytest.raises(cas.InvalidError):
        cas.read_file_node(BAD_NODES[name])


def test_nodes_that_do_not_fit_together_are_refused(keys: cas.ContentKeys) -> None:
    below = leaf(length=10)
    lying = encode(FileNode(1, [], [Span(keys.node_id(below), 11)]))
    nodes = {keys.node_id(each): cas.read_file_node(each) for each in (below, lying)}
    content = cas.Content(cas.EntryKind.NODE_FILE, 11, keys.node_id(lying))
    with pytest.raises(cas.InvalidError, match="not what the node above"):
        cas.unshared(content, nodes.get, [])
    with pytest.raises(cas.InvalidError):
        cas.unshared(cas.Content(cas.EntryKind.NODE_FILE, 12, content.id), nodes.get, [])


def test_the_keys_are_not_shown(keys: cas.ContentKeys) -> None:
    assert keys.chunk.hex() not in repr(keys)
    assert repr(keys) == "ContentKeys(...)"


def test_a_chunk_comes_out_as_it_went_in(keys: cas.ContentKeys) -> None:
    for plaintext in (b"a" * 70_000, random_bytes(7, 1000)):
        packed = wire.pack_chunk(keys.chunk_id(plaintext), plaintext)
        assert wire.unpack_chunk(packed, keys) == plaintext


def test_a_chunk_that_is_not_what_it_says_is_refused(keys: cas.ContentKeys) -> None:
    packed = wire.pack_chunk(keys.chunk_id(b"a" * 70_000), b"a" * 70_000)
    wrong = [
        wire.PackedChunk(bytes(32), packed.size, packed.codec, packed.stored),
        wire.PackedChunk(packed.id, packed.size + 1, packed.codec, packed.stored),
        wire.PackedChunk(packed.id, packed.size, 7, packed.stored),
        wire.PackedChunk(packed.id, 1 << 40, packed.codec, packed.stored),
        wire.PackedChunk(packed.id, -1, packed.codec, packed.stored),
        wire.PackedChunk(packed.id, packed.size, packed.codec, packed.stored[:-3]),
        wire.PackedChunk(packed.id, 5, 0, b"12345"),
    ]
    for chunk in wrong:
        with pytest.raises(cas.InvalidError):
            wire.unpack_chunk(chunk, keys)


def test_messages_come_out_as_they_went_in() -> None:
    place = wire.Place(bytes(16), b"caf\xe9/\xff")
    request = wire.CommitRequest(
        place,
        "key",
        7,
        [
            wire.PutFile(b"a", cas.EMPTY_CONTENT, 5, expect=wire.Unchanged(), bases=[b"b"]),
            wire.MakeFolder(b"d"),
            wire.PutLink(b"l", b"target", 5, expect=wire.HasEntry(bytes(32))),
            wire.Remove(b"r", wire.HasContent(b"")),
            wire.Move(b"s", b"t", wire.Exists(), wire.Absent()),
            wire.Copy(b"s", b"t"),
            wire.SetAttributes(b"x", mode=0o755),
        ],
        device="laptop",
    )
    encoded = wire.encode_message(request)
    assert wire.decode_message(encoded, wire.CommitRequest) == request
    for cut in range(len(encoded)):
        with pytest.raises(cas.InvalidError):
            wire.decode_message(encoded[:cut], wire.CommitRequest)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (b"\x93", wire.MissingRequest),
        (b"\x93", wire.SendRequest),
        (b"\x94\xa1k\x00", wire.CommitRequest),
        (b"\x93\x00", wire.PartsRequest),
    ],
)
def test_of_long_lists_nothing_is_decoded(before: bytes, expected: type[msgspec.Struct]) -> None:
    place = msgspec.msgpack.encode(wire.Place(bytes(16)))
    # The list ends at once: who looks at its items finds that, and not how long it is.
    endless = b"\xdd\x00\xff\xff\xff"
    with pytest.raises(cas.InvalidError, match="length <= "):
        wire.decode_message(before[:1] + place + before[1:] + endless, expected)
