"""What is lost of volumes' histories is written down, so that collections go on without it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import suppress

from cas.engine import Engine
from cas.errors import MissingObjectError, NotFoundError
from cas.ids import Kind, ObjectId
from cas.journal import ChangeNode, Commit
from cas.kept import KeptStates, kept_states
from cas.lost import LostObject, lost_objects, lost_path
from cas.objects import decode, encode
from cas.paths import join_names
from cas.repository import Repository


def give_up_lost(repository: Repository) -> list[bytes]:
    """Write down which commits and lists of changes are nowhere; return their ids.

    Raises:
        IntegrityError: one is damaged, or the registry is: a repair comes first.
    """
    engine = repository.engine
    with engine.catalog.read() as transaction:
        known = lost_objects(engine.nodes, transaction)
        heads = [
            (volume_id, head, kept_states(engine.nodes, transaction, volume_id))
            for volume_id, head in transaction.heads()
            if head.commit
        ]
    now_ns = engine.clock.now_ns()
    lost: dict[bytes, LostObject] = {}
    for volume_id, head, kept in heads:
        history = _History(engine, volume_id, kept)
        for object_id, before in history.lost(head.commit, head.commit_sequence):
            if object_id not in known:
                lost[object_id] = LostObject(now_ns, before)
    if lost:
        with repository.registry.edit(author="repair") as edit:
            for object_id, record in lost.items():
                folder, name = lost_path(object_id)
                edit.make_directory(join_names((folder,)), parents=True)
                edit.put_record(join_names((folder, name)), encode(record))
    return list(lost)


def forget_lost(repository: Repository, met: Container[bytes]) -> None:
    """Forget that something is lost which came again, or to which no history reaches back any more.

    `met` are the ids of what was passed over when all histories were followed.
    """
    engine = repository.engine
    with engine.catalog.read() as transaction:
        known = lost_objects(engine.nodes, transaction)
    for object_id in known:
        if object_id not in met:
            with suppress(NotFoundError), repository.registry.edit(author="gc") as edit:
                edit.remove(join_names(lost_path(object_id)))


class _History:
    """The commits of one volume, from the newest on as far back as they are kept."""

    def __init__(self, engine: Engine, volume_id: bytes, kept: KeptStates) -> None:
        self._engine = engine
        self._volume_id = volume_id
        self._kept = kept
        self._all: dict[bytes, Commit] | None = None

    def lost(self, newest: bytes, sequence: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is lost, and of each commit the newest one before it that is there.

        `sequence` is the last number of the newest commit.
        """
        commit_id = newest
        while commit_id:
            commit = self._commit(commit_id)
            if commit is None:
                before = self._newest_upto(sequence)
                yield commit_id, before
                commit_id = before
                continue
            for node_id in self._lost_changes(commit.changes):
                yield node_id, b""
            commit_id, sequence = self._kept.parent(commit), commit.first_sequence - 1

    def _commit(self, commit_id: bytes) -> Commit | None:
        try:
            return decode(self._engine.chunks.get(Kind.COMMIT, ObjectId(commit_id)), Commit)
        except MissingObjectError:
            return None

    def _lost_changes(self, root: bytes) -> Iterator[bytes]:
        waiting = [root]
        while waiting:
            node_id = ObjectId(waiting.pop())
            try:
                node = decode(self._engine.chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
                waiting += node.children
            except MissingObjectError:
                yield node_id

    def _newest_upto(self, sequence: int) -> bytes:
        """Return the newest commit up to a number. That of a fork is as good: it has been so."""
        if self._all is None:
            with self._engine.catalog.read() as transaction:
                found = transaction.locations(b"")
                ids = [key for key, location in found if location.kind is Kind.COMMIT]
            commits = ((commit_id, self._commit(commit_id)) for commit_id in ids)
            self._all = {
                commit_id: commit
                for commit_id, commit in commits
                if commit is not None and commit.volume_id == self._volume_id
            }
        older = (
            (commit.last_sequence, commit.time_ns, commit_id)
            for commit_id, commit in self._all.items()
            if self._kept.first <= commit.last_sequence <= sequence
        )
        return max(older, default=(0, 0, b""))[2]
