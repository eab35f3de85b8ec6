"""The operations of an import, committed a few thousand at a time.

So one bad path costs itself alone, and an interrupted run keeps what it did.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

import cas
from tools.exits import explain
from tools.import_places import Attributes, NewTree, Place, Stored
from tools.import_plan import Doomed, Totals
from tools.small_files import SmallFile, SmallFiles
from tools.source_tree import StoredFile
from tools.stat_cache import StatCache

OPERATIONS_LIMIT: Final = 4096
"""Operations in one commit."""
SECONDS_LIMIT: Final = 5.0
"""Time after which a commit is made in any case."""
LARGE_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file before which a commit is made: reading it takes a while."""

Step: TypeAlias = Callable[[cas.Edit], object]
"""Adds one operation to an edit."""


class Reporter(Protocol):
    """Who is told of single files."""

    def problem(self, path: str, reason: str) -> None:
        """Take note of a file that was not, or not wholly, brought over."""

    def action(self, action: str, path: str) -> None:
        """Take note of a change: `add`, `replace`, `set`, `remove` or `compare`."""


class _Pending(NamedTuple):
    source: str
    step: Step
    tree: NewTree | None = None


_OF_ONE_PATH: Final = (
    cas.ConflictError,
    cas.NotFoundError,
    cas.AlreadyExistsError,
    cas.InvalidError,
    cas.LockedError,
)
"""Errors that speak of a path, not of the store: the other paths go on."""


class Batch:
    """Collects operations and commits them. Used by one thread.

    Args:
        volume: where to.
        author: for the journal.
        cache: is flushed when a commit was made.
        reporter: told of problems and changes.
        dry_run: never commit anything.
    """

    def __init__(
        self,
        volume: cas.Volume,
        author: str,
        cache: StatCache,
        reporter: Reporter,
        *,
        dry_run: bool = False,
    ) -> None:
        self._volume = volume
        self._author = author
        self._cache = cache
        self._reporter = reporter
        self._dry_run = dry_run
        self.small_files = SmallFiles(volume)
        self._pending: list[_Pending] = []
        self._deadline = 0.0
        self._tree: NewTree | None = None
        self.overtaken: list[NewTree] = []
        """New folders that somebody else has made or changed meanwhile: to be gone over again."""
        self.totals = Totals()

    def close(self) -> None:
        """End; what is pending is not committed."""
        self.small_files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(
        self, source: str, place: Place, name: str, stored: StoredFile, *, is_new: bool
    ) -> None:
        """Put a stored file, with its time and mode."""
        file = Stored(stored.content, stored.writer)
        attributes = self.attributes(source, stored.status)
        self._add(source, lambda edit: place.put(edit, name, file, attributes, is_new=is_new))

    def put_small(
        self,
        source: str,
        place: Place,
        name: str,
        file: SmallFile,
        status: os.stat_result,
        read_ns: int,
    ) -> None:
        """Put a new small file, once its bundle is stored; remember it in the cache."""
        attributes = self.attributes(source, status)

        def step(edit: cas.Edit) -> None:
            stored = Stored(file.content, file.stored)
            place.put(edit, name, stored, attributes, is_new=True)
            self._cache.put(status, stored.content, read_ns)

        self._add(source, step)

    def put_symlink(self, source: str, place: Place, name: str, link: str, mtime_ns: int) -> None:
        """Put a symbolic link."""
        self._add(source, lambda edit: place.put_symlink(edit, name, link, mtime_ns))

    def make_parents(self, target: str) -> None:
        """Make the folders around a path that are missing."""
        parent = target.rpartition("/")[0]
        if parent:
            self._add("", lambda edit: edit.make_directory(parent, parents=True))

    def begin_folder(self, source: str, target: str, status: os.stat_result) -> NewTree:
        """Begin a folder that the volume lacks, of its own or within the one that was begun."""
        attributes = self.attributes(source, status)
        if self._tree is None:
            self._tree = NewTree(self._volume, source, target, attributes)
        else:
            self._tree.enter(target.rpartition("/")[2], attributes)
        return self._tree

    def end_folder(self, source: str, tree: NewTree) -> None:
        """End the folder that was begun last."""
        left = tree.leave()
        if left is not None:
            ended, outer = left
            self._add(source, lambda _: ended.put_within(outer))
        else:
            self._tree = None
            if not tree.is_over:
                self._add(source, tree.put, tree)

    def attributes(self, source: str, status: os.stat_result) -> Attributes:
        """Return what a volume can keep of a status; report where that is not all."""
        attributes = Attributes.of(status)
        if attributes.fits:
            return attributes
        self.refuse(source, "its time is not within the years 1677 to 2262: the nearest is kept")
        return attributes.fitted()

    def set_attributes(self, source: str, target: str, attributes: Attributes) -> None:
        """Give a path its time and mode."""
        mtime_ns, mode = attributes
        self._add(source, lambda edit: edit.set_properties(target, mtime_ns=mtime_ns, mode=mode))

    def remove(self, doomed: Doomed) -> None:
        """Remove a path with everything below it."""
        self._add(doomed.source, doomed.remove)

    def note(self, action: str, source: str) -> None:
        """Tell the reporter what becomes of a path."""
        self._reporter.action(action, source)

    def problem(self, source: str, error: OSError | cas.CasError) -> None:
        """Report a path that could not be brought over, by the error."""
        reason = error.strerror if isinstance(error, OSError) else None
        self.refuse(source, reason or explain(error))

    def refuse(self, source: str, reason: str) -> None:
        """Report a path that could not be brought over, in words."""
        self.totals.problems += 1
        self._reporter.problem(source or ".", reason)

    def before_file(self, size: int) -> None:
        """Commit what is pending before much time goes by with a file of this many bytes."""
        if size >= LARGE_FILE:
            self.commit()

    def commit(self) -> None:
        """Commit what is pending.

        Raises:
            cas.CasError: the store failed or is full; what is pending stays pending.
        """
        if self._dry_run or not self._pending:
            self._pending.clear()
            return
        self.small_files.wait()
        pending = self._pending
        if self._tree is not None and not self._tree.is_over:
            pending = [*pending, _Pending(self._tree.source, self._tree.put, self._tree)]
        self._commit(pending)
        self._pending = []
        self._cache.flush()

    def _add(self, source: str, step: Step, tree: NewTree | None = None) -> None:
        now = time.monotonic()
        if not self._pending:
            self._deadline = now + SECONDS_LIMIT
        self._pending.append(_Pending(source, step, tree))
        if len(self._pending) >= OPERATIONS_LIMIT or now > self._deadline:
            self.commit()

    def _commit(self, pending: list[_Pending]) -> None:
        """Commit all, or find by halves which path it is that cannot be done, and do the others."""
        try:
            with self._volume.edit(author=self._author) as edit:
                for _, step, _ in pending:
                    step(edit)
        except _OF_ONE_PATH as error:
            if len(pending) == 1:
                self._fail(pending[0], error)
                return
            middle = len(pending) // 2
            self._commit(pending[:middle])
            self._commit(pending[middle:])
            return
        for _, _, tree in pending:
            if tree is not None:
                tree.confirm()

    def _fail(self, pending: _Pending, error: cas.CasError) -> None:
        tree = pending.tree
        if tree is not None:
            tree.is_over = True
        if tree is not None and (tree.is_there or isinstance(error, cas.PreconditionError)):
            self.overtaken.append(tree)
        elif isinstance(error, cas.PreconditionError):
            self.refuse(pending.source, "it has changed in the volume meanwhile")
        else:
            self.problem(pending.source, error)
