"""Finding out which nodes of two trees are the same, before anything is decided.

Moves are facts that the trees come with. What is left is done here: a program that saves a file by
way of another name did not move it; what both sides made under one name is one folder, or one file
if its content is the same; and what went at one place and came at another with the same content,
and nowhere else, was moved.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncd.disk.items import Item
from syncd.names import without_mark
from syncd.trees import Node, Overlay, Tree, below


def content_of(item: Item) -> tuple[bool, int, bytes]:
    """Return what makes two files, or two links, the same in all but time and exec bit."""
    return item.kind.name == "SYMLINK", item.size, item.content


def pair(base: Tree, local: Overlay, remote: Overlay) -> None:
    """Give nodes that are the same the same number, in both trees."""
    for side, other in ((local, remote), (remote, local)):
        side.purge()
        keep_names(base, side)
        find_moves(base, side, other)
    pair_new(base, local, remote)
    pair_copies(base, local, remote)


def keep_names(base: Tree, side: Overlay) -> None:
    """Let files keep their identity with their name, where a new file has taken it.

    That is how most programs save: the old file is renamed or removed, the new one gets its name.
    """
    for node in side.changed():
        before = base.get(node)
        if before is None or before.is_folder:
            continue
        now = side.get(node)
        if now is not None and now.place == before.place:
            continue
        if base.get(before.parent) is None or side.get(before.parent) is None:
            continue
        other = side.child(before.parent, before.name)
        if other is None or base.get(other) is not None:
            continue
        taken = side.get(other)
        if taken is None or taken.is_folder:
            continue
        if now is None:
            side.take_over(other, node)
        else:
            side.swap(node, other)


def find_moves(base: Tree, side: Overlay, other: Tree) -> None:
    """Take for moved what vanished at one place and is new at one other, with equal content.

    Its content may also be what the other side has made of it: that was brought here, under a name
    that is of this side, and nobody was left to write it down.
    """
    for known in (base, other):
        came = _unique(
            (content_of(now.item), node)
            for node in side.changed()
            if base.get(node) is None and (now := side.get(node)) is not None and _has_content(now)
        )
        if not came:
            return
        went = _unique(
            (content_of(before.item), node)
            for node in _vanished(base, side)
            if (before := known.get(node)) is not None and _has_content(before)
        )
        for content, node in went.items():
            new = came.get(content)
            if new is not None:
                side.take_over(new, node)


def _has_content(node: Node) -> bool:
    return not node.is_folder and node.item.size > 0


def _vanished(base: Tree, side: Overlay) -> Iterable[int]:
    seen: set[int] = set()
    for node in side.changed():
        if base.get(node) is None or side.get(node) is not None:
            continue
        for inner in (node, *below(base, node)):
            if inner not in seen and side.get(inner) is None:
                seen.add(inner)
                yield inner


def _unique(
    items: Iterable[tuple[tuple[bool, int, bytes], int]],
) -> dict[tuple[bool, int, bytes], int]:
    found: dict[tuple[bool, int, bytes], int | None] = {}
    for content, node in items:
        found[content] = None if content in found else node
    return {content: node for content, node in found.items() if node is not None}


def pair_new(base: Tree, local: Overlay, remote: Overlay) -> None:
    """Make one node of what is new on both sides under one name, folders before what is in them."""
    pending = [
        node
        for node in remote.changed()
        if base.get(node) is None
        and (now := remote.get(node)) is not None
        and local.get(now.parent) is not None
    ]
    while pending:
        node = pending.pop()
        now = remote.get(node)
        if now is None or local.get(node) is not None:
            continue
        mine = local.child(now.parent, now.name)
        if mine is None or base.get(mine) is not None or remote.get(mine) is not None:
            continue
        found = local.get(mine)
        if found is None or found.is_folder != now.is_folder:
            continue
        if now.is_folder or content_of(found.item) == content_of(now.item):
            remote.take_over(node, mine)
            pending.extend(child for _, child in remote.children(mine))


def pair_copies(base: Tree, local: Overlay, remote: Overlay) -> None:
    """Make one node of a new file and what was to become its conflict copy, with equal content.

    It came under that name, and nobody was left to write it down, or to rename it on the server.
    """
    for mine in local.changed():
        copy = local.get(mine)
        name = without_mark(copy.name) if copy is not None else None
        if copy is None or name is None or any(tree.get(mine) for tree in (base, remote)):
            continue
        node = remote.child(copy.parent, name)
        found = remote.get(node) if node is not None else None
        if node is None or found is None or any(tree.get(node) for tree in (base, local)):
            continue
        if not found.is_folder and content_of(found.item) == content_of(copy.item):
            remote.take_over(node, mine)
