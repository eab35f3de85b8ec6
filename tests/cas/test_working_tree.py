"""A working tree against a dict: what is set is there, what is undone is as it was."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cas.objects import Entry, EntryKind
from cas.paths import Names
from cas.trees import TreeShape
from cas.working_tree import WorkingTree
from tests.support.memory_nodes import MemoryTreeNodes

SHAPE = TreeShape(seed=5, border_bits=1, node_limit=3)
EMPTY = Entry(EntryKind.DIRECTORY, 0, 1, 0o755, b"")


@dataclass
class ModelFolder:
    """A folder of the model: its attributes and what is in it."""

    mtime_ns: int
    mode: int
    children: dict[bytes, ModelNode] = field(default_factory=dict)


ModelNode: TypeAlias = "Entry | ModelFolder"


def find(root: ModelFolder, names: Names) -> ModelNode | None:
    node: ModelNode | None = root
    for name in names:
        node = node.children.get(name) if isinstance(node, ModelFolder) else None
    return node


def file_of(size: int) -> Entry:
    return Entry(EntryKind.CHUNK_FILE, size, 9, 0o644, b"content %d" % size)


paths = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"]), min_size=1, max_size=3)
names = paths.map(tuple)


class WorkingTreeMachine(RuleBasedStateMachine):
    """One working tree, changed and taken back; sometimes a new one goes on from its root."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = MemoryTreeNodes()
        self.tree = WorkingTree(self.nodes, SHAPE, EMPTY)
        self.model = ModelFolder(1, 0o755)
        self.marks: list[tuple[int, ModelFolder, bytes]] = []
        self.time_ns = 10
        self.earlier: list[tuple[Entry, ModelFolder]] = []

    def set(self, path: Names, entry: Entry | None, node: ModelNode | None) -> None:
        parent = find(self.model, path[:-1])
        if not isinstance(parent, ModelFolder):
            return
        self.time_ns += 1
        self.tree.set(path, entry, self.time_ns)
        if (path[-1] in parent.children) != (node is not None):
            parent.mtime_ns = self.time_ns
        parent.children.pop(path[-1], None)
        if node is not None:
            parent.children[path[-1]] = node

    @rule(path=names, size=st.integers(0, 5))
    def set_file(self, path: Names, size: int) -> None:
        self.set(path, file_of(size), file_of(size))

    @rule(path=names)
    def make_folder(self, path: Names) -> None:
        self.set(path, EMPTY, ModelFolder(1, 0o755))

    @rule(path=names)
    def remove(self, path: Names) -> None:
        self.set(path, None, None)

    @rule(source=names, path=names)
    def copy(self, source: Names, path: Names) -> None:
        entry = self.tree.get(source)
        node = find(self.model, source)
        assert (entry is None) == (node is None)
        if path[: len(source)] != source:
            self.set(path, entry, deepcopy(node))

    @rule(path=names, mode=st.integers(0, 0o777))
    def set_mode(self, path: Names, mode: int) -> None:
        entry, node = self.tree.get(path), find(self.model, path)
        if entry is not None and isinstance(node, ModelFolder):
            changed = deepcopy(node)
            changed.mode = mode
            self.set(path, _with_mode(entry, mode), changed)

    @rule(mode=st.integers(0, 0o777))
    def set_mode_of_root(self, mode: int) -> None:
        self.tree.set_root(_with_mode(self.tree.flush(), mode))
        self.model.mode = mode

    @rule()
    def remember_the_root(self) -> None:
        self.earlier.append((self.tree.flush(), deepcopy(self.model)))

    @precondition(lambda self: self.earlier)
    @rule(which=st.integers(0, 9))
    def replace_the_root(self, which: int) -> None:
        root, model = self.earlier[which % len(self.earlier)]
        self.tree.replace_root(root)
        self.model = deepcopy(model)

    @rule()
    def mark(self) -> None:
        if len(self.marks) < 4:
            self.marks.append((self.tree.mark(), deepcopy(self.model), self.tree.flush().content))

    @rule()
    def undo(self) -> None:
        if self.marks:
            mark, self.model, content = self.marks.pop()
            self.tree.undo_to(mark)
            assert self.tree.flush().content == content

    @rule()
    def flush(self) -> None:
        self.tree.flush()

    @rule()
    def go_on_in_a_new_tree(self) -> None:
        self.tree = WorkingTree(self.nodes, SHAPE, self.tree.flush())
        self.marks = []

    @rule(path=names)
    def look(self, path: Names) -> None:
        node = find(self.model, path)
        kind = EntryKind.DIRECTORY if isinstance(node, ModelFolder) else node and node.kind
        assert self.tree.kind(path) == kind

    @rule()
    def compare(self) -> None:
        self.compare_folder((), self.model)

    def compare_folder(self, path: Names, folder: ModelFolder) -> tuple[int, int, int]:
        entry = self.tree.get(path)
        assert entry is not None
        assert (entry.mtime_ns, entry.mode) == (folder.mtime_ns, folder.mode), path
        assert [name for name, _ in self.tree.children(path)] == sorted(folder.children)
        files = folders = size = 0
        for name, node in folder.children.items():
            if isinstance(node, ModelFolder):
                below = self.compare_folder((*path, name), node)
                files, folders, size = files + below[0], folders + below[1] + 1, size + below[2]
            else:
                assert self.tree.get((*path, name)) == node
                files, size = files + 1, size + node.size
        assert (entry.files, entry.folders, entry.size) == (files, folders, size)
        return files, folders, size

    @invariant()
    def size_is_kept_along(self) -> None:
        assert self.tree.size == _size(self.model)

    def teardown(self) -> None:
        self.compare()


def _size(node: ModelNode) -> int:
    if isinstance(node, ModelFolder):
        return sum(map(_size, node.children.values()))
    return node.size


def _with_mode(entry: Entry, mode: int) -> Entry:
    return Entry(
        entry.kind,
        entry.size,
        entry.mtime_ns,
        mode,
        entry.content,
        files=entry.files,
        folders=entry.folders,
    )


def test_a_working_tree_is_a_dict_of_paths_with_undo() -> None:
    run_state_machine_as_test(
        WorkingTreeMachine, settings=settings(max_examples=150, stateful_step_count=40)
    )


def test_a_flush_writes_each_changed_folder_once_however_many_changes() -> None:
    nodes = MemoryTreeNodes()
    tree = WorkingTree(nodes, TreeShape(1), EMPTY)
    tree.set((b"folder",), EMPTY, 1)
    tree.flush()
    nodes.saved.clear()
    for number in range(20):
        tree.set((b"folder", b"%d" % number), file_of(number), 2)
    assert nodes.saved == []
    tree.flush()
    assert len(nodes.saved) <= 4  # of the folder at most three, of the root one
    nodes.saved.clear()
    tree.flush()
    assert nodes.saved == []


def test_an_undo_reads_and_writes_nothing_so_that_it_cannot_fail() -> None:
    nodes = MemoryTreeNodes()
    tree = WorkingTree(nodes, SHAPE, EMPTY)
    tree.set((b"a",), EMPTY, 2)
    for number in range(40):
        tree.set((b"a", b"%02d" % number), file_of(number), 2)
    before = tree.flush()
    mark = tree.mark()
    tree.set((b"a", b"07"), None, 3)
    tree.set_root(msgspec.structs.replace(before, mode=0o700))
    tree.set((b"b",), tree.get((b"a",)), 3)
    tree.set((b"b", b"09"), None, 4)
    tree.set((b"a",), file_of(5), 4)
    tree.flush()
    tree.set((b"b",), None, 5)
    so_far = (len(nodes.loaded), len(nodes.saved))
    tree.undo_to(mark)
    assert (len(nodes.loaded), len(nodes.saved)) == so_far
    assert tree.flush() == before
    assert (tree.size, tree.count) == (before.size, before.files + before.folders)


def test_a_subtree_is_attached_and_removed_without_reading_it() -> None:
    nodes = MemoryTreeNodes()
    tree = WorkingTree(nodes, SHAPE, EMPTY)
    tree.set((b"folder",), EMPTY, 1)
    for number in range(500):
        tree.set((b"folder", b"%d" % number), file_of(1), 2)
    root = tree.flush()
    tree = WorkingTree(nodes, SHAPE, root)
    nodes.loaded.clear()
    tree.set((b"copy",), tree.get((b"folder",)), 3)
    tree.set((b"folder",), None, 3)
    assert tree.flush().files == 500
    assert len(nodes.loaded) < 12


def test_a_path_is_looked_up_once_however_often_it_is_asked_for() -> None:
    nodes = MemoryTreeNodes()
    tree = WorkingTree(nodes, SHAPE, EMPTY)
    for number in range(500):
        tree.set((b"%d" % number,), file_of(1), 2)
    root = tree.flush()
    tree = WorkingTree(nodes, SHAPE, root)
    nodes.loaded.clear()
    assert tree.get((b"7",)) == file_of(1)
    assert tree.get((b"new",)) is None
    so_far = len(nodes.loaded)
    assert so_far > 2
    assert tree.kind((b"7",)) is EntryKind.CHUNK_FILE
    assert tree.kind((b"new",)) is None
    tree.set((b"new",), file_of(2), 3)
    assert len(nodes.loaded) == so_far
    assert tree.get((b"new",)) == file_of(2)
