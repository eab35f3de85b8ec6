"""Trees as drawings: paths and contents, for tests of the planner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cas
from syncd.disk.items import Item
from syncd.disk.signatures import Signature
from syncd.plan import Action, Plan, Rules, Step
from syncd.reconcile import make_plan
from syncd.trees import (
    FOLDER,
    ROOT,
    EmptyTree,
    Node,
    NodeIds,
    Overlay,
    Tree,
    below,
    find,
    path_of,
)

NOON_NS = 1_700_000_000 * 1_000_000_000
"""2023-11-14 22:13:20 UTC."""
MARK = " (conflicted copy here 2023-11-14 221320)"

Drawing = dict[str, Item]


def text(content: str, *, mtime_ns: int = 0, executable: bool = False) -> Item:
    data = content.encode()
    kind = cas.EntryKind.CHUNK_FILE if data else cas.EntryKind.EMPTY_FILE
    return Item(kind, data, len(data), mtime_ns, executable)


def link(target: str) -> Item:
    return Item(cas.EntryKind.SYMLINK, target.encode(), len(target), 0)


class MemoryBase:
    """A base in memory; `listed` are the folders that somebody has listed."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.signatures: dict[int, Signature | None] = {}
        self.names: dict[tuple[int, str], int] = {}
        self.listed: list[int] = []

    def get(self, node: int) -> Node | None:
        return self.nodes.get(node) if node != ROOT else EmptyTree().get(ROOT)

    def child(self, parent: int, name: str) -> int | None:
        return self.names.get((parent, name))

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        self.listed.append(parent)
        return iter([(name, node) for (at, name), node in self.names.items() if at == parent])

    def signature(self, node: int) -> Signature | None:
        return self.signatures.get(node)

    def last_node(self) -> int:
        return max(self.nodes, default=0)

    def count(self) -> tuple[int, int]:
        files = [node.item.size for node in self.nodes.values() if not node.is_folder]
        return len(files), sum(files)

    def agree(self, node: int, new: Node | None, signature: Signature | None = None) -> None:
        old = self.nodes.get(node)
        if new is None:
            for inner in [node, *below(self, node)]:
                gone = self.nodes.pop(inner, None)
                self.signatures.pop(inner, None)
                if gone is not None:
                    del self.names[gone.place]
            return
        assert self.get(new.parent) is not None
        assert self.names.get(new.place, node) == node
        if old is not None:
            del self.names[old.place]
        if signature is not None or old is None or old.item != new.item:
            self.signatures[node] = signature
        self.nodes[node] = new
        self.names[new.place] = node


def drawn(tree: Tree) -> Drawing:
    """Return all of a tree by its paths."""
    drawing: Drawing = {}
    pending = [ROOT]
    while pending:
        folder = pending.pop()
        for _, node in tree.children(folder):
            found = tree.get(node)
            assert found is not None
            assert found.parent == folder
            drawing[path_of(tree, node)] = found.item
            if found.is_folder:
                pending.append(node)
    return drawing


def walk(drawing: Drawing, step: Step) -> None:
    """Carry a step out on a drawing, as a disk would: what is not as expected is an error."""
    path = step.path
    folder = path.rpartition("/")[0]
    if step.action is Action.MOVE:
        assert path not in drawing, step
        assert not path.startswith(f"{step.source}/"), step
        for inner in [*drawing]:
            if inner == step.source or inner.startswith(f"{step.source}/"):
                drawing[path + inner[len(step.source) :]] = drawing.pop(inner)
    if step.action is not Action.REMOVE and folder:
        assert drawing[folder] == FOLDER, step
    if step.action is Action.MAKE_FOLDER:
        assert path not in drawing, step
        drawing[path] = FOLDER
    elif step.action in {Action.PUT, Action.SET}:
        assert drawing.get(path) == step.old, step
        drawing[path] = step.item
    elif step.action is Action.REMOVE:
        assert path in drawing, step
        for inner in [*drawing]:
            if inner == path or inner.startswith(f"{path}/"):
                del drawing[inner]


@dataclass
class Sides:
    """A base and what became of it on the disk and on the server."""

    ids: NodeIds = field(default_factory=NodeIds)
    base: MemoryBase = field(default_factory=MemoryBase)

    def __post_init__(self) -> None:
        self.local = Overlay(self.base)
        self.remote = Overlay(self.base)

    def plan(self, rules: Rules | None = None) -> Plan:
        return make_plan(
            self.base, self.local, self.remote, rules or Rules("here", NOON_NS), self.ids
        )


class Side:
    """Changes of one side, by paths."""

    def __init__(self, tree: Overlay, ids: NodeIds) -> None:
        self.tree = tree
        self.ids = ids

    def node(self, path: str) -> int:
        node = find(self.tree, path)
        assert node is not None, path
        return node

    def write(self, path: str, item: Item) -> None:
        node = find(self.tree, path)
        if node is not None:
            self.tree.edit(node, item)
        else:
            folder, _, name = path.rpartition("/")
            self.tree.put(self.ids.new(), Node(self.node(folder), name, item))

    def make(self, path: str) -> None:
        self.write(path, FOLDER)

    def move(self, path: str, new_path: str) -> None:
        folder, _, name = new_path.rpartition("/")
        node = self.node(path)
        found = self.tree.get(node)
        assert found is not None
        self.tree.put(node, Node(self.node(folder), name, found.item))

    def remove(self, path: str) -> None:
        self.tree.remove(self.node(path))


def agree_all(sides: Sides) -> None:
    """Let the base be what the server has, for both sides."""
    pending = [ROOT]
    while pending:
        for _, node in list(sides.remote.children(pending.pop())):
            found = sides.remote.get(node)
            assert found is not None
            sides.base.agree(node, found)
            pending.append(node)
    sides.remote = Overlay(sides.base)
    sides.local = Overlay(sides.base)


def walk_all(tree: Tree, steps: Plan, *, is_local: bool) -> Drawing:
    drawing = drawn(tree)
    for step in steps.local if is_local else steps.remote:
        walk(drawing, step)
    return drawing
