"""Copying a directory tree into a volume: walk both in step, decide, store, commit in batches.

Source and volume list names in the same order, so that the two are merged folder by folder and
nothing is held but the folders on the way down. What is there and equal is left alone; a folder
that is not there is made aside and put as a whole. A run that was cut short is finished by the
next one: what was committed is there, and then it is equal.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cas
from tools.import_batch import Batch
from tools.import_items import Item, ItemImporter
from tools.import_places import ExistingFolder, Instead, NewTree, Place
from tools.import_plan import Doomed, Pair, Wish, decide, doomed, merge
from tools.output import Progress
from tools.source_tree import (
    Excluded,
    list_directory,
    look_up,
    open_directory,
    open_top,
    special_kind,
)
from tools.stat_cache import StatCache

DEPTH_LIMIT: Final = 255
"""Folders within folders that a volume can hold."""

_WALKS: Final = 3
"""How often a source is walked, at most, when others change what is being made there."""
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
    """A folder on the way down: open in the source, with its pairs still to be visited.

    `tree` is what it is made in, if the volume lacks it.
    """

    descriptor: int
    source: str
    target: str
    status: os.stat_result
    existing: cas.Entry | None
    tree: NewTree | None
    place: Place
    pairs: Iterator[Pair]
    handles: ExitStack
    is_touched: bool = field(default=False)
    """Whether a name came, went or was replaced, so that the folder's time is set anew."""

    def next_pair(self) -> Pair | None:
        """Return the next pair to visit; None when all were, or when it would be in vain."""
        if self.tree is not None and self.tree.is_over:
            return None
        return next(self.pairs, None)


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
        self._choices = choices
        self._items = ItemImporter(volume, batch, cache, progress, dry_run=choices.dry_run)
        self._totals = batch.totals
        self._device = 0

    def import_directory(self, source: Path, target: str) -> None:
        """Bring everything below a directory into a folder of the volume, and commit.

        Where somebody else changes a folder while it is made, all is gone over again; what is
        there by then counts as unchanged.

        Raises:
            OSError: the directory itself cannot be opened.
            cas.CasError: the store failed or is full, the target is a file or lies in one, or
                the source is the repository itself.
        """
        overtaken: list[NewTree] = []
        for _ in range(_WALKS):
            self._walk(source, target)
            self._batch.commit()
            overtaken, self._batch.overtaken = self._batch.overtaken, []
            if not overtaken:
                break
        for tree in overtaken:
            self._batch.refuse(tree.source, "it changes in the volume while it is imported")

    def _walk(self, source: Path, target: str) -> None:
        existing = self._existing(target)
        if existing is not None and not existing.is_directory:
            raise cas.ConflictError(f"{target!r} is a file in the volume, and a directory outside")
        descriptor = open_top(source)
        status = os.fstat(descriptor)
        if self._is_repository(status):
            os.close(descriptor)
            raise cas.InvalidError(f"{str(source)!r} is the repository itself")
        self._device = status.st_dev
        if existing is None:
            self._batch.make_parents(target)
        stack = [self._enter(descriptor, "", target, existing)]
        try:
            while stack:
                pair = stack[-1].next_pair()
                if pair is None:
                    self._leave(stack.pop())
                    continue
                below = self._visit(stack[-1], pair)
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
        existing = self._existing(target)
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            kind = special_kind(status)
            if kind is not None:
                raise cas.InvalidError(f"{str(source)!r} is {kind}, which cannot be stored")
            if decide(status, existing, delete=self._choices.delete) is not Wish.BRING:
                raise cas.ConflictError(f"{target!r} is no file in the volume; remove it first")
            folder, _, name = target.rpartition("/")
            item = Item(
                parent=-1,
                name=name,
                place=ExistingFolder(folder),
                source=str(source),
                target=target,
                status=status,
                existing=existing,
                replaces=None,
            )
            if existing is None:
                self._batch.make_parents(target)
            self._items.bring_file(item, descriptor)
            self._batch.commit()
        finally:
            os.close(descriptor)

    def _existing(self, target: str) -> cas.Entry | None:
        """Return what is at the target. Raises ConflictError where that lies in a file."""
        with self._volume.view() as view:
            existing = view.get(target)
            around = target.rpartition("/")[0]
            while existing is None and around:
                entry = view.get(around)
                if entry is not None and not entry.is_directory:
                    raise cas.ConflictError(f"{around!r} is a file in the volume, not a folder")
                around = around.rpartition("/")[0]
        return existing

    def _is_repository(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) == self._choices.skip_directory

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
                view = handles.enter_context(self._volume.view())
                existing = view.get(target)  # somebody may have removed it meanwhile
                there = view.list(target) if existing is not None else there
        except cas.CasError:
            handles.close()
            raise
        except OSError as error:
            # Without the source's names, what the volume has is not compared, nor removed.
            self._batch.problem(source, error)
        status = os.fstat(descriptor)
        tree = None
        place: Place = ExistingFolder(target)
        if existing is None:
            tree = self._batch.begin_folder(source, target, status)
            place = tree.folder
            self._batch.note("add", source)
            self._totals.directories_added += 1
        pairs = merge(names, there)
        return _Folder(descriptor, source, target, status, existing, tree, place, pairs, handles)

    def _leave(self, folder: _Folder) -> None:
        """Give a folder its time and mode, after all that changed them is done."""
        folder.handles.close()
        if folder.tree is not None:
            self._batch.end_folder(folder.source, folder.tree)
            return
        wanted, existing = self._batch.attributes(folder.source, folder.status), folder.existing
        if folder.is_touched:
            self._batch.set_attributes(folder.source, folder.target, wanted)
        elif existing is not None:
            self._items.keep_attributes(folder.source, folder.target, existing, wanted)

    def _visit(self, folder: _Folder, pair: Pair) -> _Folder | None:
        """Handle one name; return the folder to go down into, if it is one."""
        name, is_outside, existing = pair
        source = f"{folder.source}/{name}" if folder.source else name
        target = f"{folder.target}/{name}" if folder.target else name
        try:
            status = look_up(folder.descriptor, name) if is_outside else None
            if self._is_excluded(source, status, existing):
                self._totals.excluded += 1
            elif status is not None:
                return self._decide(folder, name, source, target, status, existing)
            elif self._choices.delete:
                self._remove(folder, source, target, existing)
        except cas.ConflictError as error:  # somebody has put a file in a folder's place
            self._batch.problem(source, error)
        except OSError as error:
            if isinstance(error, cas.CasError) or error.errno in _NO_MORE_FILES:
                raise
            self._batch.problem(source, error)
        return None

    def _decide(
        self,
        folder: _Folder,
        name: str,
        source: str,
        target: str,
        status: os.stat_result,
        existing: cas.Entry | None,
    ) -> _Folder | None:
        """Handle a name that the source has; return the folder to go down into, if it is one."""
        wish = decide(status, existing, delete=self._choices.delete)
        if wish is Wish.REFUSE:
            self._refuse(source, status)
            return None
        place = folder.place
        old: Doomed | None = None
        if wish is Wish.REPLACE:
            gone = self._doomed(source, target, existing)
            if [part.target for part in gone] != [target]:
                reason = "a folder that holds what is excluded has this name in the volume"
                self._batch.refuse(source, reason)
                return None
            old, existing = gone[0], None
            place = Instead(place, old)
        item = Item(folder.descriptor, name, place, source, target, status, existing, old)
        folder.is_touched = folder.is_touched or existing is None
        return self._bring(item)

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

    def _bring(self, item: Item) -> _Folder | None:
        if stat.S_ISDIR(item.status.st_mode):
            return self._bring_directory(item)
        if stat.S_ISLNK(item.status.st_mode):
            self._items.bring_symlink(item)
        else:
            self._items.bring_file(item)
        return None

    def _bring_directory(self, item: Item) -> _Folder | None:
        if item.target.count("/") + 1 >= DEPTH_LIMIT:
            self._batch.refuse(item.source, f"more than {DEPTH_LIMIT} folders within folders")
            return None
        descriptor = open_directory(item.parent, item.name)
        status = os.fstat(descriptor)
        if self._is_repository(status):
            os.close(descriptor)
            self._batch.refuse(item.source, "it is the repository itself")
            return None
        if item.replaces is not None:
            self._batch.remove(item.replaces)
        below = self._enter(descriptor, item.source, item.target, item.existing)
        if self._choices.one_file_system and status.st_dev != self._device:
            below.pairs = iter(())
            self._totals.mount_points += 1
        return below

    def _doomed(self, source: str, target: str, entry: cas.Entry | None) -> list[Doomed]:
        """Return what goes with a path that was found with this entry."""
        if entry is None:
            return []
        with self._volume.view() as view:
            if view.get(target) == entry:
                return doomed(view, source, target, entry, self._choices.excluded)
        return [Doomed(source, target, entry.content)]  # the commit will find that it has changed

    def _remove(self, folder: _Folder, source: str, target: str, entry: cas.Entry | None) -> None:
        """Remove a path, or what within it is not excluded."""
        for gone in self._doomed(source, target, entry):
            self._batch.remove(gone)
            self._batch.note("remove", gone.source)
            self._totals.removed += 1
            folder.is_touched = folder.is_touched or gone.target == target
