"""Where an import puts things: into a folder that is there, or into one that is made aside.

A folder that the volume lacks is made aside with all that is in it, and put as a whole: one
change, however many files. At every commit of the import it is put as far as it has come.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import cas
from tools.import_plan import Doomed

_EARLIEST_NS: Final = -(2**63)
_LATEST_NS: Final = 2**63 - 1


class Attributes(NamedTuple):
    """What an import takes over from a file's status."""

    mtime_ns: int
    mode: int

    @property
    def fits(self) -> bool:
        """Whether a volume can keep the time, which must be in the years 1677 to 2262."""
        return _EARLIEST_NS <= self.mtime_ns <= _LATEST_NS

    def fitted(self) -> Attributes:
        """Return them with the nearest time that a volume can keep."""
        return self._replace(mtime_ns=max(_EARLIEST_NS, min(self.mtime_ns, _LATEST_NS)))

    @classmethod
    def of(cls, status: os.stat_result) -> Attributes:
        """Return those of a status."""
        return cls(status.st_mtime_ns, stat.S_IMODE(status.st_mode))


class Stored(NamedTuple):
    """A file's content, and what stored it."""

    content: cas.Content
    by: cas.FileWriter | cas.StoredFiles


class Place(Protocol):
    """A folder that takes names. What it is given becomes part of the edit."""

    def put(
        self, edit: cas.Edit, name: str, stored: Stored, attributes: Attributes, *, is_new: bool
    ) -> None:
        """Take a file."""

    def put_symlink(self, edit: cas.Edit, name: str, link: str, mtime_ns: int) -> None:
        """Take a symbolic link."""


@dataclass(frozen=True)
class ExistingFolder:
    """A folder of the volume, by its path."""

    target: str

    def put(
        self, edit: cas.Edit, name: str, stored: Stored, attributes: Attributes, *, is_new: bool
    ) -> None:
        """Take a file. Where there is one, its time of creation stays."""
        edit.rely_on(stored.by)
        mtime_ns, mode = attributes
        edit.put(
            self._path(name),
            stored.content,
            mtime_ns=mtime_ns,
            mode=mode,
            created_ns=mtime_ns if is_new else None,
        )

    def put_symlink(self, edit: cas.Edit, name: str, link: str, mtime_ns: int) -> None:
        """Take a symbolic link."""
        edit.make_symlink(self._path(name), link, mtime_ns=mtime_ns)

    def _path(self, name: str) -> str:
        return f"{self.target}/{name}" if self.target else name


@dataclass(frozen=True)
class Instead:
    """A place for what comes in place of something of another kind, which goes with that step."""

    place: Place
    old: Doomed

    def put(
        self, edit: cas.Edit, name: str, stored: Stored, attributes: Attributes, *, is_new: bool
    ) -> None:
        """Take a file."""
        self.old.remove(edit)
        self.place.put(edit, name, stored, attributes, is_new=is_new)

    def put_symlink(self, edit: cas.Edit, name: str, link: str, mtime_ns: int) -> None:
        """Take a symbolic link."""
        self.old.remove(edit)
        self.place.put_symlink(edit, name, link, mtime_ns)


class NewFolder:
    """A folder of a new tree.

    The time of creation, which few file systems tell, is not after that of the change; so equal
    trees have equal ids, and a second copy of one takes no room.
    """

    def __init__(self, writer: cas.FolderWriter, name: str, attributes: Attributes) -> None:
        self.writer = writer
        self._name = name
        self._attributes = attributes

    def put(
        self, _edit: cas.Edit, name: str, stored: Stored, attributes: Attributes, *, is_new: bool
    ) -> None:
        """Take a file."""
        if not is_new:
            raise ValueError("a new folder has no old files")
        self.writer.rely_on(stored.by)
        mtime_ns, mode = attributes
        self.writer.put(name, stored.content, mtime_ns=mtime_ns, mode=mode, created_ns=mtime_ns)

    def put_symlink(self, _edit: cas.Edit, name: str, link: str, mtime_ns: int) -> None:
        """Take a symbolic link."""
        self.writer.put_symlink(name, link, mtime_ns=mtime_ns)

    def put_within(self, outer: NewFolder) -> None:
        """Put it into the folder around it, as far as it has come."""
        mtime_ns, mode = self._attributes
        outer.writer.put_folder(
            self._name, self.writer, mtime_ns=mtime_ns, mode=mode, created_ns=mtime_ns
        )

    def put_at(self, edit: cas.Edit, path: str, expect: cas.Expectation) -> cas.Entry:
        """Have the edit put it, as far as it has come; return its entry."""
        mtime_ns, mode = self._attributes
        return edit.put_folder(
            path, self.writer, mtime_ns=mtime_ns, mode=mode, created_ns=mtime_ns, expect=expect
        )


class NewTree:
    """A folder that the volume lacks, with all the folders within it, while it is made.

    `source` and `target` are its paths outside and in the volume. `is_over` tells that
    nothing more can be put: it may not be there, or somebody else has made or changed the folder
    in the volume meanwhile.
    """

    def __init__(
        self, volume: cas.Volume, source: str, target: str, attributes: Attributes
    ) -> None:
        self.source = source
        self.target = target
        self.is_over = False
        self._volume = volume
        self._way = [NewFolder(volume.folder(), target, attributes)]
        self._expect: cas.Expectation = cas.ABSENT
        self._put: cas.Entry | None = None

    @property
    def is_there(self) -> bool:
        """Whether an earlier commit has put it."""
        return self._expect != cas.ABSENT

    @property
    def folder(self) -> NewFolder:
        """The innermost folder that is being made."""
        return self._way[-1]

    def enter(self, name: str, attributes: Attributes) -> None:
        """Begin a folder within the innermost one."""
        self._way.append(NewFolder(self.folder.writer.folder(), name, attributes))

    def leave(self) -> tuple[NewFolder, NewFolder] | None:
        """End the innermost folder; return it and the one around it, None for the outermost."""
        if len(self._way) == 1:
            return None
        ended = self._way.pop()
        return ended, self.folder

    def put(self, edit: cas.Edit) -> None:
        """Have the edit put the tree, as far as it has come."""
        for inner, outer in pairwise(reversed(self._way)):
            inner.put_within(outer)
        self._put = self._way[0].put_at(edit, self.target, self._expect)

    def confirm(self) -> None:
        """Take note that what was put last has been committed."""
        if self._put is not None:
            self._expect = cas.EntryIs(self._volume.entry_id(self._put))
