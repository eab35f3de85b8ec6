"""The remote tree: what the server has, by its changes, as far as it is not in the base."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

import cas
from cas import wire
from syncd.disk.items import Item
from syncd.ports import Server, State
from syncd.remote.errors import UntrustedError
from syncd.trees import FOLDER, ROOT, Node, NodeIds, Overlay, below, find, is_inside

_KEY: Final = "remote tree"
_KEPT_NODES: Final = 10_000
"""Nodes up to which what is not done yet is written down; with more, a restart lists anew."""
_OWNER_MAY_EXECUTE: Final = 0o100


class OutOfStepError(Exception):
    """A change does not fit what was known: the tree is to be listed anew."""


class _KeptNode(msgspec.Struct, array_like=True, frozen=True):
    node: int
    parent: int = -1
    name: bytes = b""
    kind: int = 0
    content: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    is_executable: bool = False
    agreed_path: bytes = b""
    agreed_sequence: int = 0


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    sequence: int
    nodes: list[_KeptNode]


def item_of(entry: wire.RemoteEntry) -> Item | None:
    """Return what is synced of an entry, None where nothing is."""
    if entry.kind is cas.EntryKind.DIRECTORY:
        return FOLDER
    if entry.kind is cas.EntryKind.RECORD:
        return None
    is_link = entry.kind is cas.EntryKind.SYMLINK
    return Item(
        entry.kind,
        entry.content,
        entry.size if not is_link else len(entry.content),
        entry.mtime_ns,
        not is_link and bool(entry.mode & _OWNER_MAY_EXECUTE),
    )


class RemoteTree:
    """What a place of the server holds, in the state `sequence`.

    Args:
        place: which.
        state: where it is kept, with the base that it lies over.
        ids: numbers for what is new.
        notes: of which paths it is remembered where the base's content is found once it changes.
    """

    def __init__(
        self,
        place: wire.Place,
        state: State,
        ids: NodeIds,
        notes: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._place = place
        self._state = state
        self._ids = ids
        self._notes = notes
        self.tree = Overlay(state.base)
        self.sequence = 0
        self._is_known = False
        self._agreed: dict[int, tuple[bytes, int]] = {}
        encoded = state.read(_KEY)
        if encoded:
            self._load(encoded)

    def _load(self, encoded: bytes) -> None:
        kept = msgspec.msgpack.decode(encoded, type=_Kept)
        self.sequence, self._is_known = kept.sequence, True
        for one in kept.nodes:
            if one.parent < 0:
                self.tree.remove(one.node)
        for one in kept.nodes:
            if one.parent >= 0:
                item = Item(
                    cas.EntryKind(one.kind), one.content, one.size, one.mtime_ns, one.is_executable
                )
                self.tree.put(one.node, Node(one.parent, os.fsdecode(one.name), item))
                if one.agreed_sequence:
                    self._agreed[one.node] = one.agreed_path, one.agreed_sequence

    def save(self) -> None:
        """Write down what is known and not in the base yet."""
        self.tree.purge()
        changed = self.tree.changed()
        said = set(changed)
        self._agreed = {node: where for node, where in self._agreed.items() if node in said}
        if len(changed) > _KEPT_NODES or not self._is_known:
            self._write(b"")
            return
        placed = {node for node in changed if self.tree.get(node) is not None}
        nodes = [_KeptNode(node) for node in changed]  # Nothing is in the way of anything then.
        nodes += [self._kept(node) for node in self._folders_first(placed)]
        self._write(msgspec.msgpack.encode(_Kept(self.sequence, nodes)))

    def _write(self, encoded: bytes) -> None:
        if (self._state.read(_KEY) or b"") != encoded:
            self._state.write(_KEY, encoded)

    def _folders_first(self, nodes: set[int]) -> list[int]:
        def depth(node: int) -> int:
            found, count = self.tree.get(node), 0
            while found is not None and found.parent > ROOT:
                found, count = self.tree.get(found.parent), count + 1
            return count

        return sorted(nodes, key=depth)

    def _kept(self, node: int) -> _KeptNode:
        found = self.tree.get(node)
        assert found is not None  # noqa: S101 - only such are kept
        item = found.item
        return _KeptNode(
            node,
            found.parent,
            os.fsencode(found.name),
            int(item.kind),
            item.content,
            item.size,
            item.mtime_ns,
            item.is_executable,
            *self._agreed.get(node, ()),
        )

    def agreed(self, node: int) -> tuple[bytes, int] | None:
        """Return at which path, and in which state, a file had the content that the base has.

        None where that is not known; it is of files that the server has changed since.
        """
        return self._agreed.get(node)

    # News.

    def update(
        self, server: Server, nodes_of: Callable[[str], Mapping[bytes, int] | None]
    ) -> list[tuple[int, Node | None]]:
        """Bring the tree up to the newest state.

        Args:
            server: tells the changes.
            nodes_of: returns which nodes this device made at which paths with the commit of a key,
                so that they are the same nodes here as on the disk; None if it is not its own.

        Returns:
            of this device's own changes, in their order, the node that was changed and what it was
            after that, whatever it has become since.

        Raises:
            RemoteError: the server cannot be had.
        """
        mine: list[tuple[int, Node | None]] = []
        while self._is_known:
            delta = server.delta(self._place, self.sequence)
            if delta.is_unknown:
                break
            try:
                for change in delta.changes:
                    made = nodes_of(change.key)
                    if self._notes(os.fsdecode(change.path)):
                        self._note_agreed(change)
                    node = self._apply(change, server, made or {})
                    if node is not None and made is not None:
                        mine.append((node, self.tree.get(node)))
            except (OutOfStepError, ValueError, KeyError):
                break
            self.sequence = delta.sequence
            if delta.sequence >= delta.head:
                return mine
        self.list_anew(server)
        return []

    def _note_agreed(self, change: wire.RemoteChange) -> None:
        """Remember where the base's content of a file is found that is about to be changed."""
        node = find(self.tree, os.fsdecode(change.path))
        found = self.tree.get(node) if node is not None else None
        if node is None or found is None or found.is_folder:
            return
        base = self._state.base.get(node)
        if base is not None and base.item.content == found.item.content:
            self._agreed[node] = change.path, change.sequence - 1

    def list_anew(self, server: Server) -> None:
        """Find out by a listing what there is.

        Raises:
            RemoteError: the listing cannot be had, or cannot be.
        """
        tree = Overlay(self._state.base)
        listed: set[int] = set()
        sequence = 0
        for page in server.tree(self._place):
            sequence = page.sequence
            for path, item in _items(page):
                try:
                    listed.add(self._place_item(tree, path, item))
                except (OutOfStepError, ValueError) as error:
                    message = f"the server lists {path!r}, and no folder that it could be in"
                    raise UntrustedError(message) from error
        for node in [node for node in below(tree, ROOT) if node not in listed]:
            if tree.get(node) is not None:
                tree.remove(node)
        # Only now: nobody may go on from the state of a listing that broke off.
        self.tree, self.sequence, self._is_known = tree, sequence, True

    def _place_item(self, tree: Overlay, path: str, item: Item, new: int | None = None) -> int:
        """Make a path an item; a node of another kind gives way. `new` is its node if it is new."""
        folder, _, name = path.rpartition("/")
        parent = find(tree, folder)
        if parent is None:
            raise OutOfStepError(path)
        node = tree.child(parent, name)
        found = tree.get(node) if node is not None else None
        if node is not None and found is not None:
            if found.is_folder == (item == FOLDER):
                if found.item != item:
                    tree.edit(node, item)
                return node
            tree.remove(node)
        node = new if new is not None and tree.get(new) is None else self._ids.new()
        tree.put(node, Node(parent, name, item))
        for _, inner in list(tree.children(node)):
            tree.remove(inner)  # It is empty, whatever it held before it was removed.
        return node

    def _apply(
        self, change: wire.RemoteChange, server: Server, made: Mapping[bytes, int]
    ) -> int | None:
        path = os.fsdecode(change.path)
        if not path:
            raise OutOfStepError(path)
        item = item_of(change.entry) if change.entry is not None else None
        node = find(self.tree, path)
        if item is None:
            if node is not None:
                self.tree.remove(node)
            return node
        if change.action is cas.Action.MOVE and change.source is not None:
            return self._move(os.fsdecode(change.source), path)
        if item == FOLDER and change.action not in _OF_ONE_PATH:
            return self._take_folder(change, path, server)
        return self._place_item(self.tree, path, item, made.get(change.path))

    def _move(self, source: str, path: str) -> int:
        node, other = find(self.tree, source), find(self.tree, path)
        folder, _, name = path.rpartition("/")
        parent = find(self.tree, folder)
        found = self.tree.get(node) if node is not None else None
        if node is None or found is None or parent is None or is_inside(self.tree, parent, node):
            raise OutOfStepError(path)
        if other is not None and other != node:
            self.tree.remove(other)
        self.tree.put(node, Node(parent, name, found.item))
        return node

    def _take_folder(self, change: wire.RemoteChange, path: str, server: Server) -> int:
        """Take a folder that came as a whole: what is in it was there before, or is listed."""
        old = find(self.tree, path)
        source = find(self.tree, os.fsdecode(change.source)) if change.source else None
        inside = list(self._copied(source)) if source is not None else None
        if old is not None:
            self.tree.remove(old)
        node = self._place_item(self.tree, path, FOLDER)
        if inside is None:
            pages = server.tree(self._place, sequence=change.sequence, path=change.path)
            inside = [one for page in pages for one in _items(page)]
        else:
            inside = [(f"{path}/{inner}", item) for inner, item in inside]
        for inner, item in inside:
            self._place_item(self.tree, inner, item)
        return node

    def _copied(self, folder: int) -> Iterator[tuple[str, Item]]:
        pending = [(folder, "")]
        while pending:
            at, prefix = pending.pop()
            for name, node in self.tree.children(at):
                found = self.tree.get(node)
                if found is not None:
                    yield prefix + name, found.item
                    if found.is_folder:
                        pending.append((node, f"{prefix}{name}/"))


_OF_ONE_PATH: Final = frozenset({cas.Action.MAKE_DIRECTORY, cas.Action.SET_PROPERTIES})


def _items(page: wire.TreePage) -> Iterator[tuple[str, Item]]:
    for one in page.items:
        item = item_of(one.entry)
        if item is not None:
            yield os.fsdecode(one.path), item


def forget_remote(state: State) -> None:
    """Have the remote tree listed anew: what is to be seen of it is another now."""
    state.write(_KEY, b"")


def kept_nodes(state: State) -> list[int]:
    """Return the nodes of which the remote tree has something to say."""
    encoded = state.read(_KEY)
    return (
        [one.node for one in msgspec.msgpack.decode(encoded, type=_Kept).nodes] if encoded else []
    )
