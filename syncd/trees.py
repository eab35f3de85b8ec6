"""Trees of nodes that keep their identity when they are renamed, and small changes to large ones.

A node is a number: it is the same in the base, on the disk and on the server, wherever it lies in
each. So a renamed folder is one changed node, whatever it holds. A state that differs from another
is an `Overlay` of it: it holds what is different and asks the tree below for the rest, so that
planning costs what the differences cost and not what the folder holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import cas
from syncd.disk.items import Item

ROOT: Final = 0
"""The node of the linked folder itself. It is in every tree and never changes."""

FOLDER: Final = Item(cas.EntryKind.DIRECTORY)
"""What every folder is: times and modes of folders are not synced."""


class Node(NamedTuple):
    """Where a node is and what it is; paths and times as `Item` has them."""

    parent: int
    name: str
    item: Item

    @property
    def is_folder(self) -> bool:
        """Whether it can hold others."""
        return self.item.kind is cas.EntryKind.DIRECTORY

    @property
    def place(self) -> tuple[int, str]:
        """Parent and name: no two nodes of a tree have the same."""
        return self.parent, self.name


_ROOT_NODE: Final = Node(-1, "", FOLDER)


class Tree(Protocol):
    """A state of the linked folder."""

    def get(self, node: int) -> Node | None:
        """Return a node, None where the tree has it not."""

    def child(self, parent: int, name: str) -> int | None:
        """Return which node has a name in a folder."""

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        """Yield names and nodes of a folder."""


class NodeIds:
    """Gives out numbers of nodes, each once; those up to `last` are in use already."""

    def __init__(self, last: int = ROOT) -> None:
        self._last = last

    def new(self) -> int:
        """Return a number that no node has."""
        self._last += 1
        return self._last


class EmptyTree:
    """The tree that has the root and nothing else."""

    def get(self, node: int) -> Node | None:
        """Return the root."""
        return _ROOT_NODE if node == ROOT else None

    def child(self, parent: int, name: str) -> int | None:
        """Return None."""
        return None

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        """Yield nothing."""
        return iter(())


class Overlay:
    """A tree by what it has otherwise than the tree under it, which may change meanwhile.

    A node whose folder is not there is not there either, so that a removed folder is one entry.
    Who puts a removed folder back has to say of all in it what becomes of it.
    """

    def __init__(self, under: Tree) -> None:
        self.under = under
        self._nodes: dict[int, Node | None] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._before: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self._nodes)

    def copy(self) -> Overlay:
        """Return an overlay of the same tree that says the same."""
        made = Overlay(self.under)
        made._nodes = dict(self._nodes)
        made._names = {parent: dict(names) for parent, names in self._names.items()}
        return made

    def _said(self, node: int) -> Node | None:
        """Return a node whether its folder is there or not."""
        return self._nodes[node] if node in self._nodes else self.under.get(node)

    def get(self, node: int) -> Node | None:
        """Return a node, None where the tree has it not."""
        if node == ROOT:
            return _ROOT_NODE
        found = self._said(node)
        if found is None or self.get(found.parent) is None:
            return None
        return found

    def child(self, parent: int, name: str) -> int | None:
        """Return which node has a name in a folder."""
        node = self._names.get(parent, {}).get(name)
        if node is None:
            node = self.under.child(parent, name)
            if node is None or node in self._nodes:
                return None
        return node if self.get(node) is not None else None

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        """Yield names and nodes of a folder, as they were when the first was asked for."""
        if self.get(parent) is None:
            return
        names = dict(self._names.get(parent, ()))
        for name, node in list(self.under.children(parent)):
            if node not in self._nodes:
                yield name, node
        yield from names.items()

    def changed(self) -> list[int]:
        """Return the nodes of which something was said, gone ones too."""
        return list(self._nodes)

    def put(self, node: int, new: Node) -> None:
        """Place a node, new or not; it takes along what is in it.

        Raises:
            ValueError: there is no such folder, it is inside of the node, or another has the name.
        """
        if new.item == FOLDER and is_inside(self, new.parent, node):
            raise ValueError(f"{new.name!r} would be inside itself")
        parent = self.get(new.parent)
        if parent is None or not parent.is_folder:
            raise ValueError(f"no folder for {new.name!r}")
        if self.child(new.parent, new.name) not in {None, node}:
            raise ValueError(f"the name {new.name!r} is taken")
        self._leave(node)
        self._names.setdefault(new.parent, {})[new.name] = node
        self._nodes[node] = new

    def edit(self, node: int, item: Item) -> None:
        """Make a node another item at its place.

        Raises:
            KeyError: there is no such node.
        """
        old = self.get(node)
        if old is None:
            raise KeyError(node)
        self.put(node, old._replace(item=item))

    def remove(self, node: int) -> None:
        """Take a node away with all that is in it."""
        self._leave(node)
        if self.under.get(node) is None:
            self._nodes.pop(node, None)
        else:
            self._nodes[node] = None

    def _leave(self, node: int) -> None:
        old = self._nodes.get(node)
        names = self._names.get(old.parent, {}) if old else {}
        # Somebody else may have its name already, where its folder had gone and come back.
        if old is not None and names.get(old.name) == node:
            del names[old.name]
            if not names:
                del self._names[old.parent]

    def settle(self, node: int) -> bool:
        """Forget what was said of a node where the tree below has come to say it; tell if so."""
        if node in self._nodes:
            if self._nodes[node] != self.under.get(node):
                return False
            self._leave(node)
            del self._nodes[node]
        return True

    def take_over(self, old: int, new: int) -> None:
        """Call a node by another number, which nothing in this tree has."""
        said = self.get(old)
        if said is None:
            raise KeyError(old)
        self._before[new] = self._before.pop(old, old)
        children = list(self.children(old))
        self.remove(old)
        self.put(new, said)
        for name, child in children:
            inner = self._said(child)
            if inner is not None:
                self._leave(child)
                self._nodes[child] = Node(new, name, inner.item)
                self._names.setdefault(new, {})[name] = child

    def swap(self, one: int, other: int) -> None:
        """Let two files have each other's place and item."""
        first, second = self.get(one), self.get(other)
        if first is None or second is None:
            raise KeyError(one if first is None else other)
        before = self._before.pop(one, one), self._before.pop(other, other)
        self._before[other], self._before[one] = before
        self.remove(one)
        self.remove(other)
        self.put(one, second)
        self.put(other, first)

    def take_renumbered(self) -> dict[int, int]:
        """Return which nodes have got which other numbers since this was last called."""
        taken, self._before = self._before, {}
        return {before: now for now, before in taken.items()}

    def purge(self) -> None:
        """Forget what was said of new nodes whose folder has gone."""
        for node in self.changed():
            if self.get(node) is None and self.under.get(node) is None:
                self._leave(node)
                del self._nodes[node]


def path_of(tree: Tree, node: int) -> str:
    """Return a node's path; the root's is empty.

    Raises:
        KeyError: the tree has no such node.
    """
    names: list[str] = []
    while node != ROOT:
        found = tree.get(node)
        if found is None:
            raise KeyError(node)
        names.append(found.name)
        node = found.parent
    return "/".join(reversed(names))


def find(tree: Tree, path: str) -> int | None:
    """Return which node is at a path, None where none is."""
    node: int | None = ROOT
    for name in path.split("/") if path else ():
        node = tree.child(node, name) if node is not None else None
    return node


def is_inside(tree: Tree, node: int, folder: int) -> bool:
    """Whether a node is somewhere below a folder, or that folder itself."""
    while True:
        if node == folder:
            return True
        found = tree.get(node) if node != ROOT else None
        if found is None:
            return False
        node = found.parent


def below(tree: Tree, node: int) -> Iterator[int]:
    """Yield all nodes below one, folders before what is in them."""
    pending = [node]
    while pending:
        for _, child in tree.children(pending.pop()):
            yield child
            found = tree.get(child)
            if found is not None and found.is_folder:
                pending.append(child)
