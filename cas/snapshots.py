"""Snapshots: named commits of a volume, in a tree of their own that no rollback touches."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from cas.catalog import Catalog, Head
from cas.chunkstore import ChunkStore
from cas.errors import InvalidError, NotFoundError
from cas.ids import Kind
from cas.journal import Commit
from cas.objects import DIRECTORY_MODE, Entry, EntryKind, decode, encode
from cas.trees import TreeNodes, TreeNodeSource, TreeShape, iterate, lookup
from cas.working_tree import WorkingTree

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")


class SnapshotRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a snapshot's entry holds: the commit, its time, and whether rules must spare it."""

    commit: bytes
    time_ns: int
    is_pinned: bool = False


class Snapshot(NamedTuple):
    """A named commit. Times are nanoseconds since the epoch.

    `time_ns` is that of the state, `created_ns` when it was given the name. One that `is_pinned`
    goes only by its name, never by a rule.
    """

    name: str
    commit: bytes
    time_ns: int
    created_ns: int
    is_pinned: bool


def snapshot_name(name: str) -> bytes:
    """Return the bytes of a snapshot's name.

    Raises:
        InvalidError: it cannot be one.
    """
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        message = f"{name!r} cannot be a snapshot's name: take A-Z a-z 0-9 . _ -, 255 at most"
        raise InvalidError(message)
    return name.encode()


def snapshot_tree(nodes: TreeNodes, shape: TreeShape, head: Head) -> WorkingTree:
    """Return a head's tree of snapshots, to be changed."""
    root = Entry(EntryKind.DIRECTORY, 0, 0, DIRECTORY_MODE, head.snapshots)
    return WorkingTree(nodes, shape, root)


def iterate_snapshots(nodes: TreeNodeSource, head: Head) -> list[Snapshot]:
    """Return a head's snapshots, by name.

    Raises:
        FormatError, IntegrityError: the tree is damaged.
    """
    return [_snapshot(name, entry) for name, entry in iterate(nodes, head.snapshots)]


def find_snapshot(nodes: TreeNodeSource, head: Head, name: str) -> Snapshot | None:
    """Return the head's snapshot of this name, or None.

    Raises:
        FormatError, IntegrityError: the tree is damaged.
    """
    encoded = name.encode(errors="surrogateescape")
    entry = lookup(nodes, head.snapshots, encoded)
    return None if entry is None else _snapshot(encoded, entry)


def load_commit(chunks: ChunkStore, commit_id: bytes) -> Commit:
    """Return a commit.

    Raises:
        NotFoundError: there is none of this id.
        IntegrityError: it is damaged.
    """
    if not chunks.finds(commit_id):
        message = f"there is no commit {commit_id.hex()}"
        raise NotFoundError(message)
    return decode(chunks.get(Kind.COMMIT, commit_id), Commit)


def commits_beginning(catalog: Catalog, prefix: str) -> list[bytes]:
    """Return the ids of the commits, of any volume, that begin with these hex digits."""
    start = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    with catalog.read() as transaction:
        return [
            object_id
            for object_id, location in transaction.locations(start)
            if location.kind is Kind.COMMIT and object_id.hex().startswith(prefix)
        ]


def encode_snapshot(record: SnapshotRecord) -> bytes:
    """Return the bytes of a snapshot's record."""
    return encode(record)


def _snapshot(name: bytes, entry: Entry) -> Snapshot:
    record = decode(entry.content, SnapshotRecord)
    return Snapshot(name.decode(), record.commit, record.time_ns, entry.mtime_ns, record.is_pinned)
