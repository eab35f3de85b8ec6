"""The operations of an import, committed a few thousand at a time.

So one bad path costs itself alone, and an interrupted run keeps what it did.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

import cas
from tools.exits import explain
from tools.import_plan import Totals
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
        self.totals = Totals()

    def close(self) -> None:
        """End; what is pending is not committed."""
        self.small_files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(self, source: str, target: str, stored: StoredFile) -> None:
        """Have a path hold a stored file, with its time and mode."""
        mtime_ns, mode = stored.status.st_mtime_ns, stat.S_IMODE(stored.status.st_mode)

        def step(edit: cas.Edit) -> None:
            edit.rely_on(stored.writer)
            edit.put(target, stored.content, mtime_ns=mtime_ns, mode=mode)

        self._add(source, step)

    def put_small(
        self, source: str, target: str, file: SmallFile, status: os.stat_result, read_ns: int
    ) -> None:
        """Have a path hold a small file, once its bundle is stored; remember it in the cache."""
        mtime_ns, mode = status.st_mtime_ns, stat.S_IMODE(status.st_mode)

        def step(edit: cas.Edit) -> None:
            content = file.content
            edit.rely_on(file.stored)
            # The time of creation, which few file systems tell, is not after that of the change;
            # so equal trees have equal ids, and a second copy of one takes no room.
            edit.put(target, content, mtime_ns=mtime_ns, mode=mode, created_ns=mtime_ns)
            self._cache.put(status, content, read_ns)

        self._add(source, step)

    def make_directory(self, target: str, *, source: str = "", parents: bool = False) -> None:
        """Make a folder."""
        self._add(source, lambda edit: edit.make_directory(target, parents=parents))

    def make_symlink(self, source: str, target: str, link: str, mtime_ns: int) -> None:
        """Make a symbolic link."""
        self._add(source, lambda edit: edit.make_symlink(target, link, mtime_ns=mtime_ns))

    def set_attributes(
        self, source: str, target: str, mtime_ns: int, mode: int, *, is_new: bool = False
    ) -> None:
        """Give a path its time and mode; one that is `is_new` its time of creation too."""
        created_ns = mtime_ns if is_new else None
        self._add(
            source,
            lambda edit: edit.set_properties(
                target, mtime_ns=mtime_ns, mode=mode, created_ns=created_ns
            ),
        )

    def remove(self, source: str, target: str) -> None:
        """Remove a path with everything below it."""
        self._add(source, lambda edit: edit.remove(target))

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
        self._commit(self._pending)
        self._pending = []
        self._cache.flush()

    def _add(self, source: str, step: Step) -> None:
        now = time.monotonic()
        if not self._pending:
            self._deadline = now + SECONDS_LIMIT
        self._pending.append(_Pending(source, step))
        if len(self._pending) >= OPERATIONS_LIMIT or now > self._deadline:
            self.commit()

    def _commit(self, pending: list[_Pending]) -> None:
        """Commit all, or find by halves which path it is that cannot be done, and do the others."""
        try:
            with self._volume.edit(author=self._author) as edit:
                for _, step in pending:
                    step(edit)
        except _OF_ONE_PATH as error:
            if len(pending) == 1:
                self.problem(pending[0].source, error)
                return
            middle = len(pending) // 2
            self._commit(pending[:middle])
            self._commit(pending[middle:])
