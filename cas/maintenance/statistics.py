"""How much is kept, what it takes, and how it grew: by sums, by the catalog, by commits.

No data pack is read. What the repository holds in all comes from the catalog alone; what one
volume takes of it needs a walk of its folders, as volumes share what is equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from cas.catalog import Location, PackState, decode_location
from cas.history import History
from cas.ids import Kind
from cas.maintenance.liveness import Liveness
from cas.maintenance.marking import Marking
from cas.repository import Repository
from cas.snapshots import load_commit
from cas.views import View

_ROWS_AT_ONCE: Final = 4096


class StoredSums(NamedTuple):
    """Objects, their bytes once decompressed, and the bytes that they take in packs."""

    objects: int = 0
    plain: int = 0
    stored: int = 0

    def plus(self, plain: int, stored: int) -> StoredSums:
        """Return the sums with one more object."""
        return StoredSums(self.objects + 1, self.plain + plain, self.stored + stored)


class Kept(NamedTuple):
    """All that a repository keeps, history and what waits to be collected included.

    `content` is the chunks of files, `metadata` all else: folders, chunk lists, history.
    """

    content: StoredSums
    metadata: StoredSums


class PackSums(NamedTuple):
    """Sealed packs, condemned ones too: how many, their bytes, and the objects in them."""

    packs: int = 0
    size: int = 0
    objects: int = 0


class Growth(NamedTuple):
    """A volume at a time, in nanoseconds since the epoch: bytes of its files, and how many."""

    time_ns: int
    size: int
    files: int


def sum_kept(repository: Repository) -> Kept:
    """Return what the repository keeps in all. It takes a second for a million chunks.

    Raises:
        IntegrityError: the catalog is damaged.
    """
    repository.catch_up()
    content, metadata = StoredSums(), StoredSums()
    after = b""
    while True:
        with repository.engine.catalog.read() as transaction:
            rows = transaction.location_rows(after, _ROWS_AT_ONCE)
        for _, row in rows:
            location = decode_location(row)
            if location.kind is Kind.CHUNK:
                content = content.plus(location.plain_size, location.stored_size)
            else:
                metadata = metadata.plus(location.plain_size, location.stored_size)
        if len(rows) < _ROWS_AT_ONCE:
            return Kept(content, metadata)
        after = rows[-1][0]


def sum_packs(repository: Repository) -> PackSums:
    """Return what the repository's packs take. It takes a tenth of a second for 100,000 packs.

    Raises:
        IntegrityError: the catalog is damaged.
    """
    repository.catch_up()
    packs = size = objects = 0
    with repository.engine.catalog.read() as transaction:
        for _, pack in transaction.packs():
            if pack.state in {PackState.SEALED, PackState.CONDEMNED}:
                packs += 1
                size += pack.size
                objects += pack.records
    return PackSums(packs, size, objects)


def sum_states(
    repository: Repository, views: Iterable[View]
) -> tuple[list[StoredSums], StoredSums]:
    """Return what the content of each state takes, and what that of all takes together.

    What several states share, or one has several times, is counted once in each and once in all.

    Raises:
        IntegrityError: something is damaged or missing.
    """
    together = _Counting()
    found = []
    for view in views:
        counting = _Counting(together)
        Marking(repository.engine, _ignore, counting).entries([view.root])
        found.append(counting.sums)
    return found, together.sums


def growth(repository: Repository, volume_id: bytes, points: int) -> list[Growth]:
    """Return a volume at up to so many moments, evenly spread from its first commit to its last.

    Commits that are not kept any more are left out; a moment takes as long in a long history.

    Raises:
        IntegrityError: a commit is damaged.
    """
    engine = repository.engine
    history = engine.history.open(volume_id)
    first, last = history.run(1), history.run(history.head.commit_sequence)
    if first is None or last is None:
        return []
    begin, end = first[1].commit_time_ns, last[1].commit_time_ns
    found: dict[bytes, Growth] = {}
    for number in range(points):
        time_ns = begin + (end - begin) * number // max(points - 1, 1)
        commit_id = _commit_at(history, time_ns)
        if commit_id and commit_id not in found and engine.chunks.finds(commit_id):
            commit = load_commit(engine.chunks, commit_id)
            found[commit_id] = Growth(commit.time_ns, commit.root.size, commit.root.files)
    return list(found.values())


def _commit_at(history: History, time_ns: int) -> bytes:
    """Return the newest commit up to a time, empty where none is known."""
    low, high, newest = 1, history.head.commit_sequence, b""
    while low <= high:
        middle = (low + high) // 2
        found = history.run(middle)
        if found is not None and found[1].commit_time_ns <= time_ns:
            newest, low = found[1].commit, found[1].commit_sequence + 1
        else:
            high = middle - 1
    return newest


class _Counting(Liveness):
    """What is reached, with the sums of its chunks; tells another one of them too."""

    def __init__(self, together: _Counting | None = None) -> None:
        super().__init__()
        self.sums = StoredSums()
        self._together = together

    def add(self, location: Location) -> bool:
        """Count the record there unless it was counted; return whether it was not."""
        if not super().add(location):
            return False
        if location.kind is Kind.CHUNK:
            self.sums = self.sums.plus(location.plain_size, location.stored_size)
            if self._together is not None:
                self._together.add(location)
        return True


def _ignore(_: int) -> None:
    """Nobody is told how far it is."""
