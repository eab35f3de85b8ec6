"""Volumes whose content has been given up: they were deleted, and their retention is over.

Kept in the registry as `dropped/<volume id>`, and written before anything goes on the strength of
it. It stays for good: so whatever a crash, or a catalog made anew from refs, brings back of such a
volume is told from one that is lost, and an undelete comes too late for it in one commit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from cas.catalog import ReadTransaction
from cas.formats import REGISTRY_ID
from cas.nodes import NodeStore, SeenNodes
from cas.paths import Names
from cas.registry import head_of
from cas.trees import iterate, lookup

_FOLDER: Final = b"dropped"


class DroppedVolume(msgspec.Struct, array_like=True, frozen=True):
    """That a volume's content has been given up, and when."""

    time_ns: int


def dropped_path(volume_id: bytes) -> Names:
    """Return the path of a volume's record in the registry."""
    return (_FOLDER, volume_id.hex().encode())


def dropped_volumes(nodes: NodeStore, transaction: ReadTransaction) -> set[bytes]:
    """Return the ids of all volumes that have been given up."""
    seen = SeenNodes(nodes, transaction)
    folder = lookup(seen, head_of(transaction, REGISTRY_ID).root.content, _FOLDER)
    if folder is None:
        return set()
    return {bytes.fromhex(name.decode()) for name, _ in iterate(seen, folder.content)}
