"""From damaged objects to the paths of files and folders that they keep from being read.

Only what is dirty is descended into. How many paths there are is counted without going along
them: copies of copies cost nothing, so a tree may have more paths than could ever be listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from cas.errors import CasError
from cas.maintenance.damage import Affected
from cas.maintenance.history_walk import State
from cas.maintenance.walk import Walk
from cas.nodes import NodeStore
from cas.objects import Entry, EntryKind, TreeNode
from cas.paths import Names, join_names

PATHS_NAMED: Final = 100
"""Paths of one volume that are named; the others are counted."""


class Naming:
    """Finds the paths of damaged states. For one thread, after the walk."""

    def __init__(self, nodes: NodeStore, walk: Walk, limit: int = PATHS_NAMED) -> None:
        self._nodes = nodes
        self._walk = walk
        self._limit = limit
        self._counts: dict[bytes, int] = {}

    def name(self, states: list[State]) -> tuple[dict[tuple[bytes, str], list[str]], int]:
        """Return the states by volume and path, and how many paths were not named.

        Older commits are searched only for what neither the present nor a snapshot shows.
        """
        named: dict[tuple[bytes, str], list[str]] = {}
        paths: Counter[bytes] = Counter()  # that were named, by volume
        most: Counter[bytes] = Counter()  # that one state has
        seen: set[tuple[bytes, Names, bytes]] = set()
        for state in states:
            volume_id = state.volume_id
            key = volume_id, state.path, state.entry.content
            if key in seen and state.is_commit:
                continue
            seen.add(key)
            most[volume_id] = max(most[volume_id], self._count(state.entry))
            for path in islice(self._paths(state.path, state.entry), self._limit):
                where = named.get((volume_id, join_names(path)))
                if where is None and paths[volume_id] < self._limit:
                    paths[volume_id] += 1
                    named[volume_id, join_names(path)] = [state.when]
                elif where is not None and not state.is_commit:
                    where.append(state.when)
        return named, (most - paths).total()

    def _paths(self, path: Names, entry: Entry) -> Iterator[Names]:
        """Yield the paths at and below one that cannot be read, a folder if its names cannot."""
        stack: list[tuple[Names, Iterator[tuple[bytes, Entry]]]] = []
        while True:
            below = self._damaged_below(entry)
            first = next(below, None)
            if first is None:
                yield path
            else:
                stack.append((path, chain([first], below)))
            found = None
            while stack and found is None:
                folder, names = stack[-1]
                found = next(names, None)
                if found is None:
                    stack.pop()
                else:
                    name, entry = found
                    path = (*folder, name) if name else folder
            if found is None:
                return

    def _damaged_below(self, entry: Entry) -> Iterator[tuple[bytes, Entry]]:
        """Yield what is damaged in a folder; the nameless one for its own damaged nodes."""
        if not entry.is_directory:
            return
        waiting = [entry.content]
        is_whole = True
        while waiting:
            node = self._node(waiting.pop())
            if node is None:
                is_whole = False
                continue
            waiting += [
                child.id for child in reversed(node.children) if self._is_damaged_node(child.id)
            ]
            for name, found in zip(node.names, node.entries, strict=False):
                if self._is_damaged(found):
                    yield name, found
        if not is_whole and entry.kind is EntryKind.DIRECTORY:
            yield b"", _UNREADABLE

    def _count(self, entry: Entry) -> int:
        """Return how many paths `_paths` would yield."""
        if not entry.is_directory:
            return 1
        known = self._counts.get(entry.content)
        if known is None:
            below = (self._count(found) for _, found in self._damaged_below(entry))
            known = self._counts[entry.content] = sum(below) or 1
        return known

    def _is_damaged(self, entry: Entry) -> bool:
        return self._is_damaged_node(entry.content) or entry.properties_id in self._walk.broken

    def _is_damaged_node(self, node_id: bytes) -> bool:
        return node_id in self._walk.dirty or node_id in self._walk.broken

    def _node(self, node_id: bytes) -> TreeNode | None:
        if node_id in self._walk.broken:
            return None
        try:
            return self._nodes.tree_node(node_id)
        except CasError:
            return None


_UNREADABLE: Final = Entry(EntryKind.SYMLINK, 0, 0, 0, b"")
"""Stands for the names of a folder that cannot be read."""


def affected(
    named: dict[tuple[bytes, str], list[str]], labels: dict[bytes, str]
) -> Iterator[Affected]:
    """Yield what was named with the names of the volumes."""
    for (volume_id, path), states in named.items():
        yield Affected(labels.get(volume_id, ""), path, tuple(states))
