"""Pieces of history that are lost for good: commits, and nodes of their lists of changes.

Kept in the registry as `lost/<id>`, and written by a repair that has found them nowhere. Commits
are kept for years, so without this word no collection could go on for as long, as it cannot know
what a commit that it misses has named. What comes again is found before anybody asks here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from cas.catalog import ReadTransaction
from cas.formats import REGISTRY_ID
from cas.nodes import NodeStore, SeenNodes
from cas.objects import decode
from cas.paths import Names
from cas.registry import head_of
from cas.trees import iterate, lookup

_FOLDER: Final = b"lost"


class LostObject(msgspec.Struct, array_like=True, frozen=True):
    """That an object is lost, since when, and of a commit the newest one before it that is there.

    `before` is empty where there is none, and for what is no commit.
    """

    time_ns: int
    before: bytes


def lost_path(object_id: bytes) -> Names:
    """Return the path of an object's record in the registry."""
    return (_FOLDER, object_id.hex().encode())


def lost_objects(nodes: NodeStore, transaction: ReadTransaction) -> dict[bytes, LostObject]:
    """Return what is lost, by the ids."""
    seen = SeenNodes(nodes, transaction)
    folder = lookup(seen, head_of(transaction, REGISTRY_ID).root.content, _FOLDER)
    if folder is None:
        return {}
    return {
        bytes.fromhex(name.decode()): decode(entry.content, LostObject)
        for name, entry in iterate(seen, folder.content)
    }
