"""Marking what is kept: the present, snapshots, and as much history as retention says.

Commits and their lists of changes are kept from the beginning of the history on, as the audit log;
what they name is thinned out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from xxhash import xxh3_64_intdigest

from cas.catalog import Head
from cas.engine import Engine
from cas.errors import MissingObjectError
from cas.ids import Kind
from cas.journal import Change, Commit
from cas.kept import KeptStates
from cas.lost import lost_objects
from cas.maintenance.marking import Holes, Marking
from cas.maintenance.policy import CommitMark, VersionPolicy
from cas.nodes import ReadNodes
from cas.objects import Entry, decode
from cas.purged import Purged
from cas.snapshots import iterate_snapshots, load_commit

_CHANGES_AT_ONCE: Final = 1024


class Keeping:
    """What is kept of one volume. `mark` says it, and again what has come since the last time."""

    def __init__(
        self,
        engine: Engine,
        marking: Marking,
        policy: VersionPolicy,
        kept: KeptStates,
        purged: Purged | None,
    ) -> None:
        self._engine = engine
        self._nodes = ReadNodes(engine.nodes)
        self._marking = marking
        self._kept = kept
        self._purged = purged
        self._holes: dict[int, Holes] = {}
        fewer: Holes | None = None
        if purged is not None:
            for upto in purged.sequences:
                fewer = self._holes[upto] = marking.holes(purged.contents(upto), fewer)
        self._versions = VersionCounter(policy)
        self._newest = b""
        self._snapshots: set[bytes] = set()

    def mark(self, head: Head) -> None:
        """Mark the present, the snapshots, and the history that is kept.

        Raises:
            MissingObjectError: something that is kept is nowhere.
            IntegrityError: a node is damaged.
        """
        self._marking.entries([head.root])
        self._marking.tree(head.snapshots)
        for snapshot in iterate_snapshots(self._nodes, head):
            if snapshot.commit not in self._snapshots:
                self._snapshots.add(snapshot.commit)
                self._marking.objects([snapshot.commit])
                commit = load_commit(self._engine.chunks, snapshot.commit)
                self._marking.entries([commit.root], self._holes_of(commit))
        until, self._newest = self._newest, head.commit
        met = self._marking.met_lost
        for commit_id, commit in commits_of(self._engine, head.commit, self._kept, until, met):
            self._marking.objects([commit_id])
            changes = self._marking.changes(commit.changes)
            holes = self._holes_of(commit)
            if self._kept.has(commit.last_sequence):
                self._marking.entries([commit.root], holes)
                self._marking.tree(commit.snapshots)
            if commit.last_sequence > self._kept.every_since:
                self.mark_changes(changes, holes)
            else:
                # An earlier collection may have kept fewer versions: what it dropped stays away.
                self._marking.entries(self._versions.kept(changes), holes, may_lack=True)

    def mark_changes(self, changes: Iterable[Change], holes: Holes | None = None) -> None:
        """Mark what changes name: what was there before them, and after."""
        remaining = iter(changes)
        while some := list(islice(remaining, _CHANGES_AT_ONCE)):
            named = (entry for change in some for entry in (change.old, change.new))
            self._marking.entries((entry for entry in named if entry is not None), holes)

    def _holes_of(self, commit: Commit) -> Holes | None:
        """Return what a commit's states are kept without."""
        upto = self._purged.upto(commit.last_sequence) if self._purged else None
        return None if upto is None else self._holes[upto]


class VersionCounter:
    """Says which old versions of paths are kept where a number of them is."""

    def __init__(self, policy: VersionPolicy) -> None:
        self._wanted = (policy.versions or 1) - 1
        self._versions: Counter[int] = Counter()

    def kept(self, changes: Iterable[Change]) -> Iterator[Entry]:
        """Yield the old entries of the changes, newest first, while a path has not its number.

        Where only attributes changed there was no other version.
        """
        for change in changes:  # all of them: to read the list marks it
            old, new = change.old, change.new
            if not self._wanted or old is None:
                continue
            if new is not None and new.content == old.content:
                continue
            path = xxh3_64_intdigest(change.path)
            if self._versions[path] < self._wanted:
                self._versions[path] += 1
                yield old


def commits_of(
    engine: Engine,
    newest: bytes,
    kept: KeptStates,
    until: bytes = b"",
    met_lost: set[bytes] | None = None,
) -> Iterator[tuple[bytes, Commit]]:
    """Yield a commit and those before it, with their ids, up to but not including `until`.

    It ends where the volume's history begins. What a repair has given up is passed over, and its
    ids are added to `met_lost`.

    Raises:
        IntegrityError: one is missing or damaged.
    """
    commit_id = newest
    while commit_id and commit_id != until:
        try:
            commit = decode(engine.chunks.get(Kind.COMMIT, commit_id), Commit)
        except MissingObjectError:
            with engine.catalog.read() as transaction:
                lost = lost_objects(engine.nodes, transaction).get(commit_id)
            if lost is None:
                raise
            if met_lost is not None:
                met_lost.add(commit_id)
            commit_id = lost.before
            continue
        yield commit_id, commit
        commit_id = kept.parent(commit)


def commit_marks(engine: Engine, newest: bytes, kept: KeptStates) -> list[CommitMark]:
    """Return what retention looks at of a volume's commits, the newest first."""
    return [
        CommitMark(commit.time_ns, commit.last_sequence, commit.first_sequence, commit_id)
        for commit_id, commit in commits_of(engine, newest, kept)
    ]
