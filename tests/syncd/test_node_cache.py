"""The cache of file nodes: found before and after they are written, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncd.disk.database import Database
from syncd.disk.node_cache import NodeCache

if TYPE_CHECKING:
    from pathlib import Path


def test_nodes_are_found_and_the_oldest_go(tmp_path: Path) -> None:
    nodes = {number.to_bytes(32): bytes([number % 256]) * 100 for number in range(1000)}
    with Database(tmp_path / "state") as database:
        cache = NodeCache(database, size_limit=50_000)
        for node_id, node in nodes.items():
            cache.put(node_id, node)
            assert cache.encoded(node_id) == node
        assert all(cache.encoded(node_id) == node for node_id, node in nodes.items())
        cache.put_all({(0).to_bytes(32): b"newer"})
        cache.tidy()
        kept = [node_id for node_id in nodes if cache.encoded(node_id) is not None]
        assert kept == [(0).to_bytes(32), *list(nodes)[501:]]
    with Database(tmp_path / "state") as database:
        again = NodeCache(database)
        assert again.encoded((0).to_bytes(32)) == b"newer"
        assert again.encoded((999).to_bytes(32)) == nodes[(999).to_bytes(32)]
        assert again.encoded((1).to_bytes(32)) is None
