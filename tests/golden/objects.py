"""The golden vectors of everything that is stored: bytes and ids of one object of each kind.

An object is made of numbers given here and of `seeded_bytes(seed, length)`. A vector holds the
length and the BLAKE3 of its bytes, its id where it has one, and the bytes themselves while they
are few.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from cas.file_nodes import FileNodeBuilder
from cas.formats import RepositoryConfig, encode_config
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import Action, Batch, Change, ChangeNode, Commit, JournalRecord
from cas.objects import (
    Child,
    Entry,
    EntryKind,
    FileNode,
    Piece,
    Span,
    TreeNode,
    decode,
    encode,
    encode_properties,
)
from cas.packfile import (
    Footer,
    PackKind,
    Record,
    RecordPlace,
    encode_footer,
    encode_header,
    encode_record_header,
)
from cas.refs import Ref, move_ref
from cas.stores.memory import MemoryStore
from cas.trees import TreeShape, edit
from tests.support.corpus import seeded_bytes
from tests.support.memory_nodes import MemoryTreeNodes

OBJECTS_FILE: Final = Path(__file__).with_name("objects.json")
_SHOWN: Final = 400
"""Bytes up to which a vector holds the object itself."""
_TIME_NS: Final = 1_795_000_000_123_456_789


@dataclass(frozen=True)
class Vector:
    """One object: `id` and `content` are hex digits, or empty."""

    name: str
    size: int
    blake3: str
    id: str
    content: str


def vectors() -> list[Vector]:
    """Return what this version of the program makes of the inputs."""
    return [*_ids(), *_objects(), *_trees(), *_documents()]


def recorded() -> dict[str, list[Vector]]:
    """Return the recorded vectors by format version."""
    if not OBJECTS_FILE.exists():
        return {}
    versions: dict[str, list[dict[str, str]]] = json.loads(OBJECTS_FILE.read_text())
    return {
        version: [Vector(**each) for each in found]  # type: ignore[arg-type]
        for version, found in versions.items()
    }


def _vector(name: str, content: bytes, object_id: bytes = b"") -> Vector:
    shown = content.hex() if len(content) <= _SHOWN else ""
    return Vector(name, len(content), blake3(content).hexdigest(), object_id.hex(), shown)


def _id(seed: int) -> ObjectId:
    return ObjectId(seeded_bytes(seed, 32))


FILE: Final = Entry(
    EntryKind.NODE_FILE,
    3_000_000,
    _TIME_NS,
    0o644,
    _id(1),
    created_ns=_TIME_NS - 1,
    content_type="text/plain",
    properties=encode_properties({"{urn:x}b": "<b/>", "{DAV:}a": "é"}),
)
FOLDER: Final = Entry(
    EntryKind.DIRECTORY, 5_000_000_000, _TIME_NS, 0o755, _id(2), files=70_000, folders=300
)
ENTRIES: Final = {
    "file": FILE,
    "folder": FOLDER,
    "empty folder": Entry(EntryKind.DIRECTORY, 0, 0, 0o755, b""),
    "empty file": Entry(EntryKind.EMPTY_FILE, 0, -1, 0o600, b""),
    "file of one chunk": Entry(EntryKind.CHUNK_FILE, 5, 1, 0o777, _id(3), properties_id=_id(4)),
    "symlink": Entry(EntryKind.SYMLINK, 4, 1, 0o777, b"\xff../"),
    "record": Entry(EntryKind.RECORD, 0, 1, 0o600, b"\x93\x01\x02\x03"),
}
CHANGE: Final = Change(
    Action.MOVE, b"new/\xff", None, FILE, "alice", "laptop", _TIME_NS, b"old", bytes(16), "key"
)


def _ids() -> Iterator[Vector]:
    content = seeded_bytes(10, 1000)
    for kind in Kind:
        for name, secret in (("public", None), ("secret", b"a secret")):
            identifier = Identifier() if secret is None else Identifier(secret)
            yield _vector(f"id {kind.name} {name}", content, identifier.identify(kind, content))


def _objects() -> Iterator[Vector]:
    identify = Identifier().identify
    named: list[tuple[str, Kind, object]] = [
        *((f"entry {name}", Kind.ENTRY, entry) for name, entry in ENTRIES.items()),
        (
            "file node leaf",
            Kind.FILE_NODE,
            FileNode(0, [Piece(_id(5), 65_536, 1), Piece(_id(6), 1, 70_000)], []),
        ),
        ("file node inner", Kind.FILE_NODE, FileNode(1, [], [Span(_id(7), 2**40)])),
        ("tree node leaf", Kind.TREE_NODE, TreeNode(0, [b"a", b"\xff"], [FILE, FOLDER], [])),
        (
            "tree node inner",
            Kind.TREE_NODE,
            TreeNode(2, [b"m", b"z"], [], [Child(_id(8), 9, 8, 7, 6), Child(_id(9), 5, 4, 3, 2)]),
        ),
        ("change node leaf", Kind.CHANGE_NODE, ChangeNode(0, [CHANGE], [])),
        ("change node inner", Kind.CHANGE_NODE, ChangeNode(1, [], [_id(11), _id(12)])),
        (
            "commit",
            Kind.COMMIT,
            Commit(bytes(range(16)), _id(13), FOLDER, _id(14), 5, 900, _TIME_NS, _id(15), 77),
        ),
        (
            "journal record",
            Kind.JOURNAL,
            JournalRecord(77, _id(16), _TIME_NS, [Batch(bytes(range(16)), 900, [CHANGE], FOLDER)]),
        ),
        (
            "journal record that voids",
            Kind.JOURNAL,
            JournalRecord(78, b"", _TIME_NS, [], voids=_id(17)),
        ),
    ]
    for name, kind, value in named:
        yield _vector(name, encode(value), identify(kind, encode(value)))


def _trees() -> Iterator[Vector]:
    """Return roots: what a whole tree comes to says how it is split."""
    for seed, count in ((0, 2000), (2**63 - 1, 2000), (7, 40)):
        nodes = MemoryTreeNodes()
        content = {b"name %d" % n: Entry(EntryKind.EMPTY_FILE, 0, n, 0, b"") for n in range(count)}
        root = edit(nodes, TreeShape(seed), b"", dict(content))
        assert root is not None
        name = f"tree of {count} names, seed {seed}"
        yield _vector(name, nodes.nodes[root.id], root.id)
    file_nodes = _MemoryFileNodes()
    builder = FileNodeBuilder(file_nodes)
    for number in range(3000):
        builder.append(seeded_bytes(number // 2 if number % 9 else 0, 32), 1000)
    content_id = builder.finish().id
    yield _vector("file of 3000 chunks", file_nodes.nodes[content_id], content_id)


def _documents() -> Iterator[Vector]:
    yield _vector("pack", _pack())
    store = MemoryStore()
    ref = Ref(bytes(range(16)), _id(18), 900, 77, _id(16), bytes(range(16)))
    move_ref(store, Identifier(), ref)
    ((_, content),) = store.objects.items()
    yield _vector("ref", content)
    config = RepositoryConfig(
        identity=bytes(range(16)),
        secret=bytes(range(32)),
        tree_seed=2**63 - 1,
        created="2026-11-22T00:00:00+00:00",
    )
    yield _vector("config", encode_config(config))


def _pack() -> bytes:
    """Return a sealed pack of raw records: how zstd compresses is no format."""
    pack_id = bytes(range(16))
    content = encode_header(PackKind.DATA, pack_id)
    places = []
    plain = [
        (Kind.CHUNK, seeded_bytes(20, 1000)),
        (Kind.CHUNK, b""),
        (Kind.JOURNAL, seeded_bytes(21, 100)),
    ]
    for index, (kind, stored) in enumerate(plain):
        record = Record(kind, Identifier().identify(kind, stored), len(stored), 0, stored)
        size = len(stored)
        places.append(RecordPlace(kind, record.id, len(content), size, size, 0))
        content += encode_record_header(record, index, pack_id) + stored
    return content + encode_footer(Footer(places, 77, 77))


class _MemoryFileNodes:
    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}

    def load_file_node(self, node_id: bytes) -> FileNode:
        return decode(self.nodes[node_id], FileNode)

    def save_file_node(self, node: FileNode) -> bytes:
        node_id = Identifier().identify(Kind.FILE_NODE, encode(node))
        self.nodes[node_id] = encode(node)
        return node_id
