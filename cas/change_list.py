"""Writing a commit's list of changes as a tree of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cas.chunkstore import ChunkStore
from cas.formats import MiB
from cas.ids import Kind
from cas.journal import CHANGES_PER_NODE, Change, ChangeNode
from cas.objects import Entry, encode
from cas.reliance import Reliance

_CHANGE_NODE_SIZE: Final = MiB


def write_changes(chunks: ChunkStore, changes: list[Change], relies: Reliance) -> bytes:
    """Write a list of changes as a tree of nodes and return its root.

    Raises:
        StoreError: the disk failed or is full.
    """
    level = 0
    nodes = [ChangeNode(0, leaf, []) for leaf in _leaves(changes)]
    while True:
        ids = [chunks.put_node(Kind.CHANGE_NODE, encode(n), relies) for n in nodes]
        if len(ids) == 1:
            return ids[0]
        level += 1
        starts = range(0, len(ids), CHANGES_PER_NODE)
        nodes = [
            ChangeNode(level, [], [bytes(i) for i in ids[s : s + CHANGES_PER_NODE]]) for s in starts
        ]


def named_roots(root: Entry, changes: list[Change]) -> list[bytes]:
    """Return the directories' roots that must be kept: the head's and those the changes name."""
    entries = [root, *(e for c in changes for e in (c.old, c.new) if e is not None)]
    return [entry.content for entry in entries if entry.is_directory]


def _leaves(changes: list[Change]) -> Iterator[list[Change]]:
    """Yield runs of changes that make a node each: bounded in number and in bytes."""
    leaf: list[Change] = []
    size = 0
    for change in changes:
        length = len(encode(change))
        if leaf and (len(leaf) >= CHANGES_PER_NODE or size + length > _CHANGE_NODE_SIZE):
            yield leaf
            leaf, size = [], 0
        leaf.append(change)
        size += length
    yield leaf
