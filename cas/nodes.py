"""Loading and saving tree and file nodes: a cache, the nursery, then the packs.

Young tree nodes live in the catalog's nursery and move to packs at a checkpoint; file nodes go to
the open tree pack at once, like chunks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

from cas.catalog import Catalog, ReadTransaction, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.errors import REBUILD_HINT, ExpiredError, IntegrityError, MissingObjectError
from cas.ids import Kind
from cas.objects import Entry, FileNode, TreeNode, decode, encode
from cas.reliance import Pin, Reliance

_TREE_NODES_CACHED: Final = 1024
_FILE_NODES_CACHED: Final = 128
_SETTLED_AT_ONCE: Final = 256
_EXPIRED: Final = "this state of the volume is gone: look again"
_Node = TypeVar("_Node")


class _Cache(Generic[_Node]):
    """The nodes used last, by id; an id's node never changes. Shared by threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._nodes: OrderedDict[bytes, _Node] = OrderedDict()

    def get(self, node_id: bytes) -> _Node | None:
        with self._lock:
            node = self._nodes.get(node_id)
            if node is not None:
                self._nodes.move_to_end(node_id)
            return node

    def put(self, node_id: bytes, node: _Node) -> None:
        with self._lock:
            self._nodes[node_id] = node
            if len(self._nodes) > self._size:
                self._nodes.popitem(last=False)


class NodeStore:
    """The nodes of a repository, decoded and checked. Shared by threads."""

    def __init__(self, catalog: Catalog, chunks: ChunkStore) -> None:
        self._catalog = catalog
        self._chunks = chunks
        self._trees: _Cache[TreeNode] = _Cache(_TREE_NODES_CACHED)
        self._files: _Cache[FileNode] = _Cache(_FILE_NODES_CACHED)

    def tree_node(
        self,
        node_id: bytes,
        transaction: ReadTransaction | None = None,
        pin: Pin | None = None,
    ) -> TreeNode:
        """Return a tree node, seen by the transaction where one is given.

        `pin` is that of the pinned state that names the node.

        Raises:
            ExpiredError: the node is gone because the pinned state is no longer kept.
            IntegrityError: the node is missing or damaged.
        """
        node = self._trees.get(node_id)
        if node is None:
            if transaction is None:
                with self._catalog.read() as reading:
                    young = reading.young_node(node_id)
            else:
                young = transaction.young_node(node_id)
            node = decode(self._checked(node_id, young, pin), TreeNode)
            _check_tree_node(node)
            self._trees.put(node_id, node)
        return node

    def save_tree_node(self, node: TreeNode, transaction: WriteTransaction) -> bytes:
        """Keep a tree node in the nursery and return its id.

        Even where a pack has it: a checkpoint that was cut off may have written it without what
        is below it, and the next one looks below young nodes only.
        """
        encoded = encode(node)
        node_id = self._chunks.identifier.identify(Kind.TREE_NODE, encoded)
        transaction.put_young_node(node_id, encoded)
        self._trees.put(node_id, node)
        return node_id

    def settle(self, roots: Iterable[bytes], relies: Reliance, settled: set[bytes]) -> None:
        """Write the young nodes that these roots reach to the open tree pack.

        What is not young is in packs already, with all below it. `settled` holds the nodes that
        were written before, and grows.

        Raises:
            StoreError: the disk failed or is full.
            IntegrityError: a young node is damaged; nothing but the catalog leans on it yet.
        """
        waiting = [root for root in roots if root]
        while waiting:
            batch, waiting = waiting[-_SETTLED_AT_ONCE:], waiting[:-_SETTLED_AT_ONCE]
            with self._catalog.read() as transaction:
                young = [
                    (node_id, encoded)
                    for node_id in dict.fromkeys(batch)
                    if node_id not in settled
                    and (encoded := transaction.young_node(node_id)) is not None
                ]
            nodes = [encoded for _, encoded in young]
            stored = self._chunks.put_nodes(Kind.TREE_NODE, nodes, relies)
            for (node_id, _), stored_id in zip(young, stored, strict=True):
                if stored_id != node_id:
                    raise _damaged(node_id)
            settled.update(stored)
            for _, encoded in young:
                waiting += subtrees(decode(encoded, TreeNode))

    def tree_node_id(self, encoded: bytes) -> bytes:
        """Return the id of an encoded tree node."""
        return self._chunks.identifier.identify(Kind.TREE_NODE, encoded)

    def store_tree_nodes(self, encoded: Sequence[bytes], relies: Reliance) -> None:
        """Write encoded tree nodes, all of them different, to the open tree pack."""
        self._chunks.put_nodes(Kind.TREE_NODE, encoded, relies)

    def settle_entry(self, entry: Entry, relies: Reliance) -> None:
        """Write the young nodes of a pinned entry to packs, so that it may be attached elsewhere.

        The nursery drops what no head reaches, and a replay of the journal can only make anew
        what its own volume has been through.

        Raises:
            ExpiredError: the state that the entry is of is no longer kept.
        """
        if entry.is_directory and entry.content:
            self.settle([entry.content], relies, set())
            if not self._chunks.finds(entry.content):
                raise ExpiredError("what is to be attached is gone: look again")

    def file_node(self, node_id: bytes) -> FileNode:
        """Return a file node.

        Raises:
            IntegrityError: the node is missing or damaged.
        """
        node = self._files.get(node_id)
        if node is None:
            node = decode(self._chunks.get(Kind.FILE_NODE, node_id), FileNode)
            if any(piece.length <= 0 or piece.repeat <= 0 for piece in node.pieces):
                message = f"file node {node_id.hex()} has an empty piece"
                raise IntegrityError(message)
            self._files.put(node_id, node)
        return node

    def save_file_node(self, node: FileNode, relies: Reliance) -> bytes:
        """Keep a file node and return its id."""
        node_id = self._chunks.put_node(Kind.FILE_NODE, encode(node), relies)
        self._files.put(node_id, node)
        return node_id

    def _checked(self, node_id: bytes, young: bytes | None, pin: Pin | None) -> bytes:
        if young is not None:
            if self._chunks.identifier.identify(Kind.TREE_NODE, young) != node_id:
                raise _damaged(node_id)
            return young
        try:
            return self._chunks.get(Kind.TREE_NODE, node_id)
        except MissingObjectError as error:
            if pin is not None:
                with self._catalog.read() as transaction:
                    if pin != Pin(transaction.generation(), transaction.epoch()):
                        raise ExpiredError(_EXPIRED) from error
            raise


class ReadNodes:
    """The tree and file nodes of a pinned state."""

    def __init__(self, store: NodeStore, pin: Pin | None = None) -> None:
        self._store = store
        self._pin = pin

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        return self._store.tree_node(node_id, pin=self._pin)

    def load_file_node(self, node_id: bytes) -> FileNode:
        """Return the node with this id."""
        return self._store.file_node(node_id)

    def settle(self, entry: Entry, relies: Reliance) -> Entry:
        """Write what an entry of this state reaches, and is in no pack, to packs.

        Returns the entry that may be put elsewhere.

        Raises:
            ExpiredError: the state is no longer kept.
        """
        self._store.settle_entry(entry, relies)
        return entry

    def check_readable(self, entry: Entry) -> None:
        """Raise where a file of this state may not be read any more.

        Raises:
            PurgedError: its content was purged.
        """


class OverlayNodes(ReadNodes):
    """The nodes of a state that is made anew in memory, over those of a pinned one."""

    def __init__(self, store: NodeStore, pin: Pin, below: ReadNodes | None = None) -> None:
        super().__init__(store, pin)
        self._made: dict[bytes, TreeNode] = {}
        if isinstance(below, OverlayNodes):
            self._made = below._made  # noqa: SLF001 - of its own kind

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        return self._made.get(node_id) or super().load_tree_node(node_id)

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node here alone and return its id."""
        node_id = self._store.tree_node_id(encode(node))
        self._made[node_id] = node
        return node_id

    def settle(self, entry: Entry, relies: Reliance) -> Entry:
        """Write what an entry of this state reaches, and is in no pack, to packs.

        Raises:
            ExpiredError: the state is no longer kept.
        """
        waiting = [entry.content] if entry.is_directory else []
        reached: dict[bytes, bytes] = {}
        below: list[bytes] = []
        while waiting:
            node_id = waiting.pop()
            node = self._made.get(node_id)
            if node is None:
                below.append(node_id)
            elif node_id not in reached:
                reached[node_id] = encode(node)
                waiting += subtrees(node)
        self._store.settle(below, relies, set())
        self._store.store_tree_nodes(list(reached.values()), relies)
        return super().settle(entry, relies)


class MemoryNodes:
    """The tree nodes that a commit makes, in memory until it is clear which of them are needed."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._made: dict[bytes, TreeNode] = {}

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        return self._made.get(node_id) or self._store.tree_node(node_id)

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node here alone and return its id."""
        node_id = self._store.tree_node_id(encode(node))
        self._made[node_id] = node
        return node_id

    def settle(self, roots: Iterable[bytes], relies: Reliance) -> None:
        """Write the nodes made here that these roots reach to the open pack.

        Each of them, even below one that is stored: that one may be of a commit that was never
        finished.

        Raises:
            StoreError: the disk or the blob store failed or is full.
        """
        waiting = [root for root in roots if root in self._made]
        reached: dict[bytes, bytes] = {}
        while waiting:
            node_id = waiting.pop()
            if node_id not in reached:
                node = self._made[node_id]
                reached[node_id] = encode(node)
                waiting += [below for below in subtrees(node) if below in self._made]
        self._store.store_tree_nodes(list(reached.values()), relies)


class SeenNodes:
    """The tree nodes as one transaction sees them."""

    def __init__(self, store: NodeStore, transaction: ReadTransaction) -> None:
        self._store = store
        self._transaction = transaction

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        return self._store.tree_node(node_id, self._transaction)


class CommitNodes:
    """The tree nodes as a commit sees and makes them, inside its transaction."""

    def __init__(self, store: NodeStore, transaction: WriteTransaction) -> None:
        self._store = store
        self._transaction = transaction

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        return self._store.tree_node(node_id, self._transaction)

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node and return its id."""
        return self._store.save_tree_node(node, self._transaction)


class UploadTreeNodes:
    """The tree nodes of a folder that is made aside; they go to the open tree pack."""

    def __init__(self, store: NodeStore, relies: Reliance) -> None:
        self.relies = relies
        self._store = store
        self._waiting: dict[bytes, tuple[TreeNode, bytes]] = {}

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        """Return the node with this id."""
        waiting = self._waiting.get(node_id)
        return waiting[0] if waiting else self._store.tree_node(node_id)

    def save_tree_node(self, node: TreeNode) -> bytes:
        """Keep the node and return its id; `flush` brings it to the pack."""
        encoded = encode(node)
        node_id = self._store.tree_node_id(encoded)
        self._waiting[node_id] = node, encoded
        if len(self._waiting) >= _SETTLED_AT_ONCE:
            self.flush()
        return node_id

    def flush(self) -> None:
        """Write the nodes that are not in a pack yet.

        Even those of the nursery: a replay cannot make them anew for another folder.
        """
        encoded = [encoded for _, encoded in self._waiting.values()]
        self._store.store_tree_nodes(encoded, self.relies)
        self._waiting = {}


class UploadNodes:
    """The file nodes of one upload."""

    def __init__(self, store: NodeStore, relies: Reliance) -> None:
        self._store = store
        self._relies = relies

    def load_file_node(self, node_id: bytes) -> FileNode:
        """Return the node with this id."""
        return self._store.file_node(node_id)

    def save_file_node(self, node: FileNode) -> bytes:
        """Keep the node and return its id."""
        return self._store.save_file_node(node, self._relies)


def subtrees(node: TreeNode) -> list[bytes]:
    """Return the ids of the nodes that a node names: its children, or its folders' roots."""
    folders = [entry.content for entry in node.entries if entry.is_directory and entry.content]
    return [child.id for child in node.children] + folders


def _check_tree_node(node: TreeNode) -> None:
    count = len(node.children) if node.level else len(node.entries)
    if count != len(node.names) or not count:
        raise IntegrityError("a tree node has names and entries that do not match")


def _damaged(node_id: bytes) -> IntegrityError:
    message = f"tree node {node_id.hex()} is damaged in the catalog: {REBUILD_HINT}"
    return IntegrityError(message)
