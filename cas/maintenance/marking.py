"""Marking what roots reach: every node is read once, and no data pack at all."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final

from cas.catalog import Location
from cas.engine import Engine
from cas.errors import MissingObjectError
from cas.ids import Kind
from cas.journal import Change, ChangeNode
from cas.lost import lost_objects
from cas.maintenance.liveness import Liveness
from cas.maintenance.marks import Marks
from cas.objects import Entry, EntryKind, FileNode, decode

_AT_ONCE: Final = 256


class Holes:
    """Content that is left out of states which are kept without it.

    What is reached with holes is remembered here: where something else leads there, it is gone
    through again for what was left out. `fewer` are some of these holes, if not None: what is
    reached with those need not be gone through with these.
    """

    def __init__(self, contents: Container[bytes], fewer: Holes | None = None) -> None:
        self.contents = contents
        self.marks = Marks()
        self.young: set[bytes] = set()
        self.fewer = fewer

    def has(self, location: Location) -> bool:
        """Return whether an object was reached with these holes, or with fewer."""
        holes: Holes | None = self
        while holes is not None:
            if holes.marks.has(location.pack, location.number):
                return True
            holes = holes.fewer
        return False


class Marking:
    """Marks objects as live with all that they name. For one thread.

    Memory is a bit for each object, two where there are holes, and the ids of tree nodes that are
    in no pack yet.
    """

    def __init__(
        self,
        engine: Engine,
        progress: Callable[[int], None],
        liveness: Liveness | None = None,
    ) -> None:
        """`progress` is told now and then how many nodes have been read since the last time."""
        self.liveness = liveness or Liveness()
        self.met_lost: set[bytes] = set()
        """Ids of what a repair has given up, and was passed over."""
        self._catalog = engine.catalog
        self._chunks = engine.chunks
        self._nodes = engine.nodes
        self._progress = progress
        self._young: set[bytes] = set()
        self._whole_young: set[bytes] = set()
        self._whole: Marks | None = None  # where there are holes: what was reached without any

    def holes(self, contents: Container[bytes], fewer: Holes | None = None) -> Holes:
        """Return holes to mark entries with; to be called before any entry is marked.

        The contents hold all those of `fewer`.
        """
        self._whole = self._whole or Marks()
        return Holes(contents, fewer)

    def entries(
        self, entries: Iterable[Entry], holes: Holes | None = None, *, may_lack: bool = False
    ) -> None:
        """Mark what entries name: files, and folders with all below them, but for the holes.

        What `may_lack` objects is marked as far as it is there.

        Raises:
            MissingObjectError: something that is named is nowhere.
            IntegrityError: a node is damaged.
        """
        trees: list[bytes] = []
        files: list[bytes] = []
        chunks: list[bytes] = []
        _sort(entries, trees, files, chunks, holes)
        while trees or files or chunks:
            self._first(chunks, holes, may_lack=may_lack)
            chunks = []
            batch, files = files[-_AT_ONCE:], files[:-_AT_ONCE]
            file_nodes = self._first(batch, holes, may_lack=may_lack)
            for node_id in file_nodes:
                self._open_file_node(node_id, files, chunks)
            batch, trees = trees[-_AT_ONCE:], trees[:-_AT_ONCE]
            tree_nodes = self._first(batch, holes, may_lack=may_lack)
            for node_id in tree_nodes:
                node = self._nodes.tree_node(node_id)
                trees += (child.id for child in node.children)
                _sort(node.entries, trees, files, chunks, holes)
            self._progress(len(file_nodes) + len(tree_nodes))

    def tree(self, root: bytes) -> None:
        """Mark the tree with this root."""
        if root:
            self.entries([Entry(EntryKind.DIRECTORY, 0, 0, 0, root)])

    def objects(self, ids: list[bytes]) -> None:
        """Mark objects by themselves."""
        self._first(ids)

    def changes(self, root: bytes) -> Iterator[Change]:
        """Mark a commit's list of changes and yield them, the newest first.

        What a repair has given up is passed over.
        """
        waiting = [root]
        while waiting:
            node_id = waiting.pop()
            try:
                self._first([node_id])
            except MissingObjectError:
                with self._catalog.read() as transaction:
                    lost = lost_objects(self._nodes, transaction)
                if node_id not in lost:
                    raise
                self.met_lost.add(node_id)
                continue
            node = decode(self._chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
            waiting += node.children
            yield from reversed(node.changes)

    def resolve_young(self) -> None:
        """Mark what was in no pack, and is in one by now: it may have been found in an old one."""
        with self._catalog.read() as transaction:
            for node_id in self._young:
                location = transaction.location(node_id)
                if location is not None:
                    self.liveness.add(location)

    def _open_file_node(self, node_id: bytes, files: list[bytes], chunks: list[bytes]) -> None:
        # Not through the cache, which is small and in use by readers.
        node = decode(self._chunks.get(Kind.FILE_NODE, node_id), FileNode)
        files += (span.id for span in node.spans)
        chunks += (piece.id for piece in node.pieces)

    def _first(
        self, ids: list[bytes], holes: Holes | None = None, *, may_lack: bool = False
    ) -> list[bytes]:
        """Mark objects; return those that were not marked yet, or only with other holes.

        One that is missing ends nothing half-way where that may be: all below what is marked is
        marked too, or it would be taken for done when something else leads there.
        """
        first = []
        if self._chunks.index is not None and not may_lack:
            self._chunks.locate(ids)  # other gateways may have stored it just now
        seen = self._whole_young if holes is None else holes.young
        with self._catalog.read() as transaction:
            for object_id in ids:
                location = transaction.location(object_id)
                if location is not None:
                    if self._is_first(location, holes):
                        first.append(object_id)
                elif object_id not in seen:
                    if transaction.young_node(object_id) is None:
                        if may_lack:
                            continue
                        message = f"object {object_id.hex()} is missing: run `casdav check`"
                        raise MissingObjectError(message)
                    seen.add(object_id)
                    self._young.add(object_id)
                    first.append(object_id)
        return first

    def _is_first(self, location: Location, holes: Holes | None) -> bool:
        is_new = self.liveness.add(location)
        if self._whole is None:
            return is_new
        if holes is None:
            return self._whole.add(location.pack, location.number)
        if self._whole.has(location.pack, location.number) or holes.has(location):
            return False
        return holes.marks.add(location.pack, location.number)


def _sort(
    entries: Iterable[Entry],
    trees: list[bytes],
    files: list[bytes],
    chunks: list[bytes],
    holes: Holes | None,
) -> None:
    """Add what entries name to the lists of trees, file nodes and chunks."""
    for entry in entries:
        if entry.properties_id:
            chunks.append(entry.properties_id)
        if not entry.content or (holes is not None and entry.content in holes.contents):
            continue
        if entry.kind is EntryKind.CHUNK_FILE:
            chunks.append(entry.content)
        elif entry.kind is EntryKind.DIRECTORY:
            trees.append(entry.content)
        elif entry.kind is EntryKind.NODE_FILE:
            files.append(entry.content)
