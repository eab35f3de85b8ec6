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
from syncd.disk.base import Base, pack_signature, unpack_signature
from syncd.disk.dirty import Looks
from syncd.disk.folder import Folder, split
from syncd.disk.items import Known
from syncd.disk.name_map import NameMap
from syncd.disk.walk import Kind, Seen, list_folder, look, special_words


class Difference(NamedTuple):
    """Something that is new or looks different. Paths are the volume's.

    `base_path` is where the base has it, None for what is new; another path where it was moved.
    """

    path: str
    base_path: str | None
    seen: Seen


class LocalMove(NamedTuple):
    """Something that has another path; `base_path` is that in the base, before any move."""

    base_path: str
    path: str


@dataclass(slots=True)
class Differences:
    """What a look at the folder found.

    Attributes:
        changed: what has to be read: files that came or look different, links, new folders.
        moves: the topmost of what was moved, parents before what is in them.
        vanished: paths of the base that are gone, the topmost of each; what was moved out of one
            of them is in `moves`.
        other_folders: folders that the base has too, but with another inode: somebody made them
            anew. Only their signatures are to be put into the base.
        problems: what is not synced, with the reason.
        looked: how many names were looked at.
    """

    changed: list[Difference] = field(default_factory=list)
    moves: list[LocalMove] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
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
        """Return what differs where one is to look.

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
        self._new: deque[tuple[str, Seen]] = deque()
        self._gone: dict[str, None] = {}
        self._seen_paths: set[str] = set()

    def look_at(self, path: str, *, deep: bool) -> None:
        """Compare one path, and all below it where that is asked for or it is new."""
        if not path:
            if deep:
                self._compare_below("", "")
            return
        known = self._base.get(path)
        if known is None:
            path = self._topmost_new(path)
        try:
            seen = look(self._folder, self._names.to_disk(path))
        except OSError as error:
            self._tell(path, error)
            return
        self.found.looked += 1
        if seen is None:
            if known is not None:
                self._gone[path] = None
            return
        row = _row(known) if known else None
        if self._compare(path, path, seen, row) and deep:
            self._compare_below(path, path)

    def _topmost_new(self, path: str) -> str:
        """Return the first of a path's folders that the base has not, or the path."""
        names = path.split("/")
        for count in range(1, len(names)):
            folder = "/".join(names[:count])
            if self._base.get(folder) is None:
                return folder
        return path

    def _compare(
        self, path: str, base_path: str, seen: Seen, row: tuple[int, bytes | None] | None
    ) -> bool:
        """Compare a name with its row in the base; return whether both are folders."""
        if row is None:
            self._meet_new(path, seen)
            return False
        kind, signature = row
        if seen.kind is Kind.SPECIAL:
            self._gone[base_path] = None
            self._meet_new(path, seen)
            return False
        if seen.kind is Kind.FOLDER and kind == cas.EntryKind.DIRECTORY:
            if not _is_inode(signature, seen):
                self.found.other_folders.append(Difference(path, base_path, seen))
            return True
        if seen.kind is Kind.FOLDER or kind == cas.EntryKind.DIRECTORY:
            self._gone[base_path] = None  # A folder in place of a file, or the other way round.
            self._meet_new(path, seen)
        elif signature is None or signature != pack_signature(seen.signature):
            self._change(Difference(path, base_path, seen))
        return False

    def _meet_new(self, path: str, seen: Seen) -> None:
        if path in self._seen_paths:
            return
        if self._is_left_out(path, seen.kind is Kind.FOLDER):
            return
        self._seen_paths.add(path)
        if seen.kind is Kind.SPECIAL:
            status = self._folder.status(self._names.to_disk(path))
            self.found.problems[path] = f"{special_words(self._folder, status)} is not synced"
        else:
            self._new.append((path, seen))

    def _change(self, difference: Difference) -> None:
        if difference.path not in self._seen_paths:
            self._seen_paths.add(difference.path)
            self.found.changed.append(difference)

    def _compare_below(self, top: str, base_top: str) -> None:
        """Compare what is in a folder, and in all below it, with what the base has there."""
        pending = [(top, base_top)]
        while pending:
            path, base_path = pending.pop()
            try:
                listed = list_folder(self._folder, self._names.to_disk(path))
            except OSError as error:
                if not path:
                    raise
                self._tell(path, error)
                continue
            self.found.looked += len(listed)
            rows = self._base.signatures_by_name(base_path)
            true_names = self._names.true_names(path, listed)
            prefix, base_prefix = _prefix(path), _prefix(base_path)
            for local, seen in listed.items():
                name = true_names.get(local, local)
                row = rows.pop(name, None)
                is_as_before = row is not None and row[1] == pack_signature(seen.signature)
                if is_as_before and seen.kind is not Kind.FOLDER:
                    continue  # most of all that there is
                if self._compare(prefix + name, base_prefix + name, seen, row):
                    pending.append((prefix + name, base_prefix + name))
            for name in rows:
                self._gone[base_prefix + name] = None

    def follow_moves(self) -> None:
        """Find out which of the new is something that went elsewhere, and list the rest."""
        self._drop_what_is_below_others()
        went = self._by_inode() if self._new else {}
        while self._new:
            path, seen = self._new.popleft()
            base_path = self._origin(seen, path, went)
            if base_path is not None:
                went.pop(seen.signature.inode)
                self.found.moves.append(LocalMove(base_path, path))
                self._gone.pop(base_path, None)
            else:
                self.found.changed.append(Difference(path, None, seen))
            if seen.kind is Kind.FOLDER:
                self._compare_below(path, base_path or _NOWHERE)
        self._drop_what_is_below_others()
        self.found.vanished = list(self._gone)

    def _by_inode(self) -> dict[int, tuple[str, Known]]:
        """Return all that has vanished by its inode, what is below folders too."""
        went: dict[int, tuple[str, Known]] = {}
        if not self._folder.has_lasting_inodes:
            return went
        for path in self._gone:
            known = self._base.get(path)
            for inner, item in [(path, known), *self._base.below(path)]:
                if item is not None and item.signature is not None:
                    went.setdefault(item.signature.inode, (inner, item))
        return went

    def _origin(self, seen: Seen, path: str, went: dict[int, tuple[str, Known]]) -> str | None:
        """Return where something new was before, None where it was nowhere.

        An inode is given to another file when its own is gone. So a file must look as before, and
        a folder must have something in it that it had.
        """
        base_path, known = went.get(seen.signature.inode, (None, None))
        if base_path is None or known is None or known.signature is None:
            return None
        is_folder = known.item.kind is cas.EntryKind.DIRECTORY
        if (seen.kind is Kind.FOLDER) != is_folder:
            return None
        if not is_folder:
            return base_path if known.signature.holds_same(seen.signature) else None
        return base_path if self._is_that_folder(path, base_path) else None

    def _is_that_folder(self, path: str, base_path: str) -> bool:
        before = self._base.children(base_path)
        try:
            now = list_folder(self._folder, self._names.to_disk(path))
        except OSError:
            return False
        return any(
            (known := before.get(name)) is not None
            and known.signature is not None
            and known.signature.is_same_file(seen.signature)
            for name, seen in now.items()
        )

    def _drop_what_is_below_others(self) -> None:
        self._gone = dict.fromkeys(_topmost(self._gone))

    def _tell(self, path: str, error: OSError) -> None:
        self.found.problems[path] = error.strerror or str(error)


_NOWHERE: Final = "\0"
"""The base path of what was nowhere before: no name is like this."""


def _row(known: Known) -> tuple[int, bytes | None]:
    signature = pack_signature(known.signature) if known.signature else None
    return int(known.item.kind), signature


def _is_inode(signature: bytes | None, seen: Seen) -> bool:
    return signature is not None and unpack_signature(signature).is_same_file(seen.signature)


def _prefix(path: str) -> str:
    return f"{path}/" if path else ""


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
