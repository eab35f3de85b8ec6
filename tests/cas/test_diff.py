"""The difference of two states is exact, and costs what differs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import cas
from cas.diff import _Cursor, _unequal
from cas.ids import Identifier, Kind
from cas.objects import Entry, EntryKind, TreeNode, encode
from cas.trees import TreeShape, edit, iterate

NAMES = st.sampled_from([b"%d" % number for number in range(60)])
TREES = st.dictionaries(NAMES, st.integers(0, 3), max_size=60)


class MemoryNodes:
    """Tree nodes in a dict, with a count of what was loaded."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, TreeNode] = {}
        self.loaded = 0
        self._identifier = Identifier()

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        self.loaded += 1
        return self.nodes[node_id]

    def save_tree_node(self, node: TreeNode) -> bytes:
        node_id = self._identifier.identify(Kind.TREE_NODE, encode(node))
        self.nodes[node_id] = node
        return node_id


def file_entry(size: int) -> Entry:
    return Entry(EntryKind.CHUNK_FILE, size, 1, 0o644, bytes(32))


def build(nodes: MemoryNodes, shape: TreeShape, sizes: dict[bytes, int]) -> bytes:
    root = edit(nodes, shape, b"", {name: file_entry(size) for name, size in sizes.items()})
    return root.id if root else b""


@settings(max_examples=200)
@given(TREES, TREES, st.integers(1, 3), st.integers(2, 6))
def test_names_that_differ_are_found_and_no_others(
    old: dict[bytes, int], new: dict[bytes, int], bits: int, limit: int
) -> None:

    nodes, shape = MemoryNodes(), TreeShape(7, bits, limit)
    cursors = [_Cursor(nodes, build(nodes, shape, sizes)) for sizes in (old, new)]
    expected = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    found = list(_unequal(*cursors))
    assert sorted(expected) == [name for name, _, _ in found]
    assert all(
        (before and before.size, after and after.size) == (old.get(name), new.get(name))
        for name, before, after in found
    )


def test_a_difference_in_a_large_folder_reads_one_path_of_nodes() -> None:

    nodes, shape = MemoryNodes(), TreeShape(7)
    sizes = {b"%06d" % number: number for number in range(50_000)}
    old = build(nodes, shape, sizes)
    changed = edit(nodes, shape, old, {b"025000": file_entry(1)})
    assert changed is not None
    depth = nodes.nodes[old].level + 1
    nodes.loaded = 0
    found = list(_unequal(_Cursor(nodes, old), _Cursor(nodes, changed.id)))
    assert [name for name, _, _ in found] == [b"025000"]
    assert nodes.loaded == 2 * depth
    assert len(list(iterate(nodes, old))) == 50_000


def test_a_diff_of_views_names_added_removed_and_changed_paths(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("shared")
        with volume.edit() as edit_one:
            edit_one.make_directory("kept")
            edit_one.make_directory("gone/deep", parents=True)
            edit_one.put("kept/same.txt", cas.EMPTY_CONTENT)
            edit_one.put("kept/changed.txt", cas.EMPTY_CONTENT)
        with volume.view() as before:
            upload = volume.upload()
            upload.write(b"new")
            with volume.edit() as edit_two:
                edit_two.put("kept/changed.txt", upload)
                edit_two.remove("gone")
                edit_two.make_directory("added")
            with volume.view() as after:
                found = {item.path: item for item in cas.diff(before, after)}
                assert list(found) == ["", "added", "gone", "kept", "kept/changed.txt"]
                assert found["added"].old is None
                assert found["gone"].new is None
                assert not list(cas.diff(after, after))
                assert [item.path for item in cas.diff(before, after, "kept/changed.txt")] == [
                    "kept/changed.txt"
                ]
