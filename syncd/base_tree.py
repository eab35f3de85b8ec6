"""The base as a tree of nodes, over a store that knows paths.

Nodes get their numbers when they are first asked for, and keep them while the process lives. So a
device with a million files that are in sync has none of them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from syncd.disk.items import Known
from syncd.disk.signatures import Signature
from syncd.trees import FOLDER, ROOT, Node, NodeIds, path_of


class BaseStore(Protocol):
    """What was last in sync, by paths; `syncd.disk.base.Base` is one."""

    def get(self, path: str) -> Known | None:
        """Return what is known of a path, None where nothing is."""

    def children(self, folder: str) -> dict[str, Known]:
        """Return what is known of the names in a folder; the empty path is the top."""

    def put(self, path: str, known: Known) -> None:
        """Remember what is at a path now."""

    def remove(self, path: str) -> None:
        """Forget a path and all below it."""

    def move(self, path: str, new_path: str) -> None:
        """Give a path, and all below it, another name."""


class BaseTree:
    """What both sides last agreed on. One thread at a time.

    Args:
        store: where it is kept.
        ids: gives out the numbers.
    """

    def __init__(self, store: BaseStore, ids: NodeIds) -> None:
        self._store = store
        self._ids = ids
        self._nodes: dict[int, Node] = {ROOT: Node(-1, "", FOLDER)}
        self._names: dict[int, dict[str, int]] = {}

    def get(self, node: int) -> Node | None:
        """Return a node, None where the base has it not."""
        return self._nodes.get(node)

    def child(self, parent: int, name: str) -> int | None:
        """Return which node has a name in a folder."""
        if parent not in self._nodes:
            return None
        node = self._names.get(parent, {}).get(name)
        if node is None:
            known = self._store.get(_join(path_of(self, parent), name))
            if known is not None:
                node = self._number(parent, name, known)
        return node

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        """Yield names and nodes of a folder."""
        if parent not in self._nodes:
            return
        numbered = self._names.get(parent, {})
        for name, known in self._store.children(path_of(self, parent)).items():
            node = numbered.get(name)
            yield name, self._number(parent, name, known) if node is None else node

    def _number(self, parent: int, name: str, known: Known) -> int:
        node = self._ids.new()
        self._nodes[node] = Node(parent, name, known.item)
        self._names.setdefault(parent, {})[name] = node
        return node

    def signature(self, node: int) -> Signature | None:
        """Return how a node looked on the disk when it was in sync."""
        known = self._store.get(path_of(self, node)) if node in self._nodes else None
        return known.signature if known else None

    def agree(self, node: int, new: Node | None, signature: Signature | None = None) -> None:
        """Both sides have a node now as `new`, or no more.

        Its folder must be in the base, and its place be free.

        Args:
            node: the node.
            new: what it is and where.
            signature: how it looks on the disk; None where it has to be read again. It is kept
                where only the place is another.
        """
        old = self._nodes.get(node)
        if new is None:
            if old is not None:
                self._store.remove(path_of(self, node))
                self._forget(node, old)
            return
        if self.child(*new.place) not in {None, node}:
            raise ValueError(f"the name {new.name!r} is taken in the base")
        path = _join(path_of(self, new.parent), new.name)
        if old is not None and old.place != new.place:
            self._store.move(path_of(self, node), path)
            del self._names[old.parent][old.name]
        if old is None or old.item != new.item or signature is not None:
            self._store.put(path, Known(new.item, signature))
        self._nodes[node] = new
        self._names.setdefault(new.parent, {})[new.name] = node

    def _forget(self, node: int, old: Node) -> None:
        del self._names[old.parent][old.name]
        pending = [node]
        while pending:
            gone = pending.pop()
            del self._nodes[gone]
            pending.extend(self._names.pop(gone, {}).values())


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
