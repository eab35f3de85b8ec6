"""Doing journalled changes again, on trees that are as they were then."""

from __future__ import annotations

from cas.errors import IntegrityError
from cas.journal import Action, Change
from cas.paths import Names, join_names
from cas.working_tree import WorkingTree


def replay(tree: WorkingTree, snapshots: WorkingTree, change: Change) -> None:
    """Do a change again, on the files or the snapshots.

    Raises:
        IntegrityError: the tree of snapshots is not as it was.
    """
    if change.action is Action.SNAPSHOT:
        path = split_joined(change.path)
        if snapshots.set(path, change.new, change.time_ns) != change.old:
            message = f"the snapshot {join_names(path)!r} is not as it was"
            raise IntegrityError(message)
        return
    replay_files(tree, change)


def replay_files(tree: WorkingTree, change: Change) -> None:
    """Do a change of files again; one of snapshots is none."""
    path = split_joined(change.path)
    if change.action is Action.SNAPSHOT:
        return
    if change.action is Action.MOVE:
        source = split_joined(change.source)
        tree.get(source)  # writes the nodes of a subtree that this very batch has changed
        tree.set(source, None, change.time_ns)
    elif change.action is Action.COPY and not change.source_volume:
        tree.get(split_joined(change.source))
    if path:
        tree.set(path, change.new, change.time_ns)
    elif change.new is not None:
        tree.get(())  # writes the nodes of the root as it is so far: the change names it
        if change.action is Action.COPY:
            tree.replace_root(change.new)
        else:
            tree.set_root(change.new)


def split_joined(path: bytes) -> Names:
    """Return the names of a path as a change holds it."""
    return tuple(path.split(b"/")) if path else ()
