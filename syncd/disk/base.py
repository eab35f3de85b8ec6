"""The base tree: what this device and the server last agreed on, node by node."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import cas
from syncd.disk.database import Database
from syncd.disk.items import Item
from syncd.disk.signatures import Signature
from syncd.names import without_parking
from syncd.trees import ROOT, EmptyTree, Node

_SIGNATURE: Final = struct.Struct("<QQQQ")
_INODE: Final = struct.Struct("<Q")  # a signature begins with it
_ROOT_NODE: Final = EmptyTree().get(ROOT)
_FOLDERS_HELD: Final = 20_000
"""Folders that are held in memory: every look at a path goes through some."""
_WRAP: Final = (1 << 64) - 1
_HALF: Final = 1 << 63
_NODE: Final = "parent, name, kind, content, size, mtime_ns, executable"
_BELOW: Final = """
    WITH RECURSIVE inside (id) AS (
        SELECT id FROM base WHERE parent = ?
        UNION ALL SELECT base.id FROM base JOIN inside ON base.parent = inside.id)
"""


def pack_signature(signature: Signature) -> bytes:
    """Return a signature as bytes; equal ones have equal bytes."""
    try:
        return _SIGNATURE.pack(*signature)
    except struct.error:  # a time before 1970
        return _SIGNATURE.pack(*(value & _WRAP for value in signature))


def unpack_signature(packed: bytes) -> Signature:
    """Return the signature of which `pack_signature` made the bytes."""
    inode, size, mtime_ns, ctime_ns = _SIGNATURE.unpack(packed)
    return Signature(inode, size, _signed(mtime_ns), _signed(ctime_ns))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= _HALF else value


class Row(NamedTuple):
    """What a walk compares first of a name in a folder. `signature` is packed."""

    node: int
    kind: int
    signature: bytes | None


class Base:
    """The base in a database, a tree as `syncd.trees` has it. Thread-safe.

    Numbers of nodes last: `last_node` tells from where on they are free. A renamed folder is one
    row. Beside each node stands the signature that the disk showed when it held the node's item;
    None where the file has to be read again.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._folders: dict[int, Node] = {}
        self._folder_names: dict[tuple[int, str], int] = {}
        self._rollbacks = 0
        self._parked: set[int] = set()
        self._last = self._greatest()

    def get(self, node: int) -> Node | None:
        """Return a node, None where the tree has it not."""
        if node == ROOT:
            return _ROOT_NODE
        if node > self._last:
            return None  # as most are that are asked for when much is new
        self._forget_after_rollback()
        found = self._folders.get(node)
        return found or self._load(node)

    def _forget_after_rollback(self) -> None:
        if self._rollbacks != self.database.rollbacks:
            self._rollbacks = self.database.rollbacks
            self._forget_folders()

    def _forget_folders(self) -> None:
        self._folders.clear()
        self._folder_names.clear()

    def _load(self, node: int) -> Node | None:
        with self.database.reading() as connection:
            row = connection.execute(
                f"SELECT {_NODE} FROM base WHERE id = ?",  # noqa: S608 - a constant
                (node,),
            ).fetchone()
            if row is None:
                return None
            parent, name, kind, content, size, mtime_ns, executable = row
            item = Item(cas.EntryKind(kind), content, size, mtime_ns, bool(executable))
            found = Node(parent, os.fsdecode(name), item)
            if found.is_folder and len(self._folders) < _FOLDERS_HELD:
                # While nobody else writes: what is held must not be older than the last forgetting.
                self._folders[node] = found
                self._folder_names[found.place] = node
            return found

    def child(self, parent: int, name: str) -> int | None:
        """Return which node has a name in a folder."""
        if parent > self._last:
            return None
        self._forget_after_rollback()
        node = self._folder_names.get((parent, name))
        if node is not None:
            return node
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT id FROM base WHERE parent = ? AND name = ?", (parent, os.fsencode(name))
            ).fetchone()
        return row[0] if row else None

    def children(self, parent: int) -> Iterator[tuple[str, int]]:
        """Yield names and nodes of a folder, as they were when the first was asked for."""
        for name, row in self.rows(parent).items():
            yield name, row.node

    def rows(self, parent: int) -> dict[str, Row]:
        """Return what there is in a folder, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT name, id, kind, signature FROM base WHERE parent = ?", (parent,)
            ).fetchall()
        return {os.fsdecode(name): Row(*rest) for name, *rest in rows}

    def row(self, node: int) -> Row | None:
        """Return what a walk compares first of one node."""
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT id, kind, signature FROM base WHERE id = ?", (node,)
            ).fetchone()
        return Row(*row) if row else None

    def rows_below(self, node: int) -> list[Row]:
        """Return all that is below a node, in no order."""
        with self.database.reading() as connection:
            rows = connection.execute(
                f"{_BELOW} SELECT id, kind, signature FROM base WHERE id IN inside",  # noqa: S608
                (node,),
            ).fetchall()
        return [Row(*row) for row in rows]

    def signature(self, node: int) -> Signature | None:
        """Return a node's signature, None where it has to be read again or is not there."""
        row = self.row(node)
        return unpack_signature(row.signature) if row and row.signature else None

    def nodes_of(self, inodes: Iterable[int]) -> list[int]:
        """Return the nodes that had one of these inodes on the disk: hard links have the same."""
        found: list[int] = []
        with self.database.reading() as connection:
            for inode in inodes:
                rows = connection.execute(
                    "SELECT id FROM base WHERE substr(signature, 1, 8) = ?", (_INODE.pack(inode),)
                )
                found += (node for (node,) in rows)
        return found

    def parked(self) -> list[int]:
        """Return the nodes that were put out of the way, under names that the disk has not."""
        found = {node: self.get(node) for node in self._parked}
        self._parked = {node for node, one in found.items() if one and without_parking(one.name)}
        return list(self._parked)

    def put(self, node: int, new: Node, signature: Signature | None) -> None:
        """Remember a node, at its place or another one."""
        self.put_all([(node, new, signature)])

    def put_all(self, nodes: Iterable[tuple[int, Node, Signature | None]]) -> None:
        """Remember nodes; among them some may change places."""
        nodes = list(nodes)
        rows = [_row(*node) for node in nodes]
        with self.database.transaction() as connection:
            self._parked.update(node for node, new, _ in nodes if without_parking(new.name))
            for row in rows:
                self._forget_folder(row[0])
                self._last = max(self._last, row[0])
            # Out of the way first: for a moment two would have one place.
            connection.executemany(
                "UPDATE base SET parent = -1, name = CAST(id AS BLOB) WHERE id = ?",
                ((row[0],) for row in rows),
            )
            connection.executemany("REPLACE INTO base VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _forget_folder(self, node: int) -> None:
        old = self._folders.pop(node, None)
        if old is not None:
            self._folder_names.pop(old.place, None)

    def agree(self, node: int, new: Node | None, signature: Signature | None = None) -> None:
        """Both sides have a node now as `new`, or no more.

        Args:
            node: the node.
            new: what it is and where; its folder is in the base, and its place free.
            signature: how it looks on the disk. Without one it is kept where only the place is
                another, and else the file has to be read again.
        """
        if new is None:
            self.remove(node)
            return
        if signature is None:
            old = self.get(node)
            signature = self.signature(node) if old and old.item == new.item else None
        self.put(node, new, signature)

    def set_signature(self, node: int, signature: Signature | None) -> None:
        """Remember how a node looks now; None to have it read again."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE base SET signature = ? WHERE id = ?",
                (pack_signature(signature) if signature else None, node),
            )

    def remove(self, node: int) -> None:
        """Forget a node and all below it."""
        with self.database.transaction() as connection:
            self._forget_folders()
            connection.execute(f"{_BELOW} DELETE FROM base WHERE id IN inside", (node,))  # noqa: S608
            connection.execute("DELETE FROM base WHERE id = ?", (node,))

    def last_node(self) -> int:
        """Return the greatest number that a node has, or had since this was opened."""
        return self._last

    def _greatest(self) -> int:
        with self.database.reading() as connection:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM base").fetchone()
        return int(last)

    def count(self) -> tuple[int, int]:
        """Return how many files and links there are, and their bytes."""
        with self.database.reading() as connection:
            files, size = connection.execute(
                "SELECT count(*), coalesce(sum(size), 0) FROM base WHERE kind != ?",
                (int(cas.EntryKind.DIRECTORY),),
            ).fetchone()
        return files, size


def _row(
    node: int, new: Node, signature: Signature | None
) -> tuple[int, int, bytes, int, bytes, int, int, int, bytes | None]:
    item = new.item
    return (
        node,
        new.parent,
        os.fsencode(new.name),
        int(item.kind),
        item.content,
        item.size,
        item.mtime_ns,
        int(item.is_executable),
        pack_signature(signature) if signature else None,
    )
