"""A volume as it was after any change: a commit, and the changes behind it done again in memory."""

from __future__ import annotations

from typing import NamedTuple

from cas.chunkstore import ChunkStore
from cas.errors import IntegrityError, NotFoundError
from cas.history import History
from cas.journal import Commit
from cas.nodes import NodeStore, OverlayNodes, ReadNodes
from cas.objects import Entry
from cas.registry import EMPTY_ROOT
from cas.reliance import Pin
from cas.replaying import replay_files
from cas.snapshots import load_commit
from cas.trees import TreeShape
from cas.working_tree import WorkingTree


class PastState(NamedTuple):
    """A root, the nodes that it leads to, and the commit whose root it is, if it is one's."""

    root: Entry
    nodes: ReadNodes
    commit: bytes


def state_after(
    history: History,
    chunks: ChunkStore,
    store: NodeStore,
    shape: TreeShape,
    sequence: int,
    pin: Pin,
) -> PastState:
    """Return the state after the change of this number; nothing is written.

    What is pinned must stay so while the state is in use. It takes as long as the
    changes since the commit before take again.

    Raises:
        NotFoundError: there was no such change, or what it led to is not kept any more.
    """
    if not 0 < sequence <= history.head.sequence:
        message = f"there is no change #{sequence}: they go from #1 to #{history.head.sequence}"
        raise NotFoundError(message)
    before, base = _commit_before(history, chunks, sequence)
    if before is not None and before.last_sequence == sequence:
        return PastState(before.root, ReadNodes(store, pin), base)
    root = EMPTY_ROOT if before is None else before.root
    require_kept(chunks, root)
    nodes = OverlayNodes(store, pin)
    tree = WorkingTree(nodes, shape, root)
    done = 0 if before is None else before.last_sequence
    for recorded in history.forward(done + 1):
        if recorded.sequence != done + 1:
            break
        replay_files(tree, recorded.change)
        done = recorded.sequence
        if done == sequence:
            return PastState(tree.flush(), nodes, b"")
    message = f"what changed before #{sequence} is not kept any more"
    raise NotFoundError(message)


def require_kept(chunks: ChunkStore, root: Entry) -> None:
    """Raise unless the files of a commit's root are still kept.

    Raises:
        NotFoundError: they are not.
    """
    if root.content and not chunks.contains(root.content):
        message = "the files of this state are not kept any more; what was changed is: see the log"
        raise NotFoundError(message)


def _commit_before(
    history: History, chunks: ChunkStore, sequence: int
) -> tuple[Commit | None, bytes]:
    """Return the newest commit up to this change, and its id; None before the first."""
    head = history.head
    if sequence >= head.commit_sequence:
        return (load_commit(chunks, head.commit) if head.commit else None), head.commit
    found = history.run(sequence)
    if found is None:
        message = f"the catalog does not know where change #{sequence} lies"
        raise IntegrityError(message)
    commit_id = found[1].commit
    commit = load_commit(chunks, commit_id)
    if commit.last_sequence > sequence:
        commit_id = commit.parent
        return (load_commit(chunks, commit_id) if commit_id else None), commit_id
    return commit, commit_id
