"""Changes, the journal records that make them durable, and commits: a volume's history.

Every group commit appends one journal record to a data pack before it is acknowledged. Records
chain by id, so that a replay knows whether it has all. A commit later gathers the changes since
the one before it; commits chain by id too: history and audit log are one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cas.objects import Entry

CHANGES_PER_NODE: Final = 1024


class Action(IntEnum):
    """What a change did. The numbers are format."""

    PUT = 1
    MAKE_DIRECTORY = 2
    REMOVE = 3
    MOVE = 4
    COPY = 5
    SET_PROPERTIES = 6
    SNAPSHOT = 7


class Change(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One operation as it was carried out: enough to show it, undo it and do it again.

    `path` is the path that changed, its names joined by `/`; `source` is where a move or copy
    came from, in the volume `source_volume` if that is another one. `old` and `new` are the
    entries at `path` before and after; a subtree is one change. Of a SNAPSHOT, path and entries
    are those in the tree of snapshots. `key` is the idempotency key
    that the author's device gave. `time_ns` is nanoseconds since the epoch.
    """

    action: Action
    path: bytes
    old: Entry | None
    new: Entry | None
    author: str
    device: str
    time_ns: int
    source: bytes = b""
    source_volume: bytes = b""
    key: str = ""


class Batch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The changes that one group commit made to one volume, and the root they led to.

    The first change has the sequence number `sequence`, each further one the next.
    """

    volume_id: bytes
    sequence: int
    changes: list[Change]
    root: Entry


class JournalRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One group commit. `previous` is the id of the record before it, empty for the first.

    A record with `voids` has no batches: it says that the record of that id, which has the same
    number, was given up and answered with an error.
    """

    number: int
    previous: bytes
    time_ns: int
    batches: list[Batch]
    voids: bytes = b""


class ChangeNode(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A node of a commit's list of changes: a leaf (level 0) of changes or a list of children."""

    level: int
    changes: list[Change]
    children: list[bytes]


class Commit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A state of a volume and how it came about.

    `parent` is the commit before it, empty for the first; `root` the root directory's entry;
    `snapshots` the root of the tree of snapshots. The changes have the sequence numbers
    `first_sequence` to `last_sequence`. `time_ns` is never before the parent's.
    `journal` is the number of the last journal record that the commit covers.
    """

    volume_id: bytes
    parent: bytes
    root: Entry
    snapshots: bytes
    first_sequence: int
    last_sequence: int
    time_ns: int
    changes: bytes
    journal: int
