"""A volume's changes, found by their number, by their time and by the path that they touched.

Commits hold all changes, but only one after the other. The catalog keeps where each run of them
lies, and the numbers of those that touched a path. These tables are filled behind commits, not
within them: each volume has a mark that says up to where they are complete, and whoever needs
more, or has time, reads on from there. So neither a process that dies nor a lost catalog leaves a
gap, and a repository that was made before there were such tables gets them too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from cas.catalog import COMMIT_RESERVE, Catalog, ChangesRow, Head, HistoryMark, ReadTransaction
from cas.chunkstore import ChunkStore
from cas.errors import CasError, IntegrityError, NotFoundError
from cas.ids import Kind
from cas.journal import Action, Change, ChangeNode, Commit, JournalRecord
from cas.objects import decode
from cas.registry import head_of
from cas.snapshots import load_commit

_FOLDER_HASH_SIZE: Final = 4
_PATH_HASH_SIZE: Final = 12
_INDEXED_AT_ONCE: Final = 2048
"""Rows that one transaction writes: others wait for it no longer than for a large commit."""
_NODES_CACHED: Final = 4
_NUMBERS_AT_ONCE: Final = 64


class Recorded(NamedTuple):
    """A change with its sequence number; `commit` holds it, empty while none does."""

    sequence: int
    change: Change
    commit: bytes


class HistoryKeys:
    """Makes the table's keys out of paths, with hashes keyed by the repository's secret.

    Those of one folder's names begin alike: what changes together lies together, and a batch of
    changes writes few of LMDB's pages.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake3(secret, derive_key_context="casdav 2026-11-23 history keys").digest()

    def key(self, volume_id: bytes, path: bytes) -> bytes:
        """Return the key of a path, its names joined by `/`."""
        folder = blake3(path.rpartition(b"/")[0], key=self._key).digest(length=_FOLDER_HASH_SIZE)
        return volume_id + folder + blake3(path, key=self._key).digest(length=_PATH_HASH_SIZE)


class HistoryIndex:
    """Fills the tables, and opens the history of a volume. Shared by threads and processes."""

    def __init__(self, catalog: Catalog, chunks: ChunkStore, keys: HistoryKeys) -> None:
        self._catalog = catalog
        self._chunks = chunks
        self._keys = keys
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
        young = self._young_changes(transaction, volume_id, head)
        return History(self._catalog, self._chunks, self._keys, volume_id, head, young)

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
        while mark.waiting and len(runs) + len(keys) < _INDEXED_AT_ONCE:
            commit = self._commit(mark.waiting)
            if commit is None:  # what is older is not kept any more
                mark = HistoryMark(mark.newest)
                break
            for last, row, changes in self._runs(mark.waiting, commit):
                if len(runs) + len(keys) >= _INDEXED_AT_ONCE:
                    self._write(volume_id, known, known, runs, keys)
                    runs, keys = [], []
                runs.append((last, row))
                keys += self._path_keys(volume_id, row.first, changes)
                count += len(changes)
            if not commit.parent or commit.first_sequence <= mark.complete + 1:
                mark = HistoryMark(mark.newest)
            else:
                mark = HistoryMark(mark.complete, mark.newest, commit.parent)
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

    def _commit(self, commit_id: bytes) -> Commit | None:
        try:
            return load_commit(self._chunks, commit_id)
        except NotFoundError:
            return None

    def _runs(
        self, commit_id: bytes, commit: Commit
    ) -> Iterator[tuple[int, ChangesRow, list[Change]]]:
        """Yield the leaves of a commit's changes: number of the last one, row, changes."""
        first = commit.first_sequence
        for node_id, changes in self._leaves(commit.changes):
            row = ChangesRow(node_id, first, commit_id, commit.last_sequence, commit.time_ns)
            first += len(changes)
            yield first - 1, row, changes
        if first != commit.last_sequence + 1:
            message = f"commit {commit_id.hex()} has other changes than it says"
            raise IntegrityError(message)

    def _leaves(self, node_id: bytes) -> Iterator[tuple[bytes, list[Change]]]:
        node = decode(self._chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
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


class History:
    """The changes of one volume, as they were known at one moment. Not shared by threads.

    `head` is the volume's newest state of that moment.
    """

    def __init__(
        self,
        catalog: Catalog,
        chunks: ChunkStore,
        keys: HistoryKeys,
        volume_id: bytes,
        head: Head,
        young: list[Change],
    ) -> None:
        self.volume_id = volume_id
        self.head = head
        self._catalog = catalog
        self._chunks = chunks
        self._keys = keys
        self._young = young
        self._nodes: OrderedDict[bytes, list[Change]] = OrderedDict()

    def change(self, sequence: int) -> Recorded | None:
        """Return the change of this number, or None where it is not kept (any more)."""
        committed = self.head.commit_sequence
        if sequence > committed:
            index = sequence - committed - 1
            if index >= len(self._young):
                return None
            return Recorded(sequence, self._young[index], b"")
        found = self.run(sequence)
        if found is None or found[1].first > sequence:
            return None
        changes = self._changes(*found)
        row = found[1]
        if changes is None:
            return None
        return Recorded(sequence, changes[sequence - row.first], row.commit)

    def run(self, sequence: int) -> tuple[int, ChangesRow] | None:
        """Return where the commits have the change of this number, or the next one they have."""
        with self._catalog.read() as transaction:
            return transaction.history().run(self.volume_id, sequence)

    def numbers_at(self, path: bytes, before: int) -> Iterator[int]:
        """Yield the numbers below `before` of the changes that touched a path, newest first."""
        committed = self.head.commit_sequence
        for index in range(min(before - committed - 2, len(self._young) - 1), -1, -1):
            if path in touched_paths(self._young[index]):
                yield committed + 1 + index
        key = self._keys.key(self.volume_id, path)
        before = min(before, committed + 1)
        while True:
            with self._catalog.read() as transaction:
                numbers = transaction.history().changes_of(key, before, _NUMBERS_AT_ONCE)
            if not numbers:
                return
            yield from numbers
            before = numbers[-1]

    def backward(self, before: int) -> Iterator[Recorded]:
        """Yield the changes with numbers below `before`, newest first, as far as they are kept."""
        committed = self.head.commit_sequence
        for index in range(min(before - committed - 2, len(self._young) - 1), -1, -1):
            yield Recorded(committed + 1 + index, self._young[index], b"")
        sequence = min(before - 1, committed)
        while sequence > 0:
            found = self.run(sequence)
            if found is None or found[1].first > sequence:
                return
            changes, first = self._changes(*found), found[1].first
            if changes is None:
                return
            for number in range(sequence, first - 1, -1):
                yield Recorded(number, changes[number - first], found[1].commit)
            sequence = first - 1

    def forward(self, sequence: int) -> Iterator[Recorded]:
        """Yield the changes from this number on, as far as they are kept."""
        committed = self.head.commit_sequence
        while sequence <= committed:
            found = self.run(sequence)
            if found is None:
                break
            last, row = found
            for number, change in enumerate(self._changes(last, row) or (), row.first):
                if number >= sequence:
                    yield Recorded(number, change, row.commit)
            sequence = last + 1
        for number, change in enumerate(self._young, committed + 1):
            if number >= sequence:
                yield Recorded(number, change, b"")

    def sequence_at(self, time_ns: int) -> int:
        """Return the number of the last change up to a time; 0 where none is known.

        Time does not go back: after a change with a later time, none that claims an earlier one
        counts, as where a clock was set back.
        """
        low, high = 0, self.head.commit_sequence
        with self._catalog.read() as transaction:
            history = transaction.history()
            while low < high:
                middle = (low + high) // 2 + 1
                found = history.run(self.volume_id, middle)
                if found is not None and found[1].commit_time_ns <= time_ns:
                    low = found[1].commit_sequence
                else:
                    high = middle - 1
        for recorded in self.forward(low + 1):
            if recorded.change.time_ns > time_ns:
                break
            low = recorded.sequence
        return low

    def _changes(self, last: int, row: ChangesRow) -> list[Change] | None:
        """Return the changes of a run; None where they are not kept any more."""
        changes = self._nodes.get(row.node)
        if changes is None:
            if not self._chunks.finds(row.node):
                return None
            changes = decode(self._chunks.get(Kind.CHANGE_NODE, row.node), ChangeNode).changes
            if len(changes) != last - row.first + 1:
                message = f"the changes up to {last} are not where the catalog has them"
                raise IntegrityError(message)
            self._nodes[row.node] = changes
            if len(self._nodes) > _NODES_CACHED:
                self._nodes.popitem(last=False)
        self._nodes.move_to_end(row.node)
        return changes


def find_key(
    changes: Iterable[Recorded], author: str, key: str, upto: int
) -> tuple[int, int] | None:
    """Return the numbers of the change before an author's edit with this key, and of its last."""
    first = last = 0
    for recorded in changes:
        if recorded.sequence > upto:
            break
        if recorded.change.key == key and recorded.change.author == author:
            first, last = first or recorded.sequence, recorded.sequence
        elif first:
            break
    return (first - 1, last) if first else None


def touched_paths(change: Change) -> tuple[bytes, ...]:
    """Return the paths whose own entries a change replaced; none of the volume for a snapshot."""
    if change.action is Action.SNAPSHOT:
        return ()
    if change.action is Action.MOVE:
        return (change.path, change.source)
    return (change.path,)
