"""Bringing one file or link: whether it is there already, how it is read, what is counted."""

from __future__ import annotations

import os
from typing import NamedTuple

import cas
from tools.import_batch import Batch
from tools.import_places import Attributes, Place
from tools.import_plan import Doomed
from tools.output import Progress
from tools.small_files import SMALL_SIZE
from tools.source_tree import StoredFile, read_pieces, read_small, store_descriptor, store_file
from tools.stat_cache import StatCache


class Item(NamedTuple):
    """One name of the source: where it is, what it is, what the volume has to compare it with.

    `replaces` is something of another kind, which goes when the new one comes.
    """

    parent: int
    name: str
    place: Place
    source: str
    target: str
    status: os.stat_result
    existing: cas.Entry | None
    replaces: Doomed | None


class ItemImporter:
    """Brings files and links into one volume. Used by one thread.

    Args:
        volume: where to.
        batch: collects the operations, reports problems.
        cache: what files held the last time.
        progress: told of every file.
        dry_run: read nothing and change nothing.
    """

    def __init__(
        self,
        volume: cas.Volume,
        batch: Batch,
        cache: StatCache,
        progress: Progress,
        *,
        dry_run: bool,
    ) -> None:
        self._volume = volume
        self._batch = batch
        self._cache = cache
        self._progress = progress
        self._dry_run = dry_run
        self._totals = batch.totals

    def bring_symlink(self, item: Item) -> None:
        """Bring a symbolic link.

        Raises:
            OSError: it cannot be read.
        """
        link = os.readlink(item.name, dir_fd=item.parent)
        mtime_ns, _ = self._batch.attributes(item.source, item.status)
        wanted = (os.fsencode(link), mtime_ns)
        existing = item.existing
        if existing is not None and (existing.content, existing.mtime_ns) == wanted:
            self._totals.unchanged += 1
        else:
            self._batch.put_symlink(item.source, item.place, item.name, link, mtime_ns)
            self._count(item)
        self._progress.advance(1, 0)

    def bring_file(self, item: Item, descriptor: int | None = None) -> None:
        """Bring a regular file, which may be open already.

        Raises:
            OSError: it cannot be read.
            cas.CasError: it cannot be stored.
        """
        existing, status = item.existing, item.status
        known = self._cache.get(status) if existing is not None else None
        if known is not None and existing is not None and _has_content(existing, known):
            self._keep(item, existing, status)
            self._progress.advance(1, status.st_size)
        elif self._dry_run:
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

    def _bring_small(self, item: Item, read_ns: int) -> bool:
        """Bring a new file in a bundle with others, if it is small enough for that."""
        if item.status.st_size > SMALL_SIZE:
            return False
        content = read_small(item.parent, item.name, item.status)
        if content is None:
            return False
        file = self._batch.small_files.add(content)
        self._batch.put_small(item.source, item.place, item.name, file, item.status, read_ns)
        self._totals.files_read += 1
        self._totals.bytes_read += len(content)
        self._progress.advance(1, len(content))
        self._count(item)
        return True

    def _would_read(self, item: Item) -> None:
        if item.existing is None:
            self._count(item)
        else:
            self._totals.undecided += 1
            self._batch.note("compare", item.source)
        self._progress.advance(1, item.status.st_size)

    def _place(self, item: Item, stored: StoredFile, read_ns: int) -> None:
        """Have the path hold what was read."""
        self._totals.files_read += 1
        self._progress.advance(1, 0)
        if item.existing is not None and _has_content(item.existing, stored.content):
            self._keep(item, item.existing, stored.status)
        else:
            is_new = item.existing is None
            self._batch.put(item.source, item.place, item.name, stored, is_new=is_new)
            self._count(item)
        if stored.is_settled:
            self._cache.put(stored.status, stored.content, read_ns)
        else:
            self._batch.refuse(item.source, "it changed while it was read; stored as last read")

    def _keep(self, item: Item, existing: cas.Entry, status: os.stat_result) -> None:
        """Leave the content that is there; set time and mode where they differ."""
        wanted = self._batch.attributes(item.source, status)
        if not self.keep_attributes(item.source, item.target, existing, wanted):
            self._totals.unchanged += 1

    def keep_attributes(
        self, source: str, target: str, existing: cas.Entry, wanted: Attributes
    ) -> bool:
        """Set time and mode where they differ; return whether they did."""
        if (existing.mtime_ns, existing.mode) == wanted:
            return False
        self._batch.set_attributes(source, target, wanted)
        self._batch.note("set", source)
        self._totals.attributes_set += 1
        return True

    def _copy(self, writer: cas.FileWriter, descriptor: int, expected_size: int) -> int:
        size = 0
        for piece in read_pieces(descriptor, expected_size):
            writer.write(piece)
            size += len(piece)
            self._progress.advance(0, len(piece))
        self._totals.bytes_read += size
        return size

    def _count(self, item: Item) -> None:
        if item.existing is None and item.replaces is None:
            self._totals.added += 1
            self._batch.note("add", item.source)
        else:
            self._totals.replaced += 1
            self._batch.note("replace", item.source)


def _has_content(entry: cas.Entry, content: cas.Content) -> bool:
    return entry.is_file and (entry.kind, entry.content) == (content.kind, content.id)
