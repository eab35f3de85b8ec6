"""A volume's changes, found by their number, by their time and by the path that they touched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from blake3 import blake3

from cas.catalog import Catalog, ChangesRow, Head
from cas.chunkstore import ChunkStore
from cas.errors import IntegrityError
from cas.ids import Kind
from cas.journal import Action, Change, ChangeNode
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
    ) -> None:
        self.volume_id = volume_id
        self.head = head
        self.kept = kept
        self._catalog = catalog
        self._chunks = chunks
        self._keys = keys
        self._young = young
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
        """Return the change of this number, or None where it is not kept (any more)."""
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
            if recorded is None:
                return  # what is older is not kept any more
            if any(path.rpartition(b"/")[0] == folder for path in touched_paths(recorded.change)):
                yield recorded

    def backward(self, before: int) -> Iterator[Recorded]:
        """Yield the changes with numbers below `before`, newest first, as far as they are kept."""
        committed = self.head.commit_sequence
        for index in range(min(before - committed - 2, len(self._young) - 1), -1, -1):
            yield Recorded(committed + 1 + index, self._young[index], b"")
        sequence = min(before - 1, committed)
        while sequence >= self.kept.first:
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
