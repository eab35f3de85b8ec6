"""A volume as it was after any change: a commit, and the changes behind it done again in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from cas.catalog import Catalog, Head
from cas.chunkstore import ChunkStore
from cas.errors import BeforeHistoryError, IntegrityError, NotFoundError, NotKeptError
from cas.history import History
from cas.history_index import HistoryIndex
from cas.journal import Commit
from cas.kept import Beginning, KeptStates, kept_states
from cas.nodes import NodeStore, OverlayNodes, ReadNodes
from cas.objects import Entry
from cas.processes import Process
from cas.purged import PurgedNodes, purged_from
from cas.registry import EMPTY_ROOT, head_of
from cas.reliance import Pin
from cas.replaying import replay_files
from cas.snapshots import iterate_snapshots, load_commit
from cas.trees import TreeNodeSource, TreeShape
from cas.working_tree import WorkingTree


class PastState(NamedTuple):
    """A root, the nodes that it leads to, and the number of the change that led to it.

    It can be read until its pin is given up.
    """

    root: Entry
    nodes: ReadNodes
    sequence: int
    pin: Pin


class Past:
    """Opens past states of volumes. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        process: Process,
        index: HistoryIndex,
        chunks: ChunkStore,
        nodes: NodeStore,
        shape: TreeShape,
    ) -> None:
        self._catalog = catalog
        self._process = process
        self._index = index
        self._chunks = chunks
        self._nodes = nodes
        self._shape = shape

    def open(self, volume_id: bytes, choose: Callable[[History], int]) -> PastState:
        """Return the state after the change whose number is chosen, pinned.

        It takes as long as the changes since the commit before take again; nothing is written.

        Raises:
            BeforeHistoryError: it is older than all that is known.
            NotFoundError: there was no such change, or what it led to is not kept any more.
        """
        history, pin = self._pinned_history(volume_id)
        try:
            state = self._state_after(history, choose(history), pin)
            is_present = state.sequence == history.head.sequence
            return state if is_present else self.without_purged(volume_id, state)
        except BaseException:
            self._process.unpin(pin)
            raise

    def open_commit(self, volume_id: bytes, commit_id: bytes, commit: Commit) -> PastState:
        """Return the state that a commit of the volume has, pinned.

        Raises:
            NotKeptError: its files are not kept any more.
        """
        (kept, head), pin = self._process.pin(
            lambda seen: (kept_states(self._nodes, seen, volume_id), head_of(seen, volume_id))
        )
        nodes = ReadNodes(self._nodes, pin)
        try:
            _require_kept(nodes, head, kept, commit_id, commit.last_sequence)
        except BaseException:
            self._process.unpin(pin)
            raise
        state = PastState(commit.root, nodes, commit.last_sequence, pin)
        return self.without_purged(volume_id, state)

    def without_purged(self, volume_id: bytes, state: PastState) -> PastState:
        """Return a past state of the volume as it is kept: without what was purged from it."""
        with self._catalog.read() as transaction:
            purged = purged_from(self._nodes, transaction, volume_id)
        if purged is None or purged.upto(state.sequence) is None:
            return state
        nodes = PurgedNodes(
            self._nodes,
            state.pin,
            state.nodes,
            purged,
            sequence=state.sequence,
            shape=self._shape,
        )
        return state._replace(nodes=nodes)

    def _state_after(self, history: History, sequence: int, pin: Pin) -> PastState:
        head, kept = history.head, history.kept
        if sequence == head.sequence:
            return PastState(head.root, ReadNodes(self._nodes, pin), sequence, pin)
        _refuse_older(history, sequence)
        if sequence > head.sequence:
            changes = f"they go from #{kept.first} to #{head.sequence}"
            message = f"there is no change #{sequence}: {changes}"
            raise NotFoundError(message)
        commit_id, before = _commit_before(history, self._chunks, sequence)
        nodes = OverlayNodes(self._nodes, pin)
        if before is not None and before.last_sequence == sequence:
            _require_kept(nodes, head, kept, commit_id, sequence)
            return PastState(before.root, nodes, sequence, pin)
        _require_kept(nodes, head, kept, b"", sequence)
        tree = WorkingTree(nodes, self._shape, EMPTY_ROOT if before is None else before.root)
        _replay(tree, history, 0 if before is None else before.last_sequence, sequence)
        return PastState(tree.flush(), nodes, sequence, pin)

    def _pinned_history(self, volume_id: bytes) -> tuple[History, Pin]:
        while True:
            self._index.catch_up(volume_id)
            history, pin = self._process.pin(
                lambda transaction: self._index.look(transaction, volume_id)
            )
            if history is not None:
                return history, pin
            self._process.unpin(pin)  # a commit was made in between


def sequence_at(history: History, time_ns: int) -> int:
    """Return the number of the last change up to a time.

    Raises:
        BeforeHistoryError: it is before all that is known.
    """
    sequence = history.sequence_at(time_ns)
    _refuse_older(history, sequence)
    return sequence


def beginning_text(begins: Beginning | None) -> str:
    """Return in words where the history of a volume begins."""
    if begins is None:
        return "the volume has no history yet"
    seconds = -(-begins.time_ns // 1_000_000_000)  # not before it: it can be asked for as a time
    moment = datetime.fromtimestamp(seconds, UTC)
    commit = f" (commit {begins.commit.hex()[:16]})" if begins.commit else ""
    return (
        f"the volume's history begins at {moment:%Y-%m-%dT%H:%M:%SZ}, "
        f"with #{begins.last_sequence}{commit}"
    )


def _refuse_older(history: History, sequence: int) -> None:
    """Raise where the state after a change is older than all that is known.

    Raises:
        BeforeHistoryError: it is.
    """
    begins = history.beginning()
    if begins is None or sequence < begins.last_sequence:
        raise _too_old(sequence, begins)


def _too_old(sequence: int, begins: Beginning | None) -> BeforeHistoryError:
    return BeforeHistoryError(sequence, f"nothing so old is known: {beginning_text(begins)}")


def _require_kept(
    nodes: TreeNodeSource, head: Head, kept: KeptStates, commit_id: bytes, sequence: int
) -> None:
    """Raise unless the files of the state after a change are still kept.

    Retention keeps them, or a snapshot that names the commit which ends with the change.

    Raises:
        NotKeptError: they are not.
        BeforeHistoryError: nor is what was changed then.
    """
    if kept.has(sequence):
        return
    if all(snapshot.commit != commit_id for snapshot in iterate_snapshots(nodes, head)):
        if kept.begins is not None and sequence < kept.begins.last_sequence:
            raise _too_old(sequence, kept.begins)
        raise NotKeptError(sequence)


def _replay(tree: WorkingTree, history: History, done: int, upto: int) -> None:
    """Do the changes behind number `done` again, up to another.

    Raises:
        NotFoundError: not all of them are kept.
    """
    for recorded in history.forward(done + 1):
        if recorded.sequence != done + 1:
            break
        replay_files(tree, recorded.change)
        done = recorded.sequence
        if done == upto:
            return
    message = f"what changed before #{upto} is not kept any more"
    raise NotFoundError(message)


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
