"""A volume's change as a link to one of its folders sees it. Pure."""

from __future__ import annotations

import os
from typing import Final

import cas
from cas import wire
from dav.api.places import Linked

_QUIET: Final = frozenset({cas.Action.SNAPSHOT})


class ReplacedError(Exception):
    """The place's own folder was moved, replaced or removed: its tree is to be listed anew."""


def seen_from(linked: Linked, recorded: cas.Recorded) -> wire.RemoteChange | None:
    """Return a change as it is in a place, None where it is none there.

    Raises:
        ReplacedError: it is one of the place's own folder as a whole.
    """
    change = recorded.change
    if change.action in _QUIET:
        return None
    root = os.fsencode(linked.root)
    path = _inside(change.path, root)
    source = None
    if change.action in {cas.Action.MOVE, cas.Action.COPY} and not change.source_volume:
        source = _inside(change.source, root) if change.source else None
    if change.action is cas.Action.SET_PROPERTIES and _is_above(change.path, root):
        return None
    if _is_above(change.path, root):
        raise ReplacedError
    if change.action is cas.Action.MOVE and _is_above(change.source, root):
        raise ReplacedError
    if path is not None:
        action = change.action
        if action is cas.Action.MOVE and source is None:
            action = cas.Action.COPY  # it came from outside
        return _message(linked, recorded, action, path, source)
    if change.action is cas.Action.MOVE and source is not None:
        return _message(linked, recorded, cas.Action.REMOVE, source, None)
    return None


def _message(
    linked: Linked, recorded: cas.Recorded, action: cas.Action, path: bytes, source: bytes | None
) -> wire.RemoteChange:
    change = recorded.change
    entry = None if action is cas.Action.REMOVE or change.new is None else change.new
    return wire.RemoteChange(
        recorded.sequence,
        action,
        path,
        None if entry is None else linked.entry(entry),
        source,
        change.author,
        change.device,
        change.time_ns,
        change.key,
    )


def _inside(path: bytes, root: bytes) -> bytes | None:
    """Return a path relative to a folder, None where it is not below it."""
    if not root:
        return path or None
    return path[len(root) + 1 :] if path.startswith(root + b"/") else None


def _is_above(path: bytes, root: bytes) -> bool:
    """Return whether a path is a folder or one that it lies in."""
    return not path or path == root or root.startswith(path + b"/")
