"""A file's chunk list: the same chunks make the same tree, and a seek reads a path of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas.errors import IntegrityError
from cas.file_nodes import FileNodeBuilder, FileShape, pieces_from
from cas.ids import Identifier, Kind
from cas.objects import Content, EntryKind, FileNode, decode, encode
from tests.support.corpus import seeded_bytes

SMALL = FileShape(border_bits=1, node_limit=4)
REAL = FileShape()


class MemoryNodes:
    """File nodes in a dict; counts what is read and written."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.loads = 0
        self._identifier = Identifier()

    def load_file_node(self, node_id: bytes) -> FileNode:
        self.loads += 1
        return decode(self.nodes[node_id], FileNode)

    def save_file_node(self, node: FileNode) -> bytes:
        encoded = encode(node)
        node_id = self._identifier.identify(Kind.FILE_NODE, encoded)
        self.nodes[node_id] = encoded
        return node_id


def chunk(number: int) -> tuple[bytes, int]:
    return seeded_bytes(number, 32), number % 7 + 1


def build(nodes: MemoryNodes, chunks: list[tuple[bytes, int]], shape: FileShape) -> Content:
    builder = FileNodeBuilder(nodes, shape)
    for chunk_id, length in chunks:
        builder.append(chunk_id, length)
    return builder.finish()


def placed(chunks: list[tuple[bytes, int]]) -> list[tuple[int, bytes, int]]:
    found, offset = [], 0
    for chunk_id, length in chunks:
        found.append((offset, chunk_id, length))
        offset += length
    return found


chunk_lists = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=60).map(
    lambda runs: [chunk(number) for number, repeat in runs for _ in range(repeat)]
)
shapes = st.sampled_from([SMALL, REAL, FileShape(border_bits=2, node_limit=2)])


@given(chunks=chunk_lists, shape=shapes)
def test_the_chunks_come_back_in_order_from_any_offset(
    chunks: list[tuple[bytes, int]], shape: FileShape
) -> None:
    nodes = MemoryNodes()
    content = build(nodes, chunks, shape)
    everything = placed(chunks)
    size = sum(length for _, length in chunks)
    assert content.size == size
    for offset in {0, 1, size // 2, max(0, size - 1), size, size + 10}:
        expected = [p for p in everything if p[0] + p[2] > offset]
        assert list(pieces_from(nodes, content, offset)) == expected


@given(chunks=chunk_lists, shape=shapes)
def test_no_node_is_too_large_and_none_is_beyond_a_border(
    chunks: list[tuple[bytes, int]], shape: FileShape
) -> None:
    nodes = MemoryNodes()
    content = build(nodes, chunks, shape)
    if content.kind is not EntryKind.NODE_FILE:
        return
    reachable = [content.id]
    for node_id in reachable:
        node = nodes.load_file_node(node_id)
        reachable += [span.id for span in node.spans]
        assert 0 < len(node.pieces) + len(node.spans) <= shape.node_limit
        assert all(shape.height(piece.id) == 0 for piece in node.pieces[:-1])
        assert node_id != content.id or len(node.spans) != 1


def test_a_file_without_bytes_or_of_one_chunk_has_no_node() -> None:
    nodes = MemoryNodes()
    assert build(nodes, [], REAL) == Content(EntryKind.EMPTY_FILE, 0, b"")
    chunk_id, length = chunk(1)
    assert build(nodes, [(chunk_id, length)], REAL) == Content(
        EntryKind.CHUNK_FILE, length, chunk_id
    )
    assert nodes.nodes == {}


def test_a_terabyte_of_zeros_is_one_small_node() -> None:
    nodes = MemoryNodes()
    builder = FileNodeBuilder(nodes)
    for _ in range(100_000):
        builder.append(seeded_bytes(1, 32), 256 * 1024)
    content = builder.finish()
    assert len(nodes.nodes) == 1
    assert len(nodes.nodes[content.id]) < 60
    assert next(pieces_from(nodes, content, content.size - 1))[0] == content.size - 256 * 1024


def test_a_change_of_one_chunk_makes_few_nodes_and_a_seek_reads_few() -> None:
    nodes = MemoryNodes()
    chunks = [chunk(number) for number in range(30_000)]
    content = build(nodes, chunks, REAL)
    before = set(nodes.nodes)
    chunks[15_000] = chunk(99_999)
    build(nodes, chunks, REAL)
    assert len(set(nodes.nodes) - before) <= 6
    nodes.loads = 0
    next(pieces_from(nodes, content, content.size // 2))
    assert nodes.loads <= 4


def test_nodes_that_do_not_add_up_to_the_size_are_damage() -> None:
    nodes = MemoryNodes()
    content = build(nodes, [chunk(number) for number in range(10)], REAL)
    wrong = Content(content.kind, content.size + 1, content.id)
    with pytest.raises(IntegrityError):
        list(pieces_from(nodes, wrong))
