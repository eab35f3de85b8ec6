"""What differs between two states: their trees side by side, equal subtrees skipped unread.

The cost follows the number of differences, not the size of the trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cas.objects import Entry, TreeNode
from cas.paths import Names, join_names, split_path
from cas.trees import TreeNodeSource
from cas.views import View


class Difference(NamedTuple):
    """A path whose entries differ; `old` is None where it was added, `new` where removed."""

    path: str
    old: Entry | None
    new: Entry | None


def diff(old: View, new: View, path: str = "") -> Iterator[Difference]:
    """Yield the differences at and below a path, by name, folders before their content.

    An added or removed folder is one difference; what is in it follows from its entry. A folder
    whose content differs is followed by the differences in it.

    Raises:
        InvalidError: this cannot be a path.
        ExpiredError: a state is no longer kept.
    """
    names = split_path(path)
    before, after = old.get(path), new.get(path)
    if before != after:
        yield from _compare(old.nodes, new.nodes, names, before, after)


def _compare(
    old: TreeNodeSource,
    new: TreeNodeSource,
    names: Names,
    before: Entry | None,
    after: Entry | None,
) -> Iterator[Difference]:
    yield Difference(join_names(names), before, after)
    both = before is not None and after is not None
    if not both or not before.is_directory or not after.is_directory:  # type: ignore[union-attr]
        return
    for name, was, is_now in _unequal(_Cursor(old, before.content), _Cursor(new, after.content)):  # type: ignore[union-attr]
        yield from _compare(old, new, (*names, name), was, is_now)


def _unequal(a: _Cursor, b: _Cursor) -> Iterator[tuple[bytes, Entry | None, Entry | None]]:
    """Yield the names of two directories whose entries differ."""
    while a.stack or b.stack:
        if a.stack and b.stack and a.subtree is not None and a.subtree == b.subtree:
            a.advance()
            b.advance()
        elif a.stack and a.level and (not b.stack or a.level >= b.level):
            a.descend()
        elif b.stack and b.level:
            b.descend()
        else:
            name = min(cursor.name for cursor in (a, b) if cursor.stack)
            was, is_now = a.take(name), b.take(name)
            if was != is_now:
                yield name, was, is_now


class _Cursor:
    """A place in a directory's tree: a whole subtree, or one entry."""

    def __init__(self, nodes: TreeNodeSource, root: bytes) -> None:
        self._nodes = nodes
        self.stack: list[tuple[TreeNode, int]] = []
        if root:
            self.stack.append((nodes.load_tree_node(root), 0))

    @property
    def level(self) -> int:
        """The level of the node that the cursor stands in; 0 at an entry."""
        return self.stack[-1][0].level

    @property
    def name(self) -> bytes:
        """The name of the entry, or the last name of the subtree, at the cursor."""
        node, index = self.stack[-1]
        return node.names[index]

    @property
    def subtree(self) -> bytes | None:
        """The id of the subtree at the cursor; None at an entry."""
        node, index = self.stack[-1]
        return node.children[index].id if node.level else None

    def descend(self) -> None:
        """Go to the first place in the subtree at the cursor."""
        node, index = self.stack[-1]
        self.stack.append((self._nodes.load_tree_node(node.children[index].id), 0))

    def advance(self) -> None:
        """Go past the entry or subtree at the cursor."""
        node, index = self.stack.pop()
        if index + 1 < len(node.names):
            self.stack.append((node, index + 1))
        elif self.stack:
            self.advance()

    def take(self, name: bytes) -> Entry | None:
        """Return the entry of this name and go past it; None where the cursor is elsewhere."""
        if not self.stack or self.level or self.name != name:
            return None
        node, index = self.stack[-1]
        entry = node.entries[index]
        self.advance()
        return entry
