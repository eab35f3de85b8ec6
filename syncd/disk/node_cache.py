"""File nodes of what is on this disk: they say which chunk is where in a large file.

A cache: what is not there is computed from the file, or fetched. So what is new is written in
batches, and the oldest goes when it is large and nothing is on its way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import cas
from syncd.disk.database import Database

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of nodes that are kept when all is in sync: those of some 100 GiB of files."""
_UNWRITTEN: Final = 256
"""Nodes that wait to be written; one has some 20 KiB."""


class NodeCache:
    """The nodes in a link's database. Thread-safe."""

    def __init__(self, database: Database, size_limit: int = SIZE_LIMIT) -> None:
        self._database = database
        self._size_limit = size_limit
        self._lock = threading.Lock()
        self._unwritten: dict[bytes, bytes] = {}
        self._has_grown = True

    def put(self, node_id: bytes, encoded: bytes) -> None:
        """Keep a node."""
        self.put_all({node_id: encoded})

    def put_all(self, nodes: Mapping[bytes, bytes]) -> None:
        """Keep nodes, by id."""
        with self._lock:
            self._unwritten.update(nodes)
            is_due = len(self._unwritten) >= _UNWRITTEN
        if is_due:
            self._write()

    def _write(self) -> None:
        with self._lock:
            nodes = dict(self._unwritten)
        if not nodes:
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "REPLACE INTO file_nodes (id, node) VALUES (?, ?)", nodes.items()
            )
        with self._lock:
            self._has_grown = True
            for node_id in nodes:
                self._unwritten.pop(node_id, None)

    def encoded(self, node_id: bytes) -> bytes | None:
        """Return a node as it is encoded."""
        with self._lock:
            found = self._unwritten.get(node_id)
        if found is not None:
            return found
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT node FROM file_nodes WHERE id = ?", (node_id,)
            ).fetchone()
        return bytes(row[0]) if row else None

    def load(self, node_id: bytes) -> cas.FileNode | None:
        """Return a node, None where it is not here; a `cas.NodeLoader`."""
        encoded = self.encoded(node_id)
        return cas.read_file_node(encoded) if encoded is not None else None

    def tidy(self) -> None:
        """Write what is not written yet, and let the oldest go; to be called when all is in sync:
        a transfer needs all nodes of its file.
        """  # noqa: D205 - one sentence
        self._write()
        if not self._has_grown:
            return
        self._has_grown = False
        with self._database.transaction() as connection:
            size = 0
            rows = connection.execute(
                "SELECT number, length(node) FROM file_nodes ORDER BY number DESC"
            )
            for number, length in rows:
                size += length
                if size > self._size_limit:
                    connection.execute("DELETE FROM file_nodes WHERE number <= ?", (number,))
                    return
