"""A directory's tree: an ordered map from name to entry, split by the hash of the names.

A name whose seeded xxh3_64 ends in 5 zero bits ends a leaf; 10 zero bits end a node one level up
as well, and so on; a node of 512 names ends in any case. The rule looks at one node at a time and
at names only, so the shape is a function of the set of names: equal directories have equal ids
whatever their history, and an edit rewrites one node per level.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from xxhash import xxh3_64_intdigest

from cas.formats import TREE_BORDER_BITS, TREE_NODE_LIMIT
from cas.objects import Child, Entry, EntryKind, TreeNode

Edits: TypeAlias = Mapping[bytes, Entry | None]
"""New entries by name; None removes the name."""


class TreeNodeSource(Protocol):
    """Where tree nodes are read from."""

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""


class TreeNodes(TreeNodeSource, Protocol):
    """Where tree nodes are read from and kept."""

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node and return its id."""


class TreeShape(NamedTuple):
    """The numbers that give a tree its shape; they are format, only `seed` differs."""

    seed: int
    border_bits: int = TREE_BORDER_BITS
    node_limit: int = TREE_NODE_LIMIT

    def height(self, name: bytes) -> int:
        """Return on how many levels, from the leaves up, the name ends a node."""
        digest = xxh3_64_intdigest(name, self.seed) or 1 << 63
        return ((digest & -digest).bit_length() - 1) // self.border_bits


def lookup(nodes: TreeNodeSource, root: bytes, name: bytes) -> Entry | None:
    """Return the entry of this name in the tree, or None."""
    node_id = root
    while node_id:
        node = nodes.load_tree_node(node_id)
        index = bisect_left(node.names, name)
        if index == len(node.names):
            return None
        if node.level == 0:
            return node.entries[index] if node.names[index] == name else None
        node_id = node.children[index].id
    return None


def iterate(
    nodes: TreeNodeSource, root: bytes, after: bytes | None = None
) -> Iterator[tuple[bytes, Entry]]:
    """Yield names and entries in the order of the names, those beyond `after` where it is given.

    Holds one node of each level at a time, however large the directory.
    """
    if not root:
        return
    node = nodes.load_tree_node(root)
    start = 0 if after is None else bisect_right(node.names, after)
    if node.level == 0:
        yield from zip(node.names[start:], node.entries[start:], strict=True)
        return
    for child in node.children[start:]:
        yield from iterate(nodes, child.id, after)
        after = None


def edit(nodes: TreeNodes, shape: TreeShape, root: bytes, edits: Edits) -> Child | None:
    """Return the root of the tree with the edits applied; None when nothing is left in it.

    Nodes that the edits do not touch are neither read nor written.
    """
    builder = _Builder(nodes, shape)
    names = sorted(edits)
    if root:
        _feed(builder, nodes.load_tree_node(root), names, edits)
    else:
        for name in names:
            entry = edits[name]
            if entry is not None:
                builder.add_entry(name, entry)
    return builder.finish()


def _feed(builder: _Builder, node: TreeNode, names: Sequence[bytes], edits: Edits) -> None:
    """Give the builder an old node's content with the edits of these names merged in."""
    if node.level == 0:
        _feed_leaf(builder, node, names, edits)
        return
    position = index = 0
    last = len(node.names) - 1
    while index <= last:
        if builder.is_at_border(node.level):
            untouched = last + 1
            if position < len(names):
                untouched = min(bisect_left(node.names, names[position]), last)
            builder.add_children(node, index, untouched)
            index = untouched
        if index <= last:
            stop = len(names) if index == last else bisect_right(names, node.names[index], position)
            below = builder.nodes.load_tree_node(node.children[index].id)
            _feed(builder, below, names[position:stop], edits)
            position = stop
            index += 1


def _feed_leaf(builder: _Builder, leaf: TreeNode, names: Sequence[bytes], edits: Edits) -> None:
    position = 0
    for name in names:
        index = bisect_left(leaf.names, name, position)
        builder.add_run(leaf, position, index)
        position = index
        if index < len(leaf.names) and leaf.names[index] == name:
            position += 1
        entry = edits[name]
        if entry is not None:
            builder.add_entry(name, entry)
    builder.add_run(leaf, position, len(leaf.names))


class _Builder:
    """Takes entries and whole old nodes in the order of the names; writes nodes as they end."""

    def __init__(self, nodes: TreeNodes, shape: TreeShape) -> None:
        self.nodes = nodes
        self._shape = shape
        self._names: list[list[bytes]] = [[]]
        self._entries: list[Entry] = []
        self._children: list[list[Child]] = [[]]  # by level; level 0 has none

    def is_at_border(self, level: int) -> bool:
        """Whether every node below `level` has ended, so that an old one may follow as it is."""
        return not any(self._names[:level])

    def add_entry(self, name: bytes, entry: Entry) -> None:
        """Take the next entry."""
        self._names[0].append(name)
        self._entries.append(entry)
        self._end_if_border(0, name)

    def add_run(self, leaf: TreeNode, start: int, stop: int) -> None:
        """Take a slice of an old leaf; only an old leaf's last name can be a border."""
        within = min(stop, len(leaf.names) - 1)
        if len(self._names[0]) + within - start < self._shape.node_limit:
            self._names[0] += leaf.names[start:within]
            self._entries += leaf.entries[start:within]
            start = max(start, within)
        for index in range(start, stop):
            self.add_entry(leaf.names[index], leaf.entries[index])

    def add_children(self, node: TreeNode, start: int, stop: int) -> None:
        """Take a slice of an old inner node; only its last name can be a border."""
        level = node.level
        self._grow(level)
        within = min(stop, len(node.names) - 1)
        if len(self._names[level]) + within - start < self._shape.node_limit:
            self._names[level] += node.names[start:within]
            self._children[level] += node.children[start:within]
            start = max(start, within)
        for index in range(start, stop):
            self.add_child(level, node.names[index], node.children[index])

    def add_child(self, level: int, name: bytes, child: Child) -> None:
        """Take the next node below `level`, whose last name is `name`."""
        self._grow(level)
        self._names[level].append(name)
        self._children[level].append(child)
        self._end_if_border(level, name)

    def finish(self) -> Child | None:
        """End all open nodes and return the root: the lowest node that holds everything."""
        level = 0
        while level < len(self._names):
            top = level == len(self._names) - 1
            if top and level and len(self._names[level]) == 1:
                return self._lowest_root(self._children[level][0])
            if self._names[level]:
                self._end(level)
            level += 1
        return None

    def _grow(self, level: int) -> None:
        while len(self._names) <= level:
            self._names.append([])
            self._children.append([])

    def _lowest_root(self, root: Child) -> Child:
        node = self.nodes.load_tree_node(root.id)
        while node.level and len(node.children) == 1:
            root = node.children[0]
            node = self.nodes.load_tree_node(root.id)
        return root

    def _end_if_border(self, level: int, name: bytes) -> None:
        full = len(self._names[level]) >= self._shape.node_limit
        if full or self._shape.height(name) > level:
            self._end(level)

    def _end(self, level: int) -> None:
        names = self._names[level]
        self._names[level] = []
        if level:
            children = self._children[level]
            self._children[level] = []
            node = TreeNode(level, names, [], children)
            total = sum_children(children)
        else:
            entries = self._entries
            self._entries = []
            node = TreeNode(0, names, entries, [])
            total = sum_entries(entries)
        child = Child(self.nodes.save_tree_node(node), *total)
        self.add_child(level + 1, names[-1], child)


def sum_entries(entries: list[Entry]) -> tuple[int, int, int, int]:
    """Return what a leaf adds to its parent's sums: entries, files, folders, bytes."""
    files = folders = size = 0
    for entry in entries:
        size += entry.size
        if entry.kind is EntryKind.DIRECTORY:
            files += entry.files
            folders += entry.folders + 1
        else:
            files += 1
    return len(entries), files, folders, size


def sum_children(children: list[Child]) -> tuple[int, int, int, int]:
    """Return what an inner node adds to its parent's sums: entries, files, folders, bytes."""
    count = files = folders = size = 0
    for child in children:
        count += child.entries
        files += child.files
        folders += child.folders
        size += child.size
    return count, files, folders, size
