"""Content ids without a store: what a linked device computes of its own files.

    keys = ContentKeys(...)                        # from the server, or repository.content_keys()
    with open("film.mkv", "rb") as stream:
        content = identify_file(stream, keys)      # the id that the same file has in the store

The ids of chunks and file nodes are keyed hashes, the cut points depend on a seed: whoever has
the keys and the seed knows what a file will be called, and tells by that whether it has changed.
Nothing here reveals or needs what seals the store or splits its directories.

`unshared` compares two files by their nodes and reads only those that differ. The server grants
by it what a commit may name, so that a client which asks it beforehand knows what to send.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import msgspec
from blake3 import blake3

from cas.chunking import ORDINARY, SIGNATURE_SIZE, Chunker, ChunkParameters, choose_parameters
from cas.errors import FormatError, InvalidError
from cas.file_nodes import FileNodeBuilder, pieces_from
from cas.formats import FILE_NODE_LIMIT, MiB
from cas.objects import Content, EntryKind, FileNode, decode, encode

CHUNK_SIZE_LIMIT: Final = ORDINARY.maximum
"""Bytes that a chunk may have."""
FILE_SIZE_LIMIT: Final = 1 << 50
"""Bytes that a file may have whose list of chunks a client sends."""
NODE_LEVEL_LIMIT: Final = 8
"""Levels of a file's tree; seven borders in a row happen once in 2^49 chunks."""

_READ_SIZE: Final = 2 * MiB
_NODES_HELD: Final = 4 * NODE_LEVEL_LIMIT
_ID_SIZE: Final = 32


class ContentKeys(msgspec.Struct, array_like=True, frozen=True):
    """What the ids of files' content depend on: two keys of 32 bytes, and the chunker's seed."""

    chunk: bytes
    file_node: bytes
    seed: int = 0

    def __repr__(self) -> str:
        """Leave out the keys: this may end up in a log."""
        return "ContentKeys(...)"

    def chunk_id(self, plaintext: bytes | memoryview) -> bytes:
        """Return the id of a chunk."""
        return blake3(plaintext, key=self.chunk).digest()

    def node_id(self, encoded: bytes | memoryview) -> bytes:
        """Return the id of an encoded file node."""
        return blake3(encoded, key=self.file_node).digest()


class ByteStream(Protocol):
    """Where a file's bytes are read from: an open file in binary mode, say."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class FoundPiece(NamedTuple):
    """A chunk of a file: where it begins, its id, its bytes (valid until the next one comes)."""

    offset: int
    id: bytes
    plaintext: memoryview


def identify_file(
    stream: ByteStream,
    keys: ContentKeys,
    *,
    on_chunk: Callable[[FoundPiece], None] | None = None,
    on_node: Callable[[bytes, bytes], None] | None = None,
) -> Content:
    """Return the content that a file has in the store; memory stays the same whatever the size.

    `on_chunk` is told of each chunk in the order of the file, `on_node` of each file node by id
    and encoded bytes, children before the node that names them. A file of one chunk has no node.
    """
    nodes = _PassingNodes(keys, on_node)
    builder = FileNodeBuilder(nodes)
    offset = 0
    for piece in _cut(stream, keys.seed):
        chunk_id = keys.chunk_id(piece)
        if on_chunk is not None:
            on_chunk(FoundPiece(offset, chunk_id, piece))
        builder.append(chunk_id, len(piece))
        offset += len(piece)
    return builder.finish()


def read_file_node(encoded: bytes | memoryview) -> FileNode:
    """Return a file node that somebody else has sent, if it can be one.

    Raises:
        InvalidError: it is not, or not in the one encoding that its id is the hash of.
    """
    try:
        node = decode(encoded, FileNode)
    except FormatError as error:
        raise InvalidError(str(error)) from error
    is_leaf = node.level == 0
    members = node.pieces if is_leaf else node.spans
    others = node.spans if is_leaf else node.pieces
    if others or not 0 < len(members) <= FILE_NODE_LIMIT or not 0 <= node.level < NODE_LEVEL_LIMIT:
        raise InvalidError("not a file node: it has no members, too many, or of both kinds")
    if any(len(member.id) != _ID_SIZE for member in members):
        raise InvalidError("not a file node: an id has another length")
    if any(
        not 0 < piece.length <= CHUNK_SIZE_LIMIT or piece.repeat <= 0 for piece in node.pieces
    ) or any(span.size <= 0 for span in node.spans):
        raise InvalidError("not a file node: a member is empty or too large")
    if node_size(node) > FILE_SIZE_LIMIT:
        raise InvalidError("not a file node: it stands for more bytes than a file may have")
    if encode(node) != encoded:
        raise InvalidError("not a file node: it is not encoded as its id needs")
    return node


def node_size(node: FileNode) -> int:
    """Return the bytes of content below a file node."""
    if node.level:
        return sum(span.size for span in node.spans)
    return sum(piece.length * piece.repeat for piece in node.pieces)


class NodeLoader(Protocol):
    """Where file nodes are looked up."""

    def __call__(self, node_id: bytes, /) -> FileNode | None:
        """Return the node with this id, None where it is not to be had."""


def chunks_of(content: Content, load: NodeLoader) -> Iterator[tuple[int, bytes, int]]:
    """Yield offset, id and length of a file's chunks, in order.

    Raises:
        KeyError: a node is not to be had.
        IntegrityError: the nodes do not add up to the content's size.
    """
    yield from pieces_from(_Loaded(load), content)


@dataclass(slots=True)
class Unshared:
    """What one file has and others have not. `absent` are its nodes that could not be loaded."""

    nodes: dict[bytes, FileNode] = field(default_factory=dict)
    chunks: dict[tuple[bytes, int], None] = field(default_factory=dict)
    """Ids with their lengths, in the order of the file."""
    absent: list[bytes] = field(default_factory=list)


def unshared(
    content: Content, load: NodeLoader, bases: Iterable[tuple[Content, NodeLoader]]
) -> Unshared:
    """Return the nodes and chunks of a file that none of the bases has at the same level.

    Both are descended side by side, and what they share is not looked into: the cost follows the
    difference. A node that a base has lost counts as not in it.

    Raises:
        InvalidError: the nodes of the file do not fit together, or have not the content's size.
    """
    found = Unshared()
    known = _Known()
    for base, load_base in bases:
        if base == content:
            return found
        known.add(base, load_base)
    wanted = _Wanted(load, found)
    wanted.add(content)
    for level in range(NODE_LEVEL_LIMIT - 1, -1, -1):
        mine, theirs = wanted.nodes.pop(level, {}), known.nodes.pop(level, {})
        for node_id, size in mine.items():
            if node_id not in theirs:
                wanted.expand(node_id, level, size)
        if wanted.is_open:  # else nothing further down is in question
            for node_id, load_base in theirs.items():
                if node_id not in mine:
                    known.expand(node_id, load_base)
    found.chunks = {chunk: None for chunk in wanted.chunks if chunk not in known.chunks}
    return found


class _Known:
    """Nodes of the bases by level that were named and not looked into, and their chunks."""

    def __init__(self) -> None:
        self.nodes: defaultdict[int, dict[bytes, NodeLoader]] = defaultdict(dict)
        self.chunks: set[tuple[bytes, int]] = set()

    def add(self, content: Content, load: NodeLoader) -> None:
        """Take a base's root."""
        if content.kind is EntryKind.CHUNK_FILE:
            self.chunks.add((content.id, content.size))
        elif content.kind is EntryKind.NODE_FILE:
            root = load(content.id)
            if root is not None:
                self.nodes[root.level][content.id] = load

    def expand(self, node_id: bytes, load: NodeLoader) -> None:
        """Take what a node names in its place."""
        node = load(node_id)
        if node is not None:
            for span in node.spans:
                self.nodes[node.level - 1][span.id] = load
            self.chunks.update((piece.id, piece.length) for piece in node.pieces)


class _Wanted:
    """Nodes of the compared file by level, with the sizes they should have, and its chunks."""

    def __init__(self, load: NodeLoader, found: Unshared) -> None:
        self.nodes: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        self.chunks: dict[tuple[bytes, int], None] = {}
        self._load = load
        self._found = found

    @property
    def is_open(self) -> bool:
        """Whether anything is left to look into."""
        return bool(self.chunks) or any(self.nodes.values())

    def add(self, content: Content) -> None:
        """Take the file's root."""
        if content.kind is EntryKind.CHUNK_FILE:
            self.chunks[content.id, content.size] = None
        elif content.kind is EntryKind.NODE_FILE:
            root = self._load(content.id)
            if root is None:
                self._found.absent.append(content.id)
            else:
                self.nodes[root.level][content.id] = content.size

    def expand(self, node_id: bytes, level: int, size: int) -> None:
        """Take what a node names in its place, if the node fits there."""
        node = self._load(node_id)
        if node is None:
            self._found.absent.append(node_id)
            return
        if node.level != level or node_size(node) != size:
            raise InvalidError(f"file node {node_id.hex()} is not what the node above it says")
        self._found.nodes[node_id] = node
        for span in node.spans:
            if self.nodes[level - 1].setdefault(span.id, span.size) != span.size:
                raise InvalidError(f"file node {span.id.hex()} is said to have two sizes")
        self.chunks.update(((piece.id, piece.length), None) for piece in node.pieces)


class _PassingNodes:
    """Gives ids to file nodes and passes them on; the last ones can be looked at again."""

    def __init__(self, keys: ContentKeys, on_node: Callable[[bytes, bytes], None] | None) -> None:
        self._keys = keys
        self._on_node = on_node
        self._held: OrderedDict[bytes, FileNode] = OrderedDict()

    def load_file_node(self, node_id: bytes) -> FileNode:
        """Return one of the last nodes: a builder looks only at those on the right edge."""
        return self._held[node_id]

    def save_file_node(self, node: FileNode) -> bytes:
        """Return the node's id."""
        encoded = encode(node)
        node_id = self._keys.node_id(encoded)
        if self._on_node is not None:
            self._on_node(node_id, encoded)
        self._held[node_id] = node
        self._held.move_to_end(node_id)
        if len(self._held) > _NODES_HELD:
            self._held.popitem(last=False)
        return node_id


class _Loaded:
    """File nodes of a loader, for what expects all of them to be there."""

    def __init__(self, load: NodeLoader) -> None:
        self._load = load

    def load_file_node(self, node_id: bytes) -> FileNode:
        """Return the node with this id."""
        node = self._load(node_id)
        if node is None:
            raise KeyError(node_id)
        return node


def _cut(stream: ByteStream, seed: int) -> Iterator[memoryview]:
    """Yield the chunks of a stream, cut as the store cuts them."""
    segment = _read_full(stream, SIGNATURE_SIZE)
    chunker = _chunker(choose_parameters(segment, seed))
    is_final = len(segment) < SIGNATURE_SIZE
    while True:
        if not is_final:
            block = stream.read(_READ_SIZE)
            is_final = not block
            segment += block
        view = memoryview(segment)
        ends = chunker.cut(segment, final=is_final)
        for start, end in pairwise([0, *ends]):
            yield view[start:end]
        if is_final:
            return
        segment = bytes(view[ends[-1] :]) if ends else segment


def _read_full(stream: ByteStream, size: int) -> bytes:
    """Return the next `size` bytes, fewer only where the stream ends."""
    read = b""
    while len(read) < size and (block := stream.read(size - len(read))):
        read += block
    return read


@cache
def _chunker(parameters: ChunkParameters) -> Chunker:
    return Chunker(parameters)
