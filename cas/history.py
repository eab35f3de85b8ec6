"""A volume's changes, found by their number, by their time and by the path that they touched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final, NamedTuple

from blake3 import blake3

from cas.catalog import Catalog, ChangesRow, Head
from cas.chunkstore import ChunkStore
from cas.errors import IntegrityError, MissingObjectError
from cas.ids import Kind, ObjectId
from cas.journal import Action, Change, ChangeNode, Commit
from cas.kept import Beginning, KeptStates
from cas.objects import decode

_FOLDER_HASH_SIZE: Final = 4
_PATH_HASH_SIZE: Final = 12
_NODES_CACHED: Final = 4
_NUMBERS_AT_ONCE: Final = 64


class Recorded(NamedTuple):
    """A change with its sequence number; `commit` holds it, empty while none does."""

    sequence: int
    change: Change
    commit: bytes


class Remains(NamedTuple):
    """What is left of a volume's history, and ids of what a repair has given up of any."""

    kept: KeptStates
    lost: Container[bytes]


class HistoryKeys:
    """Makes the table's keys out of paths, with hashes keyed by the repository's secret.

    Those of one folder's names begin alike: what changes together lies together, and a batch of
    changes writes few of LMDB's pages.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake3(secret, derive_key_context="casdav 2026-11-23 history keys").digest()

    def key(self, volume_id: bytes, path: bytes) -> bytes:
        """Return the key of a path, its names joined by `/`."""
        names = self.folder(volume_id, path.rpartition(b"/")[0])
        return names + blake3(path, key=self._key).digest(length=_PATH_HASH_SIZE)

    def folder(self, volume_id: bytes, path: bytes) -> bytes:
        """Return what the keys of a folder's names begin with, and maybe those of another's."""
        return volume_id + blake3(path, key=self._key).digest(length=_FOLDER_HASH_SIZE)


class History:
    """The changes of one volume, as they were known at one moment. Not shared by threads.

    `head` is the volume's newest state of that moment, `kept` what retention has kept: what is
    older than its first change is left out, whatever of it is still there.
    """

    def __init__(
        self,
        catalog: Catalog,
        chunks: ChunkStore,
        keys: HistoryKeys,
        volume_id: bytes,
        head: Head,
        kept: KeptStates,
        young: list[Change],
        look_again: Callable[[], Remains],
    ) -> None:
        """`look_again` tells what is left of the history by the time that it is called."""
        self.volume_id = volume_id
        self.head = head
        self.kept = kept
        self._catalog = catalog
        self._chunks = chunks
        self._keys = keys
        self._young = young
        self._look_again = look_again
        self._nodes: OrderedDict[bytes, list[Change]] = OrderedDict()

    def beginning(self) -> Beginning | None:
        """Return the oldest state that is known, None where nothing was ever changed.

        Where all is kept, it is that after the first change.
        """
        if self.kept.begins is not None:
            return self.kept.begins
        first = next(self.forward(1), None)
        if first is None:
            return None
        return Beginning(first.commit, first.sequence, first.sequence, first.change.time_ns)

    def change(self, sequence: int) -> Recorded | None:
        """Return the change of this number, or None where it is not kept, or given up as lost.

        Raises:
            MissingObjectError: it is missing, and nobody has given it up.
        """
        committed = self.head.commit_sequence
        if sequence < self.kept.first:
            return None
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
            self._refuse_missing([row.node], row.first, found[0])
            return None
        return Recorded(sequence, changes[sequence - row.first], row.commit)

    def run(self, sequence: int) -> tuple[int, ChangesRow] | None:
        """Return where the commits have the change of this number, or the next one they have."""
        with self._catalog.read() as transaction:
            return transaction.history().run(self.volume_id, max(sequence, self.kept.first))

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
            for number in numbers:
                if number < self.kept.first:
                    return
                yield number
            if not numbers:
                return
            before = numbers[-1]

    def changes_in(self, folder: bytes) -> Iterator[Recorded]:
        """Yield the changes that touched paths right in a folder, newest first.

        In time and memory it costs as many numbers as there are such changes.
        """
        committed = self.head.commit_sequence
        young = range(committed + 1, committed + 1 + len(self._young))
        with self._catalog.read() as transaction:
            below = self._keys.folder(self.volume_id, folder)
            numbers = transaction.history().changes_below(below)
        known = {n for n in numbers if self.kept.first <= n <= committed}  # more may have come
        for number in [*reversed(young), *sorted(known, reverse=True)]:
            recorded = self.change(number)
            if recorded is not None and any(
                path.rpartition(b"/")[0] == folder for path in touched_paths(recorded.change)
            ):
                yield recorded

    def backward(self, before: int) -> Iterator[Recorded]:
        """Yield the changes with numbers below `before`, newest first, as far as they are kept.

        What a repair has given up is passed over.

        Raises:
            MissingObjectError: some are missing, and nobody has given them up.
        """
        committed = self.head.commit_sequence
        for index in range(min(before - committed - 2, len(self._young) - 1), -1, -1):
            yield Recorded(committed + 1 + index, self._young[index], b"")
        sequence = min(before - 1, committed)
        while sequence >= self.kept.first:
            found = self.run(sequence)
            if found is None or found[1].first > sequence:
                sequence = self._before_hole(sequence, found)
                continue
            changes, first = self._changes(*found), found[1].first
            if changes is None:
                self._refuse_missing([found[1].node], first, found[0])
                changes, sequence = [], first - 1
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

    def _before_hole(self, sequence: int, behind: tuple[int, ChangesRow] | None) -> int:
        """Return the number of the last change before those that the index lacks, 0 for none.

        `sequence` is the last one of these, and `behind` the run after it.

        Raises:
            MissingObjectError: nobody has given up what they were in.
        """
        with self._catalog.read() as transaction:
            before = transaction.history().run_before(self.volume_id, sequence)
        newest = self.head.commit if behind is None else behind[1].commit
        missing = self._missing_in(newest, sequence)
        self._refuse_missing(missing, max(before + 1, self.kept.first), sequence)
        return before

    def _missing_in(self, commit_id: bytes, sequence: int) -> list[bytes]:
        """Return what is missing of a commit, or else of the one before, if it held a change."""
        if not commit_id or not self._chunks.finds(commit_id):
            return [commit_id]
        commit = decode(self._chunks.get(Kind.COMMIT, ObjectId(commit_id)), Commit)
        if sequence < commit.first_sequence:
            return self._missing_in(commit.parent, sequence)
        missing, waiting = [], [commit.changes]
        while waiting:
            node_id = waiting.pop()
            if self._chunks.finds(node_id):
                node = self._chunks.get(Kind.CHANGE_NODE, ObjectId(node_id))
                waiting += decode(node, ChangeNode).children
            else:
                missing.append(node_id)
        return missing

    def _refuse_missing(self, missing: list[bytes], first: int, last: int) -> None:
        """Raise if changes are missing, and neither dropped by now nor given up by a repair."""
        kept, lost = self._look_again()
        if last >= kept.first and not any(object_id in lost for object_id in missing):
            message = f"the changes #{first} to #{last} are missing: run `casdav check`"
            raise MissingObjectError(message)

    def _changes(self, last: int, row: ChangesRow) -> list[Change] | None:
        """Return the changes of a run; None where they are missing."""
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
