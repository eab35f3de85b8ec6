"""The tables that lead to changes, filled behind the commits that hold them.

Commits hold all changes, but only one after the other. The catalog keeps where each run of them
lies, and the numbers of those that touched a path. These tables are filled behind commits, not
within them: each volume has a mark that says up to where they are complete, and whoever needs
more, or has time, reads on from there. So neither a process that dies nor a lost catalog leaves a
gap, and a repository that was made before there were such tables gets them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from cas.catalog import COMMIT_RESERVE, Catalog, ChangesRow, Head, HistoryMark, ReadTransaction
from cas.chunkstore import ChunkStore
from cas.errors import CasError, IntegrityError, MissingObjectError, NotFoundError
from cas.history import History, HistoryKeys, Remains, touched_paths
from cas.ids import Kind, ObjectId
from cas.journal import Change, ChangeNode, Commit, JournalRecord
from cas.kept import kept_states
from cas.lost import lost_objects
from cas.nodes import NodeStore
from cas.objects import decode
from cas.registry import head_of
from cas.snapshots import load_commit

_INDEXED_AT_ONCE: Final = 2048
"""Rows that one transaction writes: others wait for it no longer than for a large commit."""


class HistoryIndex:
    """Fills the tables, and opens the history of a volume. Shared by threads and processes."""

    def __init__(
        self, catalog: Catalog, chunks: ChunkStore, nodes: NodeStore, secret: bytes
    ) -> None:
        """`secret` is the repository's: the keys of rows are made with it."""
        self._catalog = catalog
        self._chunks = chunks
        self._nodes = nodes
        self._keys = HistoryKeys(secret)
        self._young: tuple[tuple[bytes, int, int], list[Change]] | None = None  # what was seen last

    def open(self, volume_id: bytes) -> History:
        """Return the volume's changes as they are now.

        Raises:
            IntegrityError: a commit or list of changes is damaged.
        """
        while True:
            self.catch_up(volume_id)
            with self._catalog.read() as transaction:
                history = self.look(transaction, volume_id)
            if history is not None:  # else a commit has been made in between
                return history

    def look(self, transaction: ReadTransaction, volume_id: bytes) -> History | None:
        """Return the volume's changes as the transaction sees them; None: not all are indexed."""
        head = head_of(transaction, volume_id)
        if transaction.history().mark(volume_id).complete < head.commit_sequence:
            return None
        kept = kept_states(self._nodes, transaction, volume_id)
        young = self._young_changes(transaction, volume_id, head)
        return History(
            self._catalog,
            self._chunks,
            self._keys,
            volume_id,
            head,
            kept,
            young,
            partial(self._remains, volume_id),
        )

    def _remains(self, volume_id: bytes) -> Remains:
        with self._catalog.read() as transaction:
            kept = kept_states(self._nodes, transaction, volume_id)
            return Remains(kept, lost_objects(self._nodes, transaction))

    def catch_up_all(self, limit: int, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Index all volumes in turns, `limit` changes or some more each, until all is done.

        It ends earlier once `is_stopping`. What cannot be read keeps back its own volume alone.

        Raises:
            IntegrityError: of the first volume whose commits or lists of changes are damaged.
        """
        with self._catalog.read() as transaction:
            waiting = [volume_id for volume_id, _ in transaction.heads()]
        errors: list[CasError] = []
        while waiting and not is_stopping():
            turn, waiting = waiting, []
            for volume_id in turn:
                try:
                    if not self.catch_up(volume_id, limit):
                        waiting.append(volume_id)
                except CasError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def catch_up(self, volume_id: bytes, limit: int | None = None) -> bool:
        """Index what commits have and the tables lack, `limit` changes or some more.

        Returns whether nothing is left.

        Raises:
            IntegrityError: a commit or list of changes is damaged.
        """
        indexed = 0
        while limit is None or indexed < limit:
            with self._catalog.read() as transaction:
                mark = transaction.history().mark(volume_id)
                head = head_of(transaction, volume_id)
            begun = mark
            if not mark.waiting:
                if head.commit_sequence <= mark.complete:
                    return True
                begun = HistoryMark(mark.complete, head.commit_sequence, head.commit)
            indexed += self._index(volume_id, mark, begun)
        return False

    def _index(self, volume_id: bytes, known: HistoryMark, mark: HistoryMark) -> int:
        """Index a batch of commits, from the waiting one backwards; return how many changes."""
        runs: list[tuple[int, ChangesRow]] = []
        keys: list[tuple[bytes, int]] = []
        count = 0
        with self._catalog.read() as transaction:
            kept = kept_states(self._nodes, transaction, volume_id)
        while mark.waiting and len(runs) + len(keys) < _INDEXED_AT_ONCE:
            commit = self._commit(mark.waiting)
            if commit is None:
                mark = self._behind_lost(mark)
                continue
            if commit.last_sequence < kept.first:  # the history begins later by now
                mark = HistoryMark(mark.newest)
                break
            for last, row, changes in self._runs(mark.waiting, commit):
                if len(runs) + len(keys) >= _INDEXED_AT_ONCE:
                    self._write(volume_id, known, known, runs, keys)
                    runs, keys = [], []
                runs.append((last, row))
                keys += self._path_keys(volume_id, row.first, changes)
                count += len(changes)
            parent = kept.parent(commit)
            if not parent or commit.first_sequence <= mark.complete + 1:
                mark = HistoryMark(mark.newest)
            else:
                mark = HistoryMark(mark.complete, mark.newest, parent)
        self._write(volume_id, known, mark, runs, keys)
        return count

    def _write(
        self,
        volume_id: bytes,
        known: HistoryMark,
        mark: HistoryMark,
        runs: list[tuple[int, ChangesRow]],
        keys: list[tuple[bytes, int]],
    ) -> None:
        """Write rows and mark, unless another process has come further meanwhile."""
        with self._catalog.write(reserve=COMMIT_RESERVE) as transaction:
            history = transaction.history()
            is_there = transaction.head_row(volume_id) is not None  # else it has been dropped
            if is_there and history.mark(volume_id) == known:
                history.put_runs(volume_id, runs)
                history.put_changes(keys)
                history.put_mark(volume_id, mark)

    def _behind_lost(self, mark: HistoryMark) -> HistoryMark:
        """Return the mark without its waiting commit, which is lost, or was dropped just now.

        Where a repair has found what was before it, that waits in its place.
        """
        with self._catalog.read() as transaction:
            lost = lost_objects(self._nodes, transaction).get(mark.waiting)
        if lost is None or not lost.before:
            return HistoryMark(mark.newest)
        return HistoryMark(mark.complete, mark.newest, lost.before)

    def _commit(self, commit_id: bytes) -> Commit | None:
        try:
            return load_commit(self._chunks, commit_id)
        except NotFoundError:
            return None

    def _runs(
        self, commit_id: bytes, commit: Commit
    ) -> Iterator[tuple[int, ChangesRow, list[Change]]]:
        """Yield the leaves of a commit's changes: number of the last one, row, changes."""
        for node_id, first, changes in self._numbered_leaves(commit_id, commit):
            row = ChangesRow(node_id, first, commit_id, commit.last_sequence, commit.time_ns)
            yield first + len(changes) - 1, row, changes

    def _numbered_leaves(
        self, commit_id: bytes, commit: Commit
    ) -> Iterator[tuple[bytes, int, list[Change]]]:
        """Yield the leaves, each with the number of its first change.

        Without those that a repair has given up, and any between two of these.
        """
        first = commit.first_sequence
        leaves = self._leaves(commit.changes)
        for node_id, changes in leaves:
            if changes is None:
                break
            yield node_id, first, changes
            first += len(changes)
        else:
            if first != commit.last_sequence + 1:
                message = f"commit {commit_id.hex()} has other changes than it says"
                raise IntegrityError(message)
            return
        rest: list[tuple[bytes, list[Change]]] = []  # behind the last lost one
        for node_id, changes in leaves:
            rest = [] if changes is None else [*rest, (node_id, changes)]
        first = commit.last_sequence + 1 - sum(len(changes) for _, changes in rest)
        for node_id, changes in rest:
            yield node_id, first, changes
            first += len(changes)

    def _leaves(self, node_id: bytes) -> Iterator[tuple[bytes, list[Change] | None]]:
        """Yield the leaves below a node; None in place of what a repair has given up."""
        try:
            node = decode(self._chunks.get(Kind.CHANGE_NODE, ObjectId(node_id)), ChangeNode)
        except MissingObjectError:
            with self._catalog.read() as transaction:
                if node_id not in lost_objects(self._nodes, transaction):
                    raise
            yield node_id, None
            return
        if node.level == 0:
            yield node_id, node.changes
        for child in node.children:
            yield from self._leaves(child)

    def _young_changes(
        self, transaction: ReadTransaction, volume_id: bytes, head: Head
    ) -> list[Change]:
        """Return the changes that no commit holds yet; nobody may change the list."""
        key = volume_id, head.commit_sequence, head.sequence
        known = self._young
        if known is not None and known[0] == key:
            return known[1]
        changes: list[Change] = []
        for encoded in transaction.journal():
            for batch in decode(encoded, JournalRecord).batches:
                if batch.volume_id == volume_id and batch.sequence > head.commit_sequence:
                    changes += batch.changes
        self._young = key, changes
        return changes

    def _path_keys(
        self, volume_id: bytes, first: int, changes: Sequence[Change]
    ) -> Iterator[tuple[bytes, int]]:
        for sequence, change in enumerate(changes, first):
            for path in touched_paths(change):
                yield self._keys.key(volume_id, path), sequence
