"""The local tree: what the linked folder holds, as an overlay of the base.

It is derived, never stored: names and signatures come from looking, contents are read where a
signature is new. What was read is remembered by its signature while it is not in sync, so that
looking twice does not read twice.
"""

from __future__ import annotations

import errno
import os
import time

import cas
from syncd.disk.base import Base
from syncd.disk.dirty import Dirty, Looks
from syncd.disk.folder import Folder, split
from syncd.disk.items import Item
from syncd.disk.name_map import NameMap
from syncd.disk.observing import Difference, Differences, Observer
from syncd.disk.probing import Abilities
from syncd.disk.reading import ReadFile
from syncd.disk.reading_ahead import Reader, UnderWayError
from syncd.disk.signatures import Signature
from syncd.disk.steps import ChangedError
from syncd.disk.walk import Kind
from syncd.ports import Observed
from syncd.trees import FOLDER, Node, NodeIds, Overlay, find

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_FILE_KINDS = frozenset(
    {cas.EntryKind.EMPTY_FILE, cas.EntryKind.CHUNK_FILE, cas.EntryKind.NODE_FILE}
)


class LocalTree:
    """Looks at a linked folder and says what it holds. One thread at a time.

    Args:
        folder: the linked folder.
        base: what was last in sync.
        observer: compares the two.
        names: what the disk calls nodes of the base.
        ids: numbers for what is new.
        reader: reads files.
        abilities: of the disk.
        dirty: where files that are being written wait.
    """

    def __init__(
        self,
        folder: Folder,
        base: Base,
        observer: Observer,
        names: NameMap,
        ids: NodeIds,
        reader: Reader,
        abilities: Abilities,
        dirty: Dirty,
    ) -> None:
        self._folder = folder
        self._base = base
        self._observer = observer
        self._names = names
        self._ids = ids
        self._reader = reader
        self._abilities = abilities
        self._dirty = dirty
        self._open: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._read: dict[str, tuple[Signature, Item]] = {}

    def look(self, looks: Looks) -> Observed:
        """Return what the folder holds, after a look where something may have changed.

        What differed the last time is looked at again.

        Raises:
            OSError: the top of the folder cannot be listed.
        """
        paths = looks.paths | self._open
        paths |= {self._names.path(self._base, node) for node in self._base.parked()}
        found = self._observer.observe(Looks(paths, looks.deep))
        others = self._other_names(found) - paths if "" not in looks.deep else set()
        if others:
            found = self._observer.observe(Looks(paths | others, looks.deep))
        return self._build(found)

    def _other_names(self, found: Differences) -> set[str]:
        """Return where else the files that have changed are: one hint comes of all hard links."""
        changed = {
            one.seen.signature.inode
            for one in found.changed
            if one.node is not None and one.seen.has_other_names
        }
        nodes = self._base.nodes_of(changed - {0})  # a disk without lasting inodes has only 0
        return {self._names.path(self._base, node) for node in nodes}

    def _build(self, found: Differences) -> Observed:
        observed = Observed(Overlay(self._base), problems=dict(found.problems))
        for folder in found.other_folders:
            if folder.node is not None:
                self._base.set_signature(folder.node, folder.seen.signature)
        self._take_away(found, observed)
        numbers: dict[str, int] = {}
        # A rename changes the ctime: whatever is to be done there has to expect the present one.
        observed.shown.update((move.node, move.signature) for move in found.moves)
        placed: list[_Placed] = [(move.path, move.node, None) for move in found.moves]
        placed += [(one.path, one.node, one) for one in found.changed]
        for path, node, difference in sorted(placed, key=_depth):
            self._place(observed, path, node, difference, numbers)
        self._numbers = numbers
        observed.is_reading = self._reader.end_look()
        self._open = self._open_paths(found)
        self._read = {path: read for path, read in self._read.items() if path in self._open}
        return observed

    def _take_away(self, found: Differences, observed: Observed) -> None:
        """Take away what is elsewhere now, or nowhere: so that its names are free."""
        for move in found.moves:
            observed.tree.remove(move.node)
        for node in found.vanished:
            observed.tree.remove(node)
            observed.vanished += 1 + len(self._base.rows_below(node))

    def _place(
        self,
        observed: Observed,
        path: str,
        node: int | None,
        difference: Difference | None,
        numbers: dict[str, int],
    ) -> None:
        """Put a node where it is now, as what it is now."""
        tree = observed.tree
        parent = find(tree, split(path)[0])
        if parent is None:
            return  # in a folder that could not be read
        old = self._base.get(node) if node is not None else None
        if difference is None:
            assert node is not None and old is not None  # noqa: S101, PT018 - a move is of a node
            tree.put(node, Node(parent, split(path)[1], old.item))
            return
        item = self._item(difference, old, observed)
        if item is None:
            if node is not None:
                observed.unread.add(node)
            return
        if node is None:
            node = numbers[path] = self._numbers.get(path) or self._ids.new()
        signature = self._sure_signature(difference)
        observed.shown[node] = difference.seen.signature
        if signature is not None:
            observed.signatures[node] = signature
        elif old is not None:
            observed.unread.add(node)  # It may be changed once more without a sign.
        else:
            observed.young.add(node)
        if old is not None and old.item == item:
            self._base.set_signature(node, signature)
        elif tree.get(node) is None:
            tree.put(node, Node(parent, split(path)[1], item))
        else:
            tree.edit(node, item)

    def _item(self, difference: Difference, old: Node | None, observed: Observed) -> Item | None:
        """Return what something is, None where that cannot be told now."""
        seen, path = difference.seen, difference.path
        if seen.kind is Kind.FOLDER:
            return FOLDER
        try:
            if seen.kind is Kind.LINK:
                return self._link(difference)
            return self._file(difference, old)
        except UnderWayError:
            return None
        except ChangedError:
            self._dirty.back_off(difference.disk_path, time.monotonic())
        except OSError as error:
            if error.errno not in _GONE:
                observed.problems[path] = error.strerror or str(error)
        return None

    def _link(self, difference: Difference) -> Item:
        target = os.fsencode(self._folder.read_link(difference.disk_path))
        mtime_ns = difference.seen.signature.mtime_ns
        return Item(cas.EntryKind.SYMLINK, target, len(target), mtime_ns)

    def _file(self, difference: Difference, old: Node | None) -> Item:
        path, seen = difference.disk_path, difference.seen
        before = self._read.get(path)
        if before is not None and before[0] == seen.signature:
            return before[1]
        read = self._reader.read(path, seen.signature)
        if read.signature != seen.signature:
            raise ChangedError(errno.EBUSY, "it was changed meanwhile", path)
        item = self._merge_attributes(difference, old, read)
        if read.is_racy:
            self._dirty.back_off(path, time.monotonic())
        else:
            self._dirty.settle(path)
            self._read[path] = (seen.signature, item)
        return item

    def _merge_attributes(self, difference: Difference, old: Node | None, read: ReadFile) -> Item:
        """Return a file's item; what this disk cannot hold is as it was."""
        content, is_executable = read.content, read.is_executable
        mtime_ns = difference.seen.signature.mtime_ns
        if old is not None and old.item.kind in _FILE_KINDS:
            if not self._abilities.keeps_exec_bit:
                is_executable = old.item.is_executable
            step = self._abilities.time_step_ns
            known = self._base.signature(difference.node) if difference.node else None
            is_set = known is not None and known.mtime_ns == mtime_ns
            if is_set or old.item.mtime_ns // step == mtime_ns // step:
                mtime_ns = old.item.mtime_ns
        elif not self._abilities.keeps_exec_bit:
            is_executable = False
        return Item(content.kind, content.id, content.size, mtime_ns, is_executable)

    def _sure_signature(self, difference: Difference) -> Signature | None:
        """Return a signature that stands for what was read, None where it might stand for more."""
        if difference.seen.kind is Kind.FILE and difference.disk_path not in self._read:
            return None
        return difference.seen.signature

    def _open_paths(self, found: Differences) -> set[str]:
        """Return the paths on the disk at which it differs from the base."""
        paths = {one.disk_path for one in found.changed} | {one.disk_path for one in found.moves}
        nodes = [*found.vanished, *(move.node for move in found.moves)]
        return paths | {self._names.path(self._base, node) for node in nodes}


_Placed = tuple[str, int | None, Difference | None]


def _depth(placed: _Placed) -> tuple[int, bool]:
    return placed[0].count("/"), placed[2] is not None
