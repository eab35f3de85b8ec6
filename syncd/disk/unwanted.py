"""Removing from this disk what is not wanted here any more: only what the server has as it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from syncd.disk.linked import Linked
from syncd.disk.steps import RemoveFile, RemoveFolder, Step
from syncd.trees import below, find

_AT_ONCE: Final = 256


def remove_unwanted(linked: Linked, path: str) -> None:
    """Remove what is at a path of the volume, and in it, as far as it is as when last in sync.

    What was changed since, or is ignored, stays, and is not synced any more; so do folders that
    hold such. Then the base has nothing there. May be begun anew after a kill.

    Raises:
        OSError: the folder cannot be used.
    """
    base = linked.state.base
    node = find(base, path)
    if node is None:
        return
    nodes = [node, *below(base, node)]
    steps = _removals(linked, nodes[::-1])
    while some := list(islice(steps, _AT_ONCE)):
        linked.applier.apply(some, lambda _: None)
    with linked.state.transaction():
        linked.names.forget(nodes)
        base.remove(node)


def _removals(linked: Linked, nodes: list[int]) -> Iterator[Step]:
    """Yield the steps; what is in a folder comes before it."""
    base = linked.state.base
    for node in nodes:
        found = base.get(node)
        if found is None:
            continue
        disk_path = linked.names.path(base, node)
        signature = base.signature(node)
        if found.is_folder:
            yield RemoveFolder(disk_path)
        elif signature is not None:
            yield RemoveFile(disk_path, signature)
