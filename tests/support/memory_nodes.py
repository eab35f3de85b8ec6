"""Tree nodes in a dict, for tests of what is built on them."""

from __future__ import annotations

from cas.ids import Identifier, Kind
from cas.objects import TreeNode, decode, encode


class MemoryTreeNodes:
    """Keeps tree nodes and counts what is read and written."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.loaded: list[bytes] = []
        self.saved: list[bytes] = []
        self._identifier = Identifier()

    def load_tree_node(self, node_id: bytes) -> TreeNode:
        self.loaded.append(node_id)
        return decode(self.nodes[node_id], TreeNode)

    def save_tree_node(self, node: TreeNode) -> bytes:
        encoded = encode(node)
        node_id = self._identifier.identify(Kind.TREE_NODE, encoded)
        self.nodes[node_id] = encoded
        self.saved.append(node_id)
        return node_id
