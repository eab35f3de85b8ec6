"""A directory's tree: its shape follows from the set of names alone, and an edit costs a path."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cas.objects import Entry, EntryKind
from cas.trees import Edits, TreeShape, edit, iterate, lookup
from tests.support.memory_nodes import MemoryTreeNodes

SMALL = TreeShape(seed=7, border_bits=1, node_limit=4)
MEDIUM = TreeShape(seed=1, border_bits=2, node_limit=6)
REAL = TreeShape(seed=3)


def entry(number: int) -> Entry:
    if number % 5 == 0:
        return Entry(EntryKind.DIRECTORY, number, 0, 0, b"tree", files=number + 1, folders=number)
    return Entry(EntryKind.CHUNK_FILE, number, 0, 0, b"chunk")


def build(nodes: MemoryTreeNodes, shape: TreeShape, content: dict[bytes, Entry]) -> bytes:
    root = edit(nodes, shape, b"", dict(content))
    return root.id if root else b""


def check_sums(nodes: MemoryTreeNodes, root: bytes) -> tuple[int, int, int, int]:
    """Return entries, files, folders and size below the node, recounted; check what it says."""
    node = nodes.load_tree_node(root)
    assert node.names == sorted(set(node.names))
    if node.level == 0:
        sums = [(1, e.file_count, e.folder_count, e.size) for e in node.entries]
    else:
        sums = []
        for name, child in zip(node.names, node.children, strict=True):
            below = nodes.load_tree_node(child.id)
            assert below.level == node.level - 1
            assert below.names[-1] == name
            found = check_sums(nodes, child.id)
            assert found == (child.entries, child.files, child.folders, child.size)
            sums.append(found)
    a, b, c, d = (sum(column) for column in zip(*sums, strict=True))
    return a, b, c, d


def check_shape(nodes: MemoryTreeNodes, shape: TreeShape, root: bytes) -> None:
    """Every node but the last of its level ends at a border or is full; none goes beyond one."""
    levels: dict[int, list[list[bytes]]] = {}

    def gather(node_id: bytes) -> None:
        node = nodes.load_tree_node(node_id)
        levels.setdefault(node.level, []).append(node.names)
        for child in node.children:
            gather(child.id)

    gather(root)
    for level, found in levels.items():
        for names in found:
            assert 0 < len(names) <= shape.node_limit
            assert all(shape.height(name) <= level for name in names[:-1])
        for names in found[:-1]:
            assert shape.height(names[-1]) > level or len(names) == shape.node_limit
    assert len(levels[max(levels)]) == 1
    if max(levels):
        assert len(levels[max(levels)][0]) > 1


names = st.one_of(st.binary(min_size=1, max_size=2), st.integers(0, 60).map(lambda n: b"%03d" % n))
contents = st.dictionaries(names, st.integers(0, 20).map(entry), max_size=60)
edits = st.dictionaries(names, st.none() | st.integers(0, 20).map(entry), max_size=25)
shapes = st.sampled_from([SMALL, MEDIUM, REAL, TreeShape(0, border_bits=1, node_limit=2)])


@settings(max_examples=400)
@given(shape=shapes, content=contents, rounds=st.lists(edits, max_size=4))
def test_a_tree_is_a_function_of_what_is_in_it(
    shape: TreeShape, content: dict[bytes, Entry], rounds: list[Edits]
) -> None:
    nodes = MemoryTreeNodes()
    root = build(nodes, shape, content)
    expected = dict(content)
    for changes in rounds:
        child = edit(nodes, shape, root, changes)
        root = child.id if child else b""
        expected.update({name: new for name, new in changes.items() if new is not None})
        for name, new in changes.items():
            if new is None:
                expected.pop(name, None)
        assert list(iterate(nodes, root)) == sorted(expected.items())
        assert root == build(nodes, shape, expected)
        assert (child is None) == (not expected)
        if child:
            assert check_sums(nodes, root) == (
                child.entries,
                child.files,
                child.folders,
                child.size,
            )
            check_shape(nodes, shape, root)


@given(shape=shapes, content=contents, name=names)
def test_lookup_and_iterate_after_agree_with_a_dict(
    shape: TreeShape, content: dict[bytes, Entry], name: bytes
) -> None:
    nodes = MemoryTreeNodes()
    root = build(nodes, shape, content)
    assert lookup(nodes, root, name) == content.get(name)
    beyond = [(each, content[each]) for each in sorted(content) if each > name]
    assert list(iterate(nodes, root, name)) == beyond


@given(content=contents)
def test_adding_one_by_one_in_any_order_makes_the_same_tree(content: dict[bytes, Entry]) -> None:
    nodes = MemoryTreeNodes()
    expected = build(nodes, SMALL, content)
    shuffled = list(content.items())
    random.Random(0).shuffle(shuffled)
    root = b""
    for name, new in shuffled:
        child = edit(nodes, SMALL, root, {name: new})
        assert child is not None
        root = child.id
    assert root == expected


def test_the_seed_decides_the_shape() -> None:
    nodes = MemoryTreeNodes()
    content = {b"%04d" % n: entry(n) for n in range(2000)}
    assert build(nodes, TreeShape(1), content) != build(nodes, TreeShape(2), content)


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_an_edit_reads_and_writes_one_node_per_level(count: int) -> None:
    nodes = MemoryTreeNodes()
    root = build(nodes, REAL, {b"%07d" % n: entry(1) for n in range(count)})
    height = nodes.load_tree_node(root).level + 1
    chosen = random.Random(count)
    for _ in range(200):
        name = b"%07d" % chosen.randrange(count)
        nodes.loaded.clear()
        nodes.saved.clear()
        child = edit(nodes, REAL, root, {name: entry(chosen.randrange(100))})
        assert child is not None
        assert len(nodes.saved) == height
        assert len(set(nodes.loaded) - set(nodes.saved)) <= height
        root = child.id


def test_adding_and_removing_names_costs_few_nodes() -> None:
    nodes = MemoryTreeNodes()
    root = build(nodes, REAL, {b"%07d" % n: entry(1) for n in range(100_000)})
    height = nodes.load_tree_node(root).level + 1
    chosen = random.Random(0)
    total = 0
    for _ in range(300):
        name = b"%07d" % chosen.randrange(100_000)
        for new in (None, entry(1), None, entry(2)):
            nodes.saved.clear()
            child = edit(nodes, REAL, root, {name: new})
            assert child is not None
            root = child.id
            total += len(nodes.saved)
    assert total / 1200 < 2 * height


def test_chosen_names_make_no_large_node() -> None:
    seed = 12345
    shape = TreeShape(seed)
    without_border = [b"%d" % n for n in range(20_000) if shape.height(b"%d" % n) == 0][:15_000]
    nodes = MemoryTreeNodes()
    root = build(nodes, shape, dict.fromkeys(without_border, entry(1)))
    check_shape(nodes, shape, root)
    child = edit(nodes, shape, root, {min(without_border): None})
    assert child is not None
    check_shape(nodes, shape, child.id)


def test_an_empty_tree_has_no_root_and_nothing_in_it() -> None:
    nodes = MemoryTreeNodes()
    assert edit(nodes, REAL, b"", {b"not there": None}) is None
    assert lookup(nodes, b"", b"name") is None
    assert list(iterate(nodes, b"")) == []
