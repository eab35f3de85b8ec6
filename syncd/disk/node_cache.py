"""File nodes of what is on this disk: they say which chunk is where in a large file.

A cache: what is not there is computed from the file, or fetched.
"""

from __future__ import annotations

import cas
from syncd.disk.database import Database


class NodeCache:
    """The nodes in a link's database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, node_id: bytes, encoded: bytes) -> None:
        """Keep a node."""
        self.put_all({node_id: encoded})

    def put_all(self, nodes: dict[bytes, bytes]) -> None:
        """Keep nodes, by id."""
        if nodes:
            with self._database.transaction() as connection:
                connection.executemany("REPLACE INTO nodes VALUES (?, ?)", nodes.items())

    def encoded(self, node_id: bytes) -> bytes | None:
        """Return a node as it is encoded."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT node FROM nodes WHERE id = ?", (node_id,)).fetchone()
        return bytes(row[0]) if row else None

    def load(self, node_id: bytes) -> cas.FileNode | None:
        """Return a node, None where it is not here; a `cas.NodeLoader`."""
        encoded = self.encoded(node_id)
        return cas.read_file_node(encoded) if encoded is not None else None
