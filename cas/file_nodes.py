"""A file's chunk list as a Merkle tree, split where a chunk id's low bits are zero.

A leaf holds pieces (chunk, length, repeat), an inner node spans (node, bytes). An edit of a huge
file changes O(log n) nodes, a seek reads O(log n). A run of equal chunks is one piece, so that a
terabyte of zeros is a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from cas.errors import IntegrityError
from cas.formats import FILE_BORDER_BITS, FILE_NODE_LIMIT
from cas.objects import EMPTY_CONTENT, Content, EntryKind, FileNode, Piece, Span


class FileNodeSource(Protocol):
    """Where file nodes are read from."""

    def load_file_node(self, node_id: bytes) -> FileNode:
        """Return the node with this id."""


class FileNodes(FileNodeSource, Protocol):
    """Where file nodes are read from and kept."""

    def save_file_node(self, node: FileNode) -> bytes:
        """Keep the node and return its id."""


class FileShape(NamedTuple):
    """The numbers that give a file's tree its shape; they are format."""

    border_bits: int = FILE_BORDER_BITS
    node_limit: int = FILE_NODE_LIMIT

    def height(self, chunk_id: bytes) -> int:
        """Return on how many levels, from the leaves up, the chunk ends a node."""
        low = int.from_bytes(chunk_id[-8:], "big") or 1 << 63
        return ((low & -low).bit_length() - 1) // self.border_bits


class FileNodeBuilder:
    """Takes a file's chunks in order and yields its content. Memory: one node per level."""

    def __init__(self, nodes: FileNodes, shape: FileShape | None = None) -> None:
        self._nodes = nodes
        self._shape = shape or FileShape()
        self._run: tuple[bytes, int] | None = None
        self._repeat = 0
        self._size = 0
        self._pieces: list[Piece] = []
        self._spans: list[list[Span]] = [[]]  # by level; level 0 has none

    def append(self, chunk_id: bytes, length: int) -> None:
        """Take the file's next chunk of `length` bytes."""
        self._size += length
        if self._run == (chunk_id, length):
            self._repeat += 1
            return
        self._end_run()
        self._run = (chunk_id, length)
        self._repeat = 1

    def finish(self) -> Content:
        """Return the content that all the chunks make."""
        if self._run is None:
            return EMPTY_CONTENT
        if self._repeat == 1 and not self._pieces and len(self._spans) == 1:
            return Content(EntryKind.CHUNK_FILE, self._size, self._run[0])
        self._end_run()
        return Content(EntryKind.NODE_FILE, self._size, self._finish_nodes())

    def _finish_nodes(self) -> bytes:
        level = 0
        while True:
            top = level == len(self._spans) - 1
            if top and level and len(self._spans[level]) == 1:
                return self._lowest_root(self._spans[level][0].id)
            if self._pieces if level == 0 else self._spans[level]:
                self._end(level, b"\xff" * 8)
            level += 1

    def _lowest_root(self, root: bytes) -> bytes:
        node = self._nodes.load_file_node(root)
        while node.level and len(node.spans) == 1:
            root = node.spans[0].id
            node = self._nodes.load_file_node(root)
        return root

    def _end_run(self) -> None:
        if self._run is None:
            return
        chunk_id, length = self._run
        self._pieces.append(Piece(chunk_id, length, self._repeat))
        if len(self._pieces) >= self._shape.node_limit or self._shape.height(chunk_id) > 0:
            self._end(0, chunk_id)

    def _end(self, level: int, border: bytes) -> None:
        if level:
            spans = self._spans[level]
            self._spans[level] = []
            node = FileNode(level, [], spans)
            size = sum(span.size for span in spans)
        else:
            pieces = self._pieces
            self._pieces = []
            node = FileNode(0, pieces, [])
            size = sum(piece.length * piece.repeat for piece in pieces)
        self._add_span(level + 1, Span(self._nodes.save_file_node(node), size), border)

    def _add_span(self, level: int, span: Span, border: bytes) -> None:
        if len(self._spans) <= level:
            self._spans.append([])
        self._spans[level].append(span)
        full = len(self._spans[level]) >= self._shape.node_limit
        if full or self._shape.height(border) > level:
            self._end(level, border)


def content_of(nodes: FileNodes, chunks: Sequence[tuple[bytes, int]]) -> Content:
    """Return the content that chunks make, given with their lengths in bytes."""
    if len(chunks) == 1:
        ((chunk_id, length),) = chunks
        return Content(EntryKind.CHUNK_FILE, length, chunk_id)
    builder = FileNodeBuilder(nodes)
    for chunk_id, length in chunks:
        builder.append(chunk_id, length)
    return builder.finish()


def pieces_from(
    nodes: FileNodeSource, content: Content, offset: int = 0
) -> Iterator[tuple[int, bytes, int]]:
    """Yield (offset in the file, chunk id, length) of the chunks from the one at `offset` on.

    Raises:
        IntegrityError: the nodes do not add up to the content's size.
    """
    if content.kind is EntryKind.CHUNK_FILE:
        if offset < content.size:
            yield 0, content.id, content.size
    elif content.kind is EntryKind.NODE_FILE:
        position = 0
        for position, chunk_id, length in _walk(nodes, content.id, 0, offset):
            yield position, chunk_id, length
            position += length  # noqa: PLW2901 - the end of the last chunk is checked below
        if offset < content.size and position != content.size:
            message = f"a file of {content.size} bytes has chunks for {position}"
            raise IntegrityError(message)


def objects_of(nodes: FileNodeSource, content: Content) -> Iterator[bytes]:
    """Yield the ids of all objects that a content is made of, nodes before what they name."""
    if content.kind is EntryKind.CHUNK_FILE:
        yield content.id
    waiting = [content.id] if content.kind is EntryKind.NODE_FILE else []
    while waiting:
        node_id = waiting.pop()
        yield node_id
        node = nodes.load_file_node(node_id)
        waiting += (span.id for span in node.spans)
        yield from (piece.id for piece in node.pieces)


def _walk(
    nodes: FileNodeSource, node_id: bytes, start: int, offset: int
) -> Iterator[tuple[int, bytes, int]]:
    node = nodes.load_file_node(node_id)
    for span in node.spans:
        if start + span.size > offset:
            yield from _walk(nodes, span.id, start, offset)
        start += span.size
    for piece in node.pieces:
        end = start + piece.length * piece.repeat
        if end > offset:
            skipped = max(0, (offset - start) // piece.length)
            for position in range(start + skipped * piece.length, end, piece.length):
                yield position, piece.id, piece.length
        start = end
