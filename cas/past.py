"""A volume as it was after any change: a commit, and the changes behind it done again in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cas.catalog import Head
from cas.chunkstore import ChunkStore
from cas.errors import IntegrityError, NotFoundError, NotKeptError
from cas.history import History, HistoryIndex
from cas.journal import Commit
from cas.kept import KeptStates, kept_states
from cas.nodes import NodeStore, OverlayNodes, ReadNodes
from cas.objects import Entry
from cas.processes import Process
from cas.registry import EMPTY_ROOT
from cas.reliance import Pin
from cas.replaying import replay_files
from cas.snapshots import iterate_snapshots, load_commit
from cas.trees import TreeNodeSource, TreeShape
from cas.working_tree import WorkingTree


class PastState(NamedTuple):
    """A root, the nodes that it leads to, and the number of the change that led to it."""

    root: Entry
    nodes: ReadNodes
    sequence: int


def open_state(
    process: Process,
    index: HistoryIndex,
    chunks: ChunkStore,
    store: NodeStore,
    shape: TreeShape,
    volume_id: bytes,
    choose: Callable[[History], int],
) -> tuple[PastState, Pin]:
    """Return the state after the change whose number is chosen, pinned.

    Raises:
        NotFoundError: there was no such change, or what it led to is not kept any more.
    """
    history, kept, pin = _pinned_history(process, index, store, volume_id)
    try:
        sequence = choose(history)
        if sequence == history.head.sequence:
            return PastState(history.head.root, ReadNodes(store, pin), sequence), pin
        return state_after(history, kept, chunks, store, shape, sequence, pin), pin
    except BaseException:
        process.unpin(pin)
        raise


def sequence_at(history: History, time_ns: int) -> int:
    """Return the number of the last change up to a time.

    Raises:
        NotFoundError: it is before all that is known.
    """
    sequence = history.sequence_at(time_ns)
    if not sequence:
        raise NotFoundError("nothing is known of that time: the volume's history begins later")
    return sequence


def state_after(
    history: History,
    kept: KeptStates,
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
    commit_id, before = _commit_before(history, chunks, sequence)
    root = EMPTY_ROOT if before is None else before.root
    nodes = OverlayNodes(store, pin)
    if before is not None and before.last_sequence == sequence:
        require_kept(nodes, history.head, kept, commit_id, sequence)
        return PastState(root, nodes, sequence)
    require_kept(nodes, history.head, kept, b"", sequence)
    tree = WorkingTree(nodes, shape, root)
    done = 0 if before is None else before.last_sequence
    for recorded in history.forward(done + 1):
        if recorded.sequence != done + 1:
            break
        replay_files(tree, recorded.change)
        done = recorded.sequence
        if done == sequence:
            return PastState(tree.flush(), nodes, sequence)
    message = f"what changed before #{sequence} is not kept any more"
    raise NotFoundError(message)


def require_kept(
    nodes: TreeNodeSource, head: Head, kept: KeptStates, commit_id: bytes, sequence: int
) -> None:
    """Raise unless the files of the state after a change are still kept.

    Retention keeps them, or a snapshot that names the commit which ends with the change.

    Raises:
        NotKeptError: they are not.
    """
    if kept.has(sequence):
        return
    if all(snapshot.commit != commit_id for snapshot in iterate_snapshots(nodes, head)):
        raise NotKeptError(sequence)


def _pinned_history(
    process: Process, index: HistoryIndex, nodes: NodeStore, volume_id: bytes
) -> tuple[History, KeptStates, Pin]:
    while True:
        index.catch_up(volume_id)
        (history, kept), pin = process.pin(
            lambda transaction: (
                index.look(transaction, volume_id),
                kept_states(nodes, transaction, volume_id),
            )
        )
        if history is not None:
            return history, kept, pin
        process.unpin(pin)  # a commit was made in between


def _commit_before(
    history: History, chunks: ChunkStore, sequence: int
) -> tuple[bytes, Commit | None]:
    """Return the newest commit up to this change, with its id; None before the first."""
    head = history.head
    if sequence >= head.commit_sequence:
        return head.commit, load_commit(chunks, head.commit) if head.commit else None
    found = history.run(sequence)
    if found is None:
        message = f"the catalog does not know where change #{sequence} lies"
        raise IntegrityError(message)
    commit = load_commit(chunks, found[1].commit)
    if commit.last_sequence <= sequence:
        return found[1].commit, commit
    return commit.parent, load_commit(chunks, commit.parent) if commit.parent else None
