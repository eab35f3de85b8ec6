"""What was purged from volumes' past: content that no older state gives back any more.

Kept in the registry as records `purged/<volume id>/<time>-<part>`. Trees are hashes of what they
hold, so a purge leaves them as they are, with names, sizes and times, and takes the content away:
states up to a commit are kept without it. What the present, later states or other volumes hold is
kept by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from cas.catalog import ReadTransaction
from cas.errors import PurgedError
from cas.formats import REGISTRY_ID
from cas.nodes import NodeStore, OverlayNodes, ReadNodes, SeenNodes
from cas.objects import Entry, decode
from cas.paths import Names, join_names
from cas.registry import head_of
from cas.reliance import Pin, Reliance
from cas.trees import TreeShape, iterate, lookup
from cas.working_tree import WorkingTree

_FOLDER: Final = b"purged"
_CONTENTS_PER_RECORD: Final = 256


class Purge(msgspec.Struct, array_like=True, frozen=True):
    """Content that was purged, or a part of it, with what led to it.

    `path` is that in the volume, `sequence` the last number of the newest commit that is kept
    without it, `contents` the ids of content of files.
    """

    path: bytes
    sequence: int
    time_ns: int
    author: str
    contents: list[bytes]


class Purged:
    """All that was purged from one volume's past."""

    def __init__(self, purges: Sequence[Purge]) -> None:
        self._purges = purges
        self.sequences = sorted({purge.sequence for purge in purges}, reverse=True)
        """Up to where purges go, the furthest first."""
        self.times = frozenset(purge.time_ns for purge in purges)

    def upto(self, sequence: int) -> int | None:
        """Return which of `sequences` says what the state after a change lacks; None: nothing."""
        return min((upto for upto in self.sequences if sequence <= upto), default=None)

    def contents(self, sequence: int) -> frozenset[bytes]:
        """Return the content that was purged from the state after a change."""
        purges = (purge for purge in self._purges if sequence <= purge.sequence)
        return frozenset(content for purge in purges for content in purge.contents)

    def has(self, content: bytes, sequence: int) -> bool:
        """Return whether content was purged from the state after a change."""
        return any(p.sequence >= sequence and content in p.contents for p in self._purges)

    def error(self, content: bytes) -> PurgedError:
        """Return the error for content that was asked for: when it was purged, and by whom."""
        purge = next(purge for purge in self._purges if content in purge.contents)
        when = datetime.fromtimestamp(purge.time_ns // 1_000_000_000, UTC)
        path = purge.path.decode(errors="replace")
        author = f" by {purge.author}" if purge.author else ""
        return PurgedError(f"this was purged with {path!r} on {when:%Y-%m-%d %H:%M} UTC{author}")


class PurgedNodes(OverlayNodes):
    """The nodes of a past state that is kept without some of its files' content."""

    def __init__(
        self,
        store: NodeStore,
        pin: Pin,
        below: ReadNodes,
        purged: Purged,
        *,
        sequence: int,
        shape: TreeShape,
    ) -> None:
        """`below` are the nodes of the state after the change of this number."""
        super().__init__(store, pin, below)
        self._purged = purged
        self._contents = purged.contents(sequence)
        self._shape = shape

    def check_readable(self, entry: Entry) -> None:
        """Raise where the content of a file was purged.

        Raises:
            PurgedError: it was.
        """
        if entry.is_file and entry.content in self._contents:
            raise self._purged.error(entry.content)

    def settle(self, entry: Entry, relies: Reliance) -> Entry:
        """Write what is needed of an entry to packs, and return it without what was purged.

        Raises:
            ExpiredError: the state is no longer kept.
            PurgedError: the entry is a file whose content was purged.
        """
        self.check_readable(entry)
        if entry.is_directory:
            tree = WorkingTree(self, self._shape, entry)
            for names, folder in list(self._purged_below(entry)):
                tree.set(names, None, folder.mtime_ns)
            entry = tree.flush()
        return super().settle(entry, relies)

    def _purged_below(self, top: Entry) -> Iterator[tuple[Names, Entry]]:
        """Yield the paths of files that were purged, below a folder, with their folders."""
        waiting: list[tuple[Names, Entry]] = [((), top)]
        while waiting:
            folder, entry = waiting.pop()
            for name, below in iterate(self, entry.content):
                if below.is_directory:
                    waiting.append(((*folder, name), below))
                elif below.is_file and below.content in self._contents:
                    yield (*folder, name), entry


def purged_from(nodes: NodeStore, transaction: ReadTransaction, volume_id: bytes) -> Purged | None:
    """Return what was purged from a volume's past, None for nothing."""
    seen = SeenNodes(nodes, transaction)
    content = head_of(transaction, REGISTRY_ID).root.content
    for name in (_FOLDER, volume_id.hex().encode()):
        folder = lookup(seen, content, name)
        if folder is None:
            return None
        content = folder.content
    purges = [decode(entry.content, Purge) for _, entry in iterate(seen, content)]
    return Purged(purges) if purges else None


def purge_records(volume_id: bytes, purge: Purge) -> Iterator[tuple[str, Purge]]:
    """Yield the registry's paths and records that say what was purged."""
    contents = sorted(purge.contents)
    for start in range(0, len(contents), _CONTENTS_PER_RECORD):
        name = f"{purge.time_ns:020d}-{start:08d}".encode()
        path = join_names((_FOLDER, volume_id.hex().encode(), name))
        part = contents[start : start + _CONTENTS_PER_RECORD]
        yield path, msgspec.structs.replace(purge, contents=part)
