"""What has become of one node, told by comparing what it is in the three trees. Pure."""

from __future__ import annotations

import dataclasses

from syncd.disk.items import Item
from syncd.names import without_parking
from syncd.pairing import content_of
from syncd.trees import Node


def unparked(local: Node | None, base: Node | None) -> Node | None:
    """Return a node at the place that it had before it was parked, on the disk or in the base."""
    name = without_parking(local.name) if local else None
    if local is None or name is None:
        return local
    parent, name = base.place if base else (local.parent, name)
    return local._replace(parent=parent, name=name)


def are_three_places(base: Node, local: Node, remote: Node) -> bool:
    """Whether a node was moved to one place here and to another one there."""
    return len({base.place, local.place, remote.place}) == 3  # noqa: PLR2004 - all differ


def beats_removal(base: Node, stays: Node) -> bool:
    """Whether a node that the other side has removed stays: it was edited, or moved elsewhere."""
    if stays.place != base.place:
        return True
    return not base.is_folder and content_of(stays.item) != content_of(base.item)


def merge_manner(base: Item | None, local: Item, remote: Item, content: Item) -> Item:
    """Return an item with the content of one, its time, and the exec bit that was changed.

    Where only times were changed the later commit's stays, which is the local one.
    """
    executable = local.is_executable
    if base is not None and local.is_executable == base.is_executable:
        executable = remote.is_executable
    mtime_ns = content.mtime_ns
    same = content_of(local) == content_of(remote)
    if same and base is not None and content_of(base) == content_of(local):
        mtime_ns = remote.mtime_ns if local.mtime_ns == base.mtime_ns else local.mtime_ns
    return dataclasses.replace(content, mtime_ns=mtime_ns, is_executable=executable)
