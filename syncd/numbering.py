"""Which numbers of nodes are in use, wherever they are written down."""

from __future__ import annotations

from syncd.following import kept_nodes
from syncd.outbox import nodes_on_their_way
from syncd.ports import Base, State


def last_node(base: Base, state: State) -> int:
    """Return the greatest number that any node has that is written down."""
    on_their_way = nodes_on_their_way(state).values()
    return max([base.last_node(), *kept_nodes(state), *on_their_way])
