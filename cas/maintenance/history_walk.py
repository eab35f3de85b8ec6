"""Walking the history of a volume: its ref, the chain of its commits, their changes, snapshots.

Of the states that it comes by it keeps those that are damaged, to be searched for paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cas.catalog import Head
from cas.engine import Engine
from cas.errors import CasError
from cas.formats import REGISTRY_ID
from cas.ids import Kind
from cas.journal import CHANGES_PER_NODE, Action, Change, ChangeNode, Commit
from cas.kept import EVERYTHING, KeptStates, kept_states
from cas.maintenance.damage import CheckSummary, Damage, DamageKind
from cas.maintenance.walk import Reference, Walk
from cas.nodes import ReadNodes
from cas.objects import Entry, decode
from cas.paths import Names
from cas.purged import Purged, purged_from
from cas.refs import Ref, read_ref, ref_name
from cas.registry import REGISTRY_INFO, head_of
from cas.reliance import Pin
from cas.snapshots import Snapshot, iterate_snapshots


class State(NamedTuple):
    """Something to look for paths in: an entry at a path of a volume, in a state of it.

    `when` is a snapshot's name or a commit's id in hex, empty for the volume's present.
    """

    volume_id: bytes
    when: str
    path: Names
    entry: Entry
    is_commit: bool = False


class HistoryWalk:
    """Walks what volumes were and are. For one thread.

    `damaged` are the states that cannot be read in full: of each volume first the present, then
    snapshots, then commits from the newest on.
    """

    def __init__(
        self,
        engine: Engine,
        walk: Walk,
        summary: CheckSummary,
        report: Callable[[Damage], None],
    ) -> None:
        self._engine = engine
        self._walk = walk
        self._summary = summary
        self._report = report
        self._commits: dict[bytes, Commit] = {}  # of the volume that is being walked
        self._kept: KeptStates = EVERYTHING
        self._purged: Purged | None = None
        self._pasts: dict[int, Walk] = {}  # of states that are kept without what was purged
        self.damaged: list[State] = []

    def check(self, volume_id: bytes, label: str) -> None:
        """Walk a volume: its present, its snapshots, its commits with their changes."""
        (head, self._kept, self._purged), pin = self._engine.process.pin(
            lambda seen: (
                head_of(seen, volume_id),
                kept_states(self._engine.nodes, seen, volume_id),
                purged_from(self._engine.nodes, seen, volume_id),
            )
        )
        kept = self._kept
        self._pasts = {}
        try:
            self._summary.volumes += 1
            self._commits = {}
            self._walk_state(State(volume_id, "", (), head.root))
            chain = list(self._chain(volume_id, label, self._newest(volume_id, label, head)))
            self._check_snapshots(volume_id, label, head, pin)
            for commit_id, commit in chain:
                if kept.has(commit.last_sequence):
                    self._check_root(commit_id, commit)
            for commit_id, commit in chain:  # after all roots: what has a state is named by that
                is_kept = commit.last_sequence > kept.every_since
                self._check_changes(commit_id, commit, is_kept=is_kept)
            self._walk.objects += sum(walk.objects for walk in self._pasts.values())
        finally:
            self._engine.process.unpin(pin)

    def _newest(self, volume_id: bytes, label: str, head: Head) -> list[bytes]:
        """Return the commits that the chain begins at: the head's, and the ref's if another."""
        newest = [head.commit] if head.commit else []
        try:
            ref = read_ref(self._engine.store, self._engine.chunks.identifier, volume_id)
        except CasError as error:
            self._report(Damage(DamageKind.DAMAGED, str(error)))
            return newest
        if ref is None:
            if head.commit and self._head(volume_id).commit == head.commit:
                name = ref_name(self._engine.chunks.identifier, volume_id)
                message = f"the ref of {label} is missing, {name}"
                self._report(Damage(DamageKind.MISSING, message))
        elif ref.sequence < head.commit_sequence:
            message = f"the ref of {label} names an older state than it did: it was put back"
            self._report(Damage(DamageKind.INCONSISTENT, message))
        elif not self._is_ahead(ref):
            if ref.commit not in newest:
                newest.append(ref.commit)
            self._check_ref(ref, label)
        return newest

    def _is_ahead(self, ref: Ref) -> bool:
        """Whether a checkpoint has moved the ref, and has not told the catalog of the commit yet.

        Until it has, the catalog holds all the changes itself. That may take long: a checkpoint
        that fails there leaves it to the next one.
        """
        with self._engine.catalog.read() as transaction:
            head = head_of(transaction, ref.volume_id)
            is_known = transaction.location(ref.commit) is not None
        return not is_known and head.commit_sequence < ref.sequence <= head.sequence

    def _head(self, volume_id: bytes) -> Head:
        with self._engine.catalog.read() as transaction:
            return head_of(transaction, volume_id)

    def _check_ref(self, ref: Ref, label: str) -> None:
        commit = self._commit(ref.commit)
        if commit is not None and commit.last_sequence != ref.sequence:
            message = f"the ref of {label} says that its commit has another number"
            self._report(Damage(DamageKind.INCONSISTENT, message))

    def _commit(self, commit_id: bytes) -> Commit | None:
        found = self._commits.get(commit_id)
        if found is None:
            encoded = self._walk.load(Kind.COMMIT, commit_id)
            if encoded is None:
                return None
            try:
                found = self._commits[commit_id] = decode(encoded, Commit)
            except CasError as error:
                self._tell(commit_id, str(error))
        return found

    def _chain(
        self, volume_id: bytes, label: str, newest: list[bytes]
    ) -> Iterator[tuple[bytes, Commit]]:
        """Yield the volume's commits, the newest first, as far as they can be read."""
        seen: set[bytes] = set()
        for start in newest:
            commit_id = start
            while commit_id and commit_id not in seen:
                seen.add(commit_id)
                commit = self._commit(commit_id)
                if commit is None:
                    break
                self._summary.commits += 1
                fault = self._fault(commit, volume_id)
                if fault is not None:
                    self._tell(commit_id, f"of {label}: {fault}")
                yield commit_id, commit
                commit_id = self._kept.parent(commit)

    def _fault(self, commit: Commit, volume_id: bytes) -> str | None:  # noqa: PLR0911 - one for each rule
        if commit.volume_id != volume_id:
            return "it is another volume's"
        if commit.last_sequence < commit.first_sequence:
            return "it has no changes"
        parent_id = self._kept.parent(commit)
        if not parent_id:
            is_first = commit.first_sequence == self._kept.first
            return None if is_first else "it has no parent, and is not the first"
        parent = self._commit(parent_id)
        if parent is None:
            return None  # it was told that this one cannot be had
        if parent.last_sequence + 1 != commit.first_sequence:
            return "its changes do not follow its parent's"
        if commit.time_ns < parent.time_ns or commit.journal < parent.journal:
            return "it is older than its parent"
        return None

    def _check_snapshots(self, volume_id: bytes, label: str, head: Head, pin: Pin) -> None:
        """Walk the tree of snapshots, and the commits that they name."""
        if not self._walk_snapshots(head.snapshots):
            self._report(
                Damage(DamageKind.DAMAGED, f"the list of the snapshots of {label} is damaged")
            )
        try:
            nodes = ReadNodes(self._engine.nodes, pin)
            snapshots = iterate_snapshots(nodes, head)
        except CasError:
            return  # as has been told
        for snapshot in snapshots:
            self._summary.snapshots += 1
            self._check_snapshot(volume_id, label, snapshot)

    def _check_snapshot(self, volume_id: bytes, label: str, snapshot: Snapshot) -> None:
        commit = self._commit(snapshot.commit)
        if commit is None:
            message = f"the commit of the snapshot {label}@{snapshot.name} cannot be read"
            self._report(Damage(DamageKind.DAMAGED, message))
            return
        if commit.volume_id != volume_id:
            self._tell(snapshot.commit, f"{label}@{snapshot.name} names another volume's commit")
        state = State(volume_id, snapshot.name, (), commit.root)
        self._walk_state(state, commit.last_sequence)

    def _walk_snapshots(self, root: bytes) -> bool:
        """Walk a tree of snapshots by its root, which no entry with sums names."""
        if not root:
            return True
        return self._walk.node(Reference(Kind.TREE_NODE, root, None))

    def _check_root(self, commit_id: bytes, commit: Commit) -> None:
        """Walk a commit's files and snapshots."""
        state = State(commit.volume_id, commit_id.hex(), (), commit.root, is_commit=True)
        self._walk_state(state, commit.last_sequence)
        if not self._walk_snapshots(commit.snapshots):
            self._tell(commit_id, "its list of snapshots is damaged")

    def _check_changes(self, commit_id: bytes, commit: Commit, *, is_kept: bool) -> None:
        """Walk what a commit's changes name: states between two commits were acknowledged too.

        Of those that retention has thinned out only the changes themselves have to be there.
        """
        count = 0
        for change in self._changes(commit_id, commit.changes):
            if change is None:
                return
            count += 1
            if is_kept:
                self._check_change(commit, commit_id.hex(), change)
        self._summary.changes += count
        if count != commit.last_sequence - commit.first_sequence + 1:
            self._tell(commit_id, f"it has {count} changes, and says another number")

    def _check_change(self, commit: Commit, when: str, change: Change) -> None:
        if change.action is Action.SNAPSHOT:
            return  # entries of its own tree, which name commits
        path = tuple(change.path.split(b"/")) if change.path else ()
        for entry in (change.old, change.new):
            if entry is not None:
                state = State(commit.volume_id, when, path, entry, is_commit=True)
                self._walk_state(state, commit.last_sequence)

    def _changes(self, commit_id: bytes, root: bytes) -> Iterator[Change | None]:
        """Yield a commit's changes; None in the end if some cannot be read."""
        waiting: list[tuple[bytes, int | None]] = [(root, None)]
        while waiting:
            node_id, level = waiting.pop()
            encoded = self._walk.load(Kind.CHANGE_NODE, node_id)
            if encoded is None:
                yield None
                return
            try:
                node = decode(encoded, ChangeNode)
            except CasError as error:
                self._tell(commit_id, str(error))
                yield None
                return
            both = node.children if node.level else node.changes
            if level not in {None, node.level} or not 0 < len(both) <= CHANGES_PER_NODE:
                self._tell(commit_id, f"its list of changes {node_id.hex()} is not built right")
            yield from node.changes
            waiting += [(child, node.level - 1) for child in reversed(node.children)]

    def _walk_state(self, state: State, sequence: int | None = None) -> None:
        """Walk a state; `sequence` is the last number of its commit, None for the present."""
        if not self._walk_of(sequence).entry(state.entry):
            self.damaged.append(state)

    def _walk_of(self, sequence: int | None) -> Walk:
        """Return the walk that knows what may be absent from the states of a commit."""
        purged = self._purged
        upto = None if purged is None or sequence is None else purged.upto(sequence)
        if purged is None or upto is None:
            return self._walk
        if upto not in self._pasts:
            self._pasts[upto] = self._walk.without(purged.contents(upto))
        return self._pasts[upto]

    def _tell(self, commit_id: bytes, fault: str) -> None:
        message = f"commit {commit_id.hex()}: {fault}"
        self._report(Damage(DamageKind.INCONSISTENT, message, b"", Kind.COMMIT, commit_id))


def volume_names(engine: Engine, report: Callable[[Damage], None]) -> dict[bytes, str]:
    """Return the names of the volumes by their ids; tell it if they cannot be had."""
    try:
        with engine.catalog.read() as transaction:
            volumes = engine.registry.volumes(transaction)
            names = {volume.id: volume.name for volume in volumes.values()}
            return {REGISTRY_ID: REGISTRY_INFO.name, **names}
    except (CasError, UnicodeDecodeError) as error:
        report(Damage(DamageKind.DAMAGED, f"the list of the volumes cannot be read: {error}"))
        return {REGISTRY_ID: REGISTRY_INFO.name}
