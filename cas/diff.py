"""What differs between two states: their trees side by side, equal subtrees skipped unread.

The cost follows the number of differences, not the size of the trees.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from cas.journal import Change
from cas.moves import Move, find_moves
from cas.objects import Entry, EntryKind, TreeNode
from cas.paths import Names, join_names, split_path
from cas.trees import TreeNodeSource, lookup
from cas.views import View


class Difference(NamedTuple):
    """A path whose entries differ: `old` is None where it was added, `new` where removed.

    `source` is where it was in the old state if it was moved. The path of what was removed is that
    in the old state, all others are those in the new one.
    """

    path: str
    old: Entry | None
    new: Entry | None
    source: str | None = None


def diff(
    old: View,
    new: View,
    path: str = "",
    *,
    old_path: str | None = None,
    moves: Iterable[Move] = (),
) -> Iterator[Difference]:
    """Yield the differences at and below a path, by name, folders before their content.

    An added or removed folder is one difference; what is in it follows from its entry. A folder
    whose content differs is followed by the differences in it. Where one kind of thing took the
    place of another, that is one difference too.

    `old_path` is the path in the old state if it is another one. `moves`, as `moves_between` tells
    them, come first, each with the differences in it; those to or from elsewhere are added and
    removed.

    Raises:
        InvalidError: this cannot be a path.
        ExpiredError: a state is no longer kept.
    """
    names = split_path(path)
    old_names = names if old_path is None else split_path(old_path)
    pairs = [(split_path(move.source), split_path(move.path)) for move in moves]
    pairs = [
        (source, target)
        for source, target in pairs
        if _is_below(source, old_names) and _is_below(target, names)
    ]
    comparison = _Comparison(old, new, pairs)
    for source, target in pairs:
        yield from comparison.moved(source, target)
    yield from comparison.at(old_names, names, old.get(join_names(old_names)), new.get(path))


def moves_between(
    old: View,
    new: View,
    path: str = "",
    *,
    old_path: str | None = None,
    changes: Callable[[int, int], Iterable[Change]] | None = None,
) -> list[Move]:
    """Return what was moved, for `diff` of the same states and paths.

    `changes` is asked for what changed after one sequence number up to another, as
    `Volume.changes` answers for two states of one volume, the newer one of which may come first.
    What it does not tell of is a move where content went at one place and came at another.
    """

    def differences(moves: Iterable[Move]) -> Iterator[Difference]:
        return diff(old, new, path, old_path=old_path, moves=moves)

    moves: list[Move] = []
    if not any(each.new is None for each in differences(())):
        return moves  # Nothing went anywhere: the history, which may be long, need not be asked.
    if changes is not None and old.sequence <= new.sequence:
        moves = find_moves(old, new, changes(old.sequence, new.sequence))
    elif changes is not None:
        back = find_moves(new, old, changes(new.sequence, old.sequence))
        moves = [Move(source=move.path, path=move.source) for move in back]
    return moves + _moves_by_content(differences(moves))


def _moves_by_content(differences: Iterable[Difference]) -> list[Move]:
    """Return what was removed at one place and added at another, where it is one place each.

    Only what has content counts, and a folder has to be equal in all that is below it.
    """
    removed: dict[tuple[EntryKind, bytes], str | None] = {}
    added: dict[tuple[EntryKind, bytes], str | None] = {}
    for path, old, new, _ in differences:
        entry = old or new
        if entry is None or (old is not None and new is not None):
            continue
        if entry.content and (entry.is_file or entry.is_directory):
            side = removed if new is None else added
            key = (entry.kind, entry.content)
            side[key] = None if key in side else path
    return [
        Move(source, path)
        for key, path in added.items()
        if path is not None and (source := removed.get(key)) is not None
    ]


def _is_below(path: Names, folder: Names) -> bool:
    return len(path) > len(folder) and path[: len(folder)] == folder


class _Comparison:
    """Two states side by side, without what was moved: that is compared apart."""

    def __init__(self, old: View, new: View, moves: Sequence[tuple[Names, Names]]) -> None:
        self._old = old
        self._new = new
        self._sources = _Marked(source for source, _ in moves)
        self._targets = _Marked(target for _, target in moves)

    def moved(self, source: Names, target: Names) -> Iterator[Difference]:
        """Yield a move and the differences in it."""
        path, old_path = join_names(target), join_names(source)
        old, new = self._old.get(old_path), self._new.get(path)
        yield Difference(path, old, new, old_path)
        yield from self._below(source, target, old, new)

    def at(
        self, old_names: Names, names: Names, old: Entry | None, new: Entry | None
    ) -> Iterator[Difference]:
        """Yield the differences at a path, or at two that stand for each other, and below."""
        if old_names in self._sources.paths:
            old = None
        if names in self._targets.paths:
            new = None
        if old != new:
            yield Difference(join_names(old_names if new is None else names), old, new)
        yield from self._below(old_names, names, old, new)

    def _below(
        self, old_names: Names, names: Names, old: Entry | None, new: Entry | None
    ) -> Iterator[Difference]:
        if old is None or new is None or not old.is_directory or not new.is_directory:
            return
        # Where a move began or ended, there is a difference even if what is there is equal.
        marked = self._sources.names_below(old_names) | self._targets.names_below(names)
        if old.content != new.content:
            cursors = _Cursor(self._old.nodes, old.content), _Cursor(self._new.nodes, new.content)
            for name, was, is_now in _unequal(*cursors):
                marked.discard(name)
                yield from self.at((*old_names, name), (*names, name), was, is_now)
        for name in sorted(marked):
            was = lookup(self._old.nodes, old.content, name)
            is_now = lookup(self._new.nodes, new.content, name)
            yield from self.at((*old_names, name), (*names, name), was, is_now)


class _Marked:
    """Paths that are treated apart, and which names in a folder lead to one."""

    def __init__(self, paths: Iterable[Names]) -> None:
        self.paths = set(paths)
        self._below: defaultdict[Names, set[bytes]] = defaultdict(set)
        for path in self.paths:
            for depth, name in enumerate(path):
                self._below[path[:depth]].add(name)

    def names_below(self, folder: Names) -> set[bytes]:
        """Return the names in a folder that are, or lead to, such a path."""
        return set(self._below.get(folder, ()))


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
