"""What no damage makes, but a program in error might: nodes that are sound and wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from xxhash import xxh3_64_intdigest

import cas
from cas.maintenance.shapes import ROOT, Context, entry_fault, file_fault, tree_fault
from cas.objects import Child, Content, Entry, EntryKind, FileNode, Piece, Span, TreeNode
from cas.trees import TreeShape
from tests.support.checking import assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import chunk_id, damage_object

SHAPE = TreeShape(seed=7)
FILE = Entry(EntryKind.CHUNK_FILE, 5, 0, 0o644, bytes(32))
BORDER = next(
    name
    for number in range(1000)
    if not xxh3_64_intdigest(name := b"m%d" % number, SHAPE.seed) & 31
)
PLAIN = [
    name for number in range(1000) if xxh3_64_intdigest(name := b"x%03d" % number, SHAPE.seed) & 31
]
CHILD = Child(bytes(32), 1, 1, 0, 5)


def leaf(*names: bytes) -> TreeNode:
    return TreeNode(0, list(names), [FILE] * len(names), [])


def inner(level: int, *names: bytes) -> TreeNode:
    return TreeNode(level, list(names), [], [CHILD] * len(names))


@pytest.mark.parametrize(
    ("node", "context", "fault"),
    [
        (leaf(b"a", b"b"), ROOT, None),
        (leaf(b"a", BORDER), Context(0, BORDER, b"", is_last=False), None),
        (TreeNode(0, [], [], []), ROOT, "match"),
        (TreeNode(0, [b"a"], [FILE, FILE], []), ROOT, "match"),
        (TreeNode(0, [b"a"], [FILE], [CHILD]), ROOT, "match"),
        (leaf(b"b", b"a"), ROOT, "order"),
        (leaf(b"a", b"a"), ROOT, "order"),
        (leaf(b"a"), Context(0, b"a", b"a"), "order"),
        (leaf(b"a"), Context(1, b"a"), "level"),
        (leaf(b"a"), Context(0, b"b"), "last name"),
        (inner(1, b"a"), ROOT, "single child"),
        (leaf(BORDER, b"z"), ROOT, "behind its end"),
        (leaf(*PLAIN[:513]), ROOT, "behind its end"),
        (leaf(*PLAIN[:512]), Context(0, PLAIN[511], b"", is_last=False), None),
        (leaf(*PLAIN[:3]), Context(0, PLAIN[2], b"", is_last=False), "before its end"),
        (leaf(b"a/b"), ROOT, "name"),
        (leaf(b".."), ROOT, "name"),
    ],
)
def test_tree_nodes(node: TreeNode, context: Context, fault: str | None) -> None:
    found = tree_fault(node, SHAPE, context)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"content": b""},
        {"mode": 0o10000},
        {"files": 1},
        {"properties": bytes(2000)},
        {"properties": b"x", "properties_id": bytes(32)},
        {"kind": EntryKind.EMPTY_FILE},
        {"kind": EntryKind.DIRECTORY},
        {"kind": EntryKind.SYMLINK},
    ],
)
def test_entries(wrong: dict[str, object]) -> None:
    assert entry_fault(FILE) is None
    assert entry_fault(msgspec.structs.replace(FILE, **wrong)) is not None


def piece(last: int, length: int = 5, repeat: int = 1) -> Piece:
    return Piece(bytes(30) + last.to_bytes(2, "big"), length, repeat)


@pytest.mark.parametrize(
    ("node", "context", "fault"),
    [
        (FileNode(0, [piece(1), piece(2)], []), ROOT, None),
        (FileNode(0, [], []), ROOT, "holds nothing"),
        (FileNode(0, [piece(1)], [Span(bytes(32), 1)]), ROOT, "holds nothing"),
        (FileNode(1, [], [Span(bytes(32), 1)]), ROOT, "single child"),
        (FileNode(1, [], [Span(bytes(32), 1)]), Context(2), "level"),
        (FileNode(0, [piece(1, 0)], []), ROOT, "empty"),
        (FileNode(0, [piece(1, 5, 0)], []), ROOT, "empty"),
        (FileNode(0, [piece(1), piece(1)], []), ROOT, "repeated"),
        (FileNode(0, [piece(128), piece(1)], []), ROOT, "behind its end"),
        (FileNode(0, [piece(1 + n % 2) for n in range(513)], []), ROOT, "behind its end"),
        (FileNode(0, [piece(1)], []), Context(0, is_last=False), "before its end"),
        (FileNode(0, [piece(128)], []), Context(0, is_last=False), None),
    ],
)
def test_file_nodes(node: FileNode, context: Context, fault: str | None) -> None:
    found = file_fault(node, context)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize("size", [3, 40_000])
def test_a_file_of_another_size_than_its_chunks_have_is_named(tmp_path: Path, size: int) -> None:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        upload = volume.upload()
        upload.write(seeded_bytes(1, size * 10))
        content = upload.finish()
        with volume.edit() as edit:
            edit.rely_on(upload)
            edit.put("wrong", Content(content.kind, content.size + 1, content.id))
        repository.checkpoint()
        told = check(repository)
        assert set(told.kinds) == {"inconsistent"}
        assert told.paths == {"v:/wrong"}


def test_paths_are_counted_where_they_are_too_many_to_be_named(tmp_path: Path) -> None:
    data = seeded_bytes(1, 1000)
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        upload = volume.upload()
        upload.write(data)
        with volume.edit() as edit:
            edit.make_directory("0")
            edit.put("0/file", upload)
        for depth in range(40):
            with volume.edit() as edit:
                edit.make_directory("new")
                edit.copy("0", "new/a")
                edit.move("0", "new/b")
                edit.move("new", "0")
            del depth
        assert_sound(repository)
    damage_object(tmp_path / "store", chunk_id(tmp_path / "store", data))
    with cas.open(tmp_path / "store") as repository:
        summary = cas.check_repository(repository, reading=cas.Share())
        assert summary.affected == 100
        assert summary.unnamed == 2**40 - 100
