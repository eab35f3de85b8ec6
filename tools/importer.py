"""Copying a directory tree into a volume: walk both in step, decide, store, commit in batches.

Source and volume list names in the same order, so that the two are merged folder by folder and
nothing is held but the folders on the way down. What is there and equal is left alone. A run that
was cut short is finished by the next one: what was committed is there, and then it is equal.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import cas
from tools.import_batch import Batch
from tools.import_plan import Pair, Wish, decide, merge
from tools.output import Progress
from tools.small_files import SMALL_SIZE
from tools.source_tree import (
    Excluded,
    StoredFile,
    list_directory,
    look_up,
    open_directory,
    open_top,
    read_pieces,
    read_small,
    special_kind,
    store_descriptor,
    store_file,
)
from tools.stat_cache import StatCache

DEPTH_LIMIT: Final = 255
"""Folders within folders that a volume can hold."""

_NO_MORE_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True)
class Choices:
    """What the user asked for, beyond source and target.

    `skip_directory` is the device and inode of a directory that is never walked into: the
    repository itself.
    """

    excluded: Excluded
    one_file_system: bool = False
    delete: bool = False
    dry_run: bool = False
    skip_directory: tuple[int, int] | None = None


@dataclass
class _Folder:
    """A folder on the way down: open in the source, with its pairs still to be visited."""

    descriptor: int
    source: str
    target: str
    status: os.stat_result
    existing: cas.Entry | None
    pairs: Iterator[Pair]
    handles: ExitStack
    is_touched: bool = field(default=False)
    """Whether a name came, went or was replaced, so that the folder's time is set anew."""


class _Item(NamedTuple):
    """One name of the source: where it is, what it is, what the volume has to compare it with.

    `is_replacement` tells that something of another kind is removed first.
    """

    parent: int
    name: str
    source: str
    target: str
    status: os.stat_result
    existing: cas.Entry | None
    is_replacement: bool


class Importer:
    """One import into one volume. Used by one thread, once.

    Args:
        volume: where to.
        batch: collects the operations, commits them, reports problems.
        cache: what files held the last time.
        choices: what the user asked for.
        progress: told of every file.
    """

    def __init__(
        self,
        volume: cas.Volume,
        batch: Batch,
        cache: StatCache,
        choices: Choices,
        progress: Progress,
    ) -> None:
        self._volume = volume
        self._batch = batch
        self._cache = cache
        self._choices = choices
        self._progress = progress
        self._totals = batch.totals
        self._device = 0

    def import_directory(self, source: Path, target: str) -> None:
        """Bring everything below a directory into a folder of the volume.

        Raises:
            OSError: the directory itself cannot be opened.
            cas.CasError: the store failed or is full, or the target is a file.
        """
        with self._volume.view() as view:
            existing = view.get(target)
        if existing is not None and not existing.is_directory:
            raise cas.ConflictError(f"{target!r} is a file in the volume, and a directory outside")
        descriptor = open_top(source)
        self._device = os.fstat(descriptor).st_dev
        if existing is None:
            self._make_directory("", target, parents=True)
        stack = [self._enter(descriptor, "", target, existing)]
        try:
            while stack:
                pair = next(stack[-1].pairs, None)
                if pair is None:
                    self._leave(stack.pop())
                    continue
                below = self._visit(stack[-1], pair, len(stack))
                if below is not None:
                    stack.append(below)
        finally:
            for folder in stack:
                folder.handles.close()

    def import_file(self, source: Path, target: str) -> None:
        """Bring one file, following links, to a path of the volume.

        Raises:
            OSError: it cannot be read.
            cas.CasError: it is no regular file, or cannot be stored.
        """
        with self._volume.view() as view:
            existing = view.get(target)
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            kind = special_kind(status)
            if kind is not None:
                raise cas.InvalidError(f"{str(source)!r} is {kind}, which cannot be stored")
            if decide(status, existing, delete=self._choices.delete) is not Wish.BRING:
                raise cas.ConflictError(f"{target!r} is no file in the volume; remove it first")
            item = _Item(
                -1, source.name, str(source), target, status, existing, is_replacement=False
            )
            if existing is None and "/" in target:
                self._batch.make_directory(target.rpartition("/")[0], parents=True)
            self._bring_file(item, descriptor)
        finally:
            os.close(descriptor)

    def _enter(
        self, descriptor: int, source: str, target: str, existing: cas.Entry | None
    ) -> _Folder:
        """Take over an open directory and prepare its pairs."""
        handles = ExitStack()
        handles.callback(os.close, descriptor)
        there: Iterator[tuple[str, cas.Entry]] = iter(())
        names: list[str] = []
        try:
            names = list_directory(descriptor)
            if existing is not None:
                there = handles.enter_context(self._volume.view()).list(target)
        except cas.CasError:
            handles.close()
            raise
        except OSError as error:
            # Without the source's names, what the volume has is not compared, nor removed.
            self._batch.problem(source, error)
        status = os.fstat(descriptor)
        return _Folder(descriptor, source, target, status, existing, merge(names, there), handles)

    def _leave(self, folder: _Folder) -> None:
        """Give a folder its time and mode, after all that changed them is done."""
        folder.handles.close()
        status, existing = folder.status, folder.existing
        wanted = (status.st_mtime_ns, stat.S_IMODE(status.st_mode))
        if existing is None or folder.is_touched:
            is_new = existing is None
            self._batch.set_attributes(folder.source, folder.target, *wanted, is_new=is_new)
        elif (existing.mtime_ns, existing.mode) != wanted:
            self._batch.set_attributes(folder.source, folder.target, *wanted)
            self._batch.note("set", folder.source)
            self._totals.attributes_set += 1

    def _visit(self, folder: _Folder, pair: Pair, depth: int) -> _Folder | None:
        """Handle one name; return the folder to go down into, if it is one."""
        name, is_outside, existing = pair
        source = f"{folder.source}/{name}" if folder.source else name
        target = f"{folder.target}/{name}" if folder.target else name
        try:
            status = look_up(folder.descriptor, name) if is_outside else None
            if self._is_excluded(source, status, existing):
                self._totals.excluded += 1
                return None
            if status is None:
                if self._choices.delete:
                    self._remove(folder, source, target)
                    self._batch.note("remove", source)
                    self._totals.removed += 1
                return None
            wish = decide(status, existing, delete=self._choices.delete)
            if wish is Wish.REFUSE:
                self._refuse(source, status)
                return None
            is_replacement = wish is Wish.REPLACE
            if is_replacement:
                self._remove(folder, source, target)
                existing = None
            item = _Item(folder.descriptor, name, source, target, status, existing, is_replacement)
            folder.is_touched = folder.is_touched or existing is None
            return self._bring(item, depth)
        except OSError as error:
            if isinstance(error, cas.CasError) or error.errno in _NO_MORE_FILES:
                raise
            self._batch.problem(source, error)
            return None

    def _is_excluded(
        self, source: str, status: os.stat_result | None, existing: cas.Entry | None
    ) -> bool:
        if status is not None:
            is_directory = stat.S_ISDIR(status.st_mode)
        else:
            is_directory = existing is not None and existing.is_directory
        return self._choices.excluded.matches(source, is_directory=is_directory)

    def _refuse(self, source: str, status: os.stat_result) -> None:
        kind = special_kind(status)
        if kind is not None:
            self._batch.refuse(source, f"it is {kind}, which cannot be stored")
        else:
            reason = "a folder that is not empty has this name in the volume; see --delete"
            self._batch.refuse(source, reason)

    def _bring(self, item: _Item, depth: int) -> _Folder | None:
        if stat.S_ISDIR(item.status.st_mode):
            return self._bring_directory(item, depth)
        if stat.S_ISLNK(item.status.st_mode):
            self._bring_symlink(item)
        else:
            self._bring_file(item)
        return None

    def _bring_directory(self, item: _Item, depth: int) -> _Folder | None:
        if depth >= DEPTH_LIMIT:
            self._batch.refuse(item.source, f"more than {DEPTH_LIMIT} folders within folders")
            return None
        descriptor = open_directory(item.parent, item.name)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == self._choices.skip_directory:
            os.close(descriptor)
            self._batch.refuse(item.source, "it is the repository itself")
            return None
        if item.existing is None:
            self._make_directory(item.source, item.target)
        below = self._enter(descriptor, item.source, item.target, item.existing)
        if self._choices.one_file_system and status.st_dev != self._device:
            below.pairs = iter(())
            self._totals.mount_points += 1
        return below

    def _bring_symlink(self, item: _Item) -> None:
        link = os.readlink(item.name, dir_fd=item.parent)
        wanted = (os.fsencode(link), item.status.st_mtime_ns)
        existing = item.existing
        if existing is not None and (existing.content, existing.mtime_ns) == wanted:
            self._totals.unchanged += 1
        else:
            self._batch.make_symlink(item.source, item.target, link, item.status.st_mtime_ns)
            self._count(item)
        self._progress.advance(1, 0)

    def _bring_file(self, item: _Item, descriptor: int | None = None) -> None:
        """Bring a regular file, which may be open already."""
        existing, status = item.existing, item.status
        known = self._cache.get(status) if existing is not None else None
        if known is not None and existing is not None and _has_content(existing, known):
            self._keep(item, existing, status)
            self._progress.advance(1, status.st_size)
        elif self._choices.dry_run:
            self._would_read(item)
        else:
            self._batch.before_file(status.st_size)
            read_ns = self._cache.now_ns()
            if descriptor is None:
                if existing is None and self._bring_small(item, read_ns):
                    return
                stored = store_file(self._volume, item.parent, item.name, self._copy)
            else:
                stored = store_descriptor(self._volume, descriptor, self._copy)
            self._place(item, stored, read_ns)

    def _bring_small(self, item: _Item, read_ns: int) -> bool:
        """Bring a new file in a bundle with others, if it is small enough for that."""
        if item.status.st_size > SMALL_SIZE:
            return False
        found = read_small(item.parent, item.name, SMALL_SIZE)
        if found is None:
            return False
        content, status = found
        file = self._batch.small_files.add(content)
        self._batch.put_small(item.source, item.target, file, status, read_ns)
        self._totals.files_read += 1
        self._totals.bytes_read += len(content)
        self._progress.advance(1, len(content))
        self._count(item)
        return True

    def _would_read(self, item: _Item) -> None:
        if item.existing is None:
            self._count(item)
        else:
            self._totals.undecided += 1
            self._batch.note("compare", item.source)
        self._progress.advance(1, item.status.st_size)

    def _place(self, item: _Item, stored: StoredFile, read_ns: int) -> None:
        """Have the path hold what was read."""
        self._totals.files_read += 1
        self._progress.advance(1, 0)
        if item.existing is not None and _has_content(item.existing, stored.content):
            self._keep(item, item.existing, stored.status)
        else:
            self._batch.put(item.source, item.target, stored)
            self._count(item)
        if stored.is_settled:
            self._cache.put(stored.status, stored.content, read_ns)
        else:
            self._batch.refuse(item.source, "it changed while it was read; stored as last read")

    def _keep(self, item: _Item, existing: cas.Entry, status: os.stat_result) -> None:
        """Leave the content that is there; set time and mode where they differ."""
        wanted = (status.st_mtime_ns, stat.S_IMODE(status.st_mode))
        if (existing.mtime_ns, existing.mode) == wanted:
            self._totals.unchanged += 1
        else:
            self._batch.set_attributes(item.source, item.target, *wanted)
            self._batch.note("set", item.source)
            self._totals.attributes_set += 1

    def _copy(self, writer: cas.FileWriter, descriptor: int, expected_size: int) -> int:
        size = 0
        for piece in read_pieces(descriptor, expected_size):
            writer.write(piece)
            size += len(piece)
            self._progress.advance(0, len(piece))
        self._totals.bytes_read += size
        return size

    def _make_directory(self, source: str, target: str, *, parents: bool = False) -> None:
        self._batch.make_directory(target, source=source, parents=parents)
        self._batch.note("add", source)
        self._totals.directories_added += 1

    def _remove(self, folder: _Folder, source: str, target: str) -> None:
        self._batch.remove(source, target)
        folder.is_touched = True

    def _count(self, item: _Item) -> None:
        if item.existing is None and not item.is_replacement:
            self._totals.added += 1
            self._batch.note("add", item.source)
        else:
            self._totals.replaced += 1
            self._batch.note("replace", item.source)


def _has_content(entry: cas.Entry, content: cas.Content) -> bool:
    return entry.is_file and (entry.kind, entry.content) == (content.kind, content.id)
