"""Following the chain of a volume's commits: each names the one before it by its hash.

So the newest commit's id stands for the whole past of the volume: who keeps it elsewhere can tell
later whether anything before it was changed, left out or put in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cas.engine import Engine
from cas.errors import CasError
from cas.formats import REGISTRY_ID
from cas.ids import Kind
from cas.journal import ChangeNode, Commit
from cas.kept import kept_states
from cas.maintenance.watching import Watcher
from cas.objects import decode
from cas.registry import head_of
from cas.repository import Repository
from cas.snapshots import load_commit


class Chain(NamedTuple):
    """The commits of one volume, from the newest back.

    Attributes:
        volume_id: whose they are.
        commits, changes: how many were followed, and how many changes they hold.
        newest: the id of the newest commit, empty where there is none yet.
        first, last: the numbers of the oldest and of the newest change that they hold; 0 for none.
        begins: the number of the first change that retention has kept; 1 where it kept all.
        young: changes after the newest commit, which the journal holds and no commit yet.
        known: which of the ids that were looked for are among them.
        broken: what is wrong with the first link that is, in words; empty for nothing.
    """

    volume_id: bytes
    commits: int
    changes: int
    newest: bytes
    first: int
    last: int
    begins: int
    young: int
    known: frozenset[bytes]
    broken: str

    @property
    def is_registry(self) -> bool:
        """Whether it is that of people, rights and volumes."""
        return self.volume_id == REGISTRY_ID


def follow_chains(
    repository: Repository, watcher: Watcher, known: frozenset[bytes] = frozenset()
) -> Iterator[Chain]:
    """Follow the chains of all volumes, deleted ones too; the watcher's steps are commits.

    `known` are ids of commits to look for.
    """
    repository.catch_up()
    engine = repository.engine
    with engine.catalog.read() as transaction:
        volume_ids = [volume_id for volume_id, _ in transaction.heads()]
    for volume_id in volume_ids:
        yield _follow(engine, volume_id, watcher, known)


def _follow(engine: Engine, volume_id: bytes, watcher: Watcher, known: frozenset[bytes]) -> Chain:
    (head, kept), pin = engine.process.pin(
        lambda seen: (head_of(seen, volume_id), kept_states(engine.nodes, seen, volume_id))
    )
    commits = changes = first = 0
    found: set[bytes] = set()
    broken = ""
    try:
        wanted, after = head.commit, None
        while wanted and not broken:
            try:
                commit = load_commit(engine.chunks, wanted)
                broken = _misfit(volume_id, commit, after, head.commit_sequence)
                count = _count_changes(engine, commit.changes)
            except CasError as error:
                with engine.catalog.read() as transaction:
                    kept = kept_states(engine.nodes, transaction, volume_id)
                if after is None or kept.parent(after):  # else a collection has dropped it by now
                    broken = f"commit {wanted.hex()}: {error}"
                break
            if not broken and count != commit.last_sequence - commit.first_sequence + 1:
                broken = f"commit {wanted.hex()} says that it has other changes than it has"
            if broken:
                break
            found |= known & {wanted}
            commits, changes, first = commits + 1, changes + count, commit.first_sequence
            watcher.advance(1)
            wanted, after = kept.parent(commit), commit
    finally:
        engine.process.unpin(pin)
    if not broken and first > kept.first:
        broken = f"the changes from #{kept.first} to #{first - 1} are missing"
    last = head.commit_sequence if commits else 0
    young = head.sequence - head.commit_sequence
    return Chain(
        volume_id,
        commits,
        changes,
        head.commit,
        first,
        last,
        kept.first,
        young,
        frozenset(found),
        broken,
    )


def _misfit(volume_id: bytes, commit: Commit, after: Commit | None, newest: int) -> str:
    """Return why a commit cannot be the one before `after`, or the newest; empty if it can."""
    if commit.volume_id != volume_id:
        return "a commit of another volume stands in the chain"
    expected = newest if after is None else after.first_sequence - 1
    if commit.last_sequence != expected:
        return f"after #{commit.last_sequence}, changes are missing up to #{expected}"
    if after is not None and commit.time_ns > after.time_ns:
        return f"the commit up to #{commit.last_sequence} is younger than the one after it"
    return ""


def _count_changes(engine: Engine, node_id: bytes) -> int:
    node = decode(engine.chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
    return len(node.changes) + sum(_count_changes(engine, child) for child in node.children)
