"""What differs between the linked folder and the base: names that came, went, moved or changed.

Only names and signatures are compared; nothing is read. Moves are told by inodes: a folder that was
renamed is one move, and only what is below it is compared with what was below it before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import cas
from syncd.disk.base import Base, Row, pack_signature, unpack_signature
from syncd.disk.dirty import Looks
from syncd.disk.folder import Folder, names_in, split
from syncd.disk.name_map import NameMap
from syncd.disk.signatures import Signature
from syncd.disk.walk import Kind, Seen, list_folder, look, special_words
from syncd.trees import ROOT


class Difference(NamedTuple):
    """Something that is new or looks different, at a path of the volume, and of the disk.

    `node` is which one of the base it is, None for what is new. The base may have it elsewhere.
    """

    path: str
    disk_path: str
    node: int | None
    seen: Seen


class LocalMove(NamedTuple):
    """A node of the base that has another path, in the volume and on the disk; how it looks now."""

    node: int
    path: str
    disk_path: str
    signature: Signature


@dataclass(slots=True)
class Differences:
    """What a look at the folder found.

    Attributes:
        changed: what has to be read: files that came or look different, links, new folders.
        moves: the topmost of what was moved, parents before what is in them.
        vanished: nodes of the base that are gone, the topmost of each; what was moved out of one
            of them is in `moves`.
        other_folders: folders that the base has too, but with another inode: somebody made them
            anew. Only their signatures are to be put into the base.
        problems: what is not synced, with the reason.
        looked: how many names were looked at.
    """

    changed: list[Difference] = field(default_factory=list)
    moves: list[LocalMove] = field(default_factory=list)
    vanished: list[int] = field(default_factory=list)
    other_folders: list[Difference] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    looked: int = 0


class Observer:
    """Compares a linked folder with its base.

    Args:
        folder: the linked folder.
        base: what was there when it was last in sync.
        names: what the disk calls the volume's names.
        is_left_out: whether a path that the base has not is ignored or not selected; given the
            path and whether it is a folder.
    """

    def __init__(
        self,
        folder: Folder,
        base: Base,
        names: NameMap,
        is_left_out: Callable[[str, bool], bool],
    ) -> None:
        self._folder = folder
        self._base = base
        self._names = names
        self._is_left_out = is_left_out

    def observe(self, looks: Looks) -> Differences:
        """Return what differs where one is to look; paths there are those of the disk.

        Raises:
            OSError: the top of the folder cannot be listed.
        """
        comparison = _Comparison(self._folder, self._base, self._names, self._is_left_out)
        for path in _topmost(looks.deep):
            comparison.look_at(path, deep=True)
        for path in sorted(looks.paths):
            comparison.look_at(path, deep=False)
        comparison.follow_moves()
        return comparison.found


class _Place(NamedTuple):
    """A folder that is compared: its path in the volume and on the disk, its node in the base."""

    path: str
    disk_path: str
    node: int


_TOP: Final = _Place("", "", ROOT)


class _Comparison:
    def __init__(
        self,
        folder: Folder,
        base: Base,
        names: NameMap,
        is_left_out: Callable[[str, bool], bool],
    ) -> None:
        self._folder = folder
        self._base = base
        self._names = names
        self._is_left_out = is_left_out
        self.found = Differences()
        self._new: deque[tuple[_Place, Seen]] = deque()
        self._new_folders: deque[tuple[_Place, Seen]] = deque()
        self._went: dict[int, Row] = {}
        self._gone: dict[int, None] = {}
        self._met: set[str] = set()
        self._listed: dict[str, set[str]] = {}

    def look_at(self, disk_path: str, *, deep: bool) -> None:
        """Compare one path, and all below it where that is asked for or it is new."""
        place = _TOP
        for local in disk_path.split("/") if disk_path else ():
            if not self._is_known_folder(place.node):
                break  # the first on the way that is no folder in the base: all in it is new
            place = self._inner(place, local)
        if place.node == ROOT:
            if deep:
                self._compare_below(_TOP)
            return
        try:
            seen = look(self._folder, place.disk_path)
            if seen is not None and self._names.folds and not self._is_listed(place.disk_path):
                seen = None  # It is there, but its name is written otherwise now.
        except OSError as error:
            self._tell(place.path, error)
            return
        self.found.looked += 1
        row = self._base.row(place.node)
        if seen is None:
            if row is not None:
                self._gone[place.node] = None
        elif self._compare(place, seen, row) and deep:
            self._compare_below(place)

    def _is_listed(self, disk_path: str) -> bool:
        """Whether a path is listed as it is written, all folders on the way, too."""
        folder, name = split(disk_path)
        if folder and not self._is_listed(folder):
            return False
        if folder not in self._listed:
            with self._folder.directory(folder) as descriptor:
                self._listed[folder] = set(map(self._names.form, names_in(descriptor)))
        return self._names.form(name) in self._listed[folder]

    def _is_known_folder(self, node: int) -> bool:
        if node in {ROOT, _NOWHERE}:
            return node == ROOT
        row = self._base.row(node)
        return row is not None and row.kind == cas.EntryKind.DIRECTORY

    def _inner(self, place: _Place, local: str) -> _Place:
        name = self._names.true_names(place.node, [local]).get(local, local)
        node = self._base.child(place.node, name)
        return _place_in(place, name, local, _NOWHERE if node is None else node)

    def _compare(self, place: _Place, seen: Seen, row: Row | None) -> bool:
        """Compare something with its row in the base; return whether both are folders."""
        if row is None:
            self._meet_new(place, seen)
            return False
        is_folder = row.kind == cas.EntryKind.DIRECTORY
        if seen.kind is Kind.FOLDER and is_folder:
            if not _is_inode(row.signature, seen):
                self.found.other_folders.append(Difference(*place[:2], row.node, seen))
            return True
        if seen.kind in {Kind.FOLDER, Kind.SPECIAL} or is_folder:
            self._gone[row.node] = None  # A folder in place of a file, or the other way round.
            self._meet_new(place, seen)
        elif row.signature is None or row.signature != pack_signature(seen.signature):
            self._change(Difference(*place[:2], row.node, seen))
        return False

    def _change(self, difference: Difference) -> None:
        if difference.path not in self._met:
            self._met.add(difference.path)
            self.found.changed.append(difference)

    def _meet_new(self, place: _Place, seen: Seen) -> None:
        if place.path in self._met or self._is_left_out(place.path, seen.kind is Kind.FOLDER):
            return
        self._met.add(place.path)
        if seen.kind is Kind.SPECIAL:
            what = special_words(self._folder, self._folder.status(place.disk_path))
            self.found.problems[place.path] = f"{what} is not synced"
        else:
            is_folder = seen.kind is Kind.FOLDER
            (self._new_folders if is_folder else self._new).append((place, seen))

    def _compare_below(self, top: _Place) -> None:
        """Compare what is in a folder, and in all below it, with what the base has there."""
        pending = [top]
        while pending:
            place = pending.pop()
            try:
                listed = list_folder(self._folder, place.disk_path)
            except OSError as error:
                if not place.path:
                    raise
                self._tell(place.path, error)
                continue
            self.found.looked += len(listed)
            rows = self._base.rows(place.node)
            true_names = self._names.true_names(place.node, listed)
            for local, seen in listed.items():
                name = true_names.get(local, local)
                row = rows.pop(name, None)
                if row is not None and (self._gone or self._went):
                    self._came_along(row)
                is_as_before = row is not None and row.signature == pack_signature(seen.signature)
                if is_as_before and seen.kind is not Kind.FOLDER:
                    continue  # most of all that there is
                inner = _place_in(place, name, local, row.node if row else _NOWHERE)
                if self._compare(inner, seen, row):
                    pending.append(inner)
            for row in rows.values():
                self._gone[row.node] = None

    def _came_along(self, row: Row) -> None:
        """Something is in its folder, which was renamed: it went nowhere else."""
        self._gone.pop(row.node, None)
        if self._went and row.signature is not None:
            inode = unpack_signature(row.signature).inode
            if inode in self._went and self._went[inode].node == row.node:
                del self._went[inode]

    def follow_moves(self) -> None:
        """Find out which of the new is something that went elsewhere, and list the rest."""
        self._went = self._by_inode() if self._new or self._new_folders else {}
        while self._new or self._new_folders:
            # Folders first: what is in one that was renamed came along with it, other names or not.
            place, seen = (self._new_folders or self._new).popleft()
            node = self._origin(seen, place)
            if node is None:
                self.found.changed.append(Difference(*place[:2], None, seen))
            else:
                del self._went[seen.signature.inode]
                self.found.moves.append(LocalMove(node, *place[:2], seen.signature))
                self._gone.pop(node, None)
            if seen.kind is Kind.FOLDER:
                self._compare_below(place._replace(node=_NOWHERE if node is None else node))
        moved = {move.node for move in self.found.moves}
        self.found.vanished = [
            node for node in self._gone if node not in moved and not self._is_below_gone(node)
        ]

    def _is_below_gone(self, node: int) -> bool:
        found = self._base.get(node)
        while found is not None and found.parent != ROOT:
            if found.parent in self._gone:
                return True
            found = self._base.get(found.parent)
        return False

    def _by_inode(self) -> dict[int, Row]:
        """Return all that has vanished by its inode, what is below folders too."""
        went: dict[int, Row] = {}
        if not self._folder.has_lasting_inodes:
            return went
        for node in self._gone:
            top = self._base.row(node)
            for row in [top, *self._base.rows_below(node)]:
                if row is not None and row.signature is not None:
                    went.setdefault(unpack_signature(row.signature).inode, row)
        return went

    def _origin(self, seen: Seen, place: _Place) -> int | None:
        """Return which node something new is, None where it was nowhere.

        An inode is given to another file when its own is gone. So a file must look as before, and
        a folder must have something in it that it had.
        """
        row = self._went.get(seen.signature.inode)
        if row is None or row.signature is None:
            return None
        is_folder = row.kind == cas.EntryKind.DIRECTORY
        if (seen.kind is Kind.FOLDER) != is_folder:
            return None
        if is_folder:
            return row.node if self._is_that_folder(place, row.node) else None
        return row.node if unpack_signature(row.signature).holds_same(seen.signature) else None

    def _is_that_folder(self, place: _Place, node: int) -> bool:
        rows = self._base.rows(node)
        try:
            listed = list_folder(self._folder, place.disk_path)
        except OSError:
            return False
        true_names = self._names.true_names(node, listed)
        return any(
            (row := rows.get(true_names.get(local, local))) is not None
            and _is_inode(row.signature, seen)
            for local, seen in listed.items()
        )

    def _tell(self, path: str, error: OSError) -> None:
        self.found.problems[path] = error.strerror or str(error)


_NOWHERE: Final = -2
"""Stands for the node of what the base has not; no node has this parent."""


def _place_in(place: _Place, name: str, local: str, node: int) -> _Place:
    if not place.path:
        return _Place(name, local, node)
    return _Place(f"{place.path}/{name}", f"{place.disk_path}/{local}", node)


def _is_inode(signature: bytes | None, seen: Seen) -> bool:
    return signature is not None and unpack_signature(signature).is_same_file(seen.signature)


def _topmost(paths: Iterable[str]) -> list[str]:
    """Return those paths that are not below another of them, in order."""
    chosen = set(paths)
    if "" in chosen:
        return [""]
    kept = []
    for path in sorted(chosen):
        folder = split(path)[0]
        while folder and folder not in chosen:
            folder = split(folder)[0]
        if not folder:
            kept.append(path)
    return kept
