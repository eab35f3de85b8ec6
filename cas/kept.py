"""What retention has kept of a volume's history: where it begins, which states may still be read.

Kept in the registry as `retention/<volume id>`, and written before anything is deleted on the
strength of it. So a state that was thinned out is told from one that was lost, and the first
commit that is kept from one whose parent is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

import msgspec

from cas.catalog import ReadTransaction
from cas.formats import REGISTRY_ID
from cas.journal import Commit
from cas.nodes import NodeStore, SeenNodes
from cas.objects import decode, encode
from cas.paths import Names
from cas.registry import head_of
from cas.trees import TreeNodeSource, lookup

_FOLDER: Final = b"retention"
STATES_LIMIT: Final = 1500
"""States that a record names at most: it must fit in an entry."""


class Beginning(msgspec.Struct, array_like=True, frozen=True):
    """The oldest commit of a volume that is kept, by its id; those before it have been dropped.

    It holds the changes `first_sequence` to `last_sequence`. Its time is nanoseconds since the
    epoch.
    """

    commit: bytes
    first_sequence: int
    last_sequence: int
    time_ns: int


class KeptStates(msgspec.Struct, array_like=True, frozen=True):
    """The states that retention has kept.

    All states and changes from the sequence number `every_since` on; before that, the states of
    the commits whose last sequence numbers are in `states`, which is sorted. Snapshots are kept
    whatever this says. Commits and their changes are kept from `begins` on, all where that is None.
    """

    every_since: int
    states: list[int]
    begins: Beginning | None = None

    @property
    def first(self) -> int:
        """The number of the first change that is kept."""
        return 1 if self.begins is None else self.begins.first_sequence

    def parent(self, commit: Commit) -> bytes:
        """Return the id of the commit before another, empty where the history begins with it."""
        return commit.parent if commit.first_sequence > self.first else b""

    def has(self, sequence: int) -> bool:
        """Return whether the state of the commit that ends with this number is kept."""
        if sequence >= self.every_since:
            return True
        index = bisect_left(self.states, sequence)
        return index < len(self.states) and self.states[index] == sequence

    def thinned(self, further: KeptStates, sequences: Iterable[int]) -> KeptStates:
        """Return what is left when a further decision is carried out: nothing comes back.

        The sequence numbers are those of all states.
        """
        every_since = max(self.every_since, further.every_since)
        left = (s for s in sequences if s < every_since and self.has(s) and further.has(s))
        begins = self.begins if self.first >= further.first else further.begins
        return KeptStates(every_since, sorted(left)[-STATES_LIMIT:], begins)


EVERYTHING: Final = KeptStates(0, [])


def kept_path(volume_id: bytes) -> Names:
    """Return the path of a volume's record in the registry."""
    return (_FOLDER, volume_id.hex().encode())


def encode_kept(kept: KeptStates) -> bytes:
    """Return the bytes of the record."""
    return encode(kept)


def kept_states(nodes: NodeStore, transaction: ReadTransaction, volume_id: bytes) -> KeptStates:
    """Return what was kept of a volume: everything, where nothing was ever thinned out."""
    registry = head_of(transaction, REGISTRY_ID).root.content
    return kept_by(SeenNodes(nodes, transaction), registry, volume_id)


def kept_by(nodes: TreeNodeSource, registry: bytes, volume_id: bytes) -> KeptStates:
    """Return what was kept of a volume by a state of the registry, whose root has this id."""
    content = registry
    for name in kept_path(volume_id):
        entry = lookup(nodes, content, name)
        if entry is None:
            return EVERYTHING
        content = entry.content
    return decode(content, KeptStates)
