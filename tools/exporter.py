"""Copying a folder of a volume to a directory of this machine, byte for byte.

A file that is damaged in the store is named and left out, and the rest goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cas
from tools.entries import link_target
from tools.exits import explain
from tools.output import Progress
from tools.target_tree import TargetTree, check_name, concerns_all, finish_directory


class Reporter(Protocol):
    """Who is told of single files."""

    def problem(self, path: str, reason: str) -> None:
        """Take note of a path that was not written."""

    def action(self, action: str, path: str) -> None:
        """Take note of a path that was written: `write`; in a dry run also `overwrite`."""


@dataclass
class Written:
    """What an export did, for its summary."""

    files: int = 0
    folders: int = 0
    symlinks: int = 0
    bytes: int = 0
    problems: int = 0

    def members(self) -> dict[str, int]:
        """Return the totals as the summary's JSON members."""
        return asdict(self)


class _Folder(NamedTuple):
    """A folder on the way down, open on this machine."""

    descriptor: int
    path: str
    entry: cas.Entry
    names: Iterator[tuple[str, cas.Entry]]


class Exporter:
    """One export out of one view. Used by one thread, once."""

    def __init__(
        self, view: cas.View, target: TargetTree, reporter: Reporter, progress: Progress
    ) -> None:
        self._view = view
        self._target = target
        self._reporter = reporter
        self._progress = progress
        self.written = Written()

    def export_directory(self, path: str, entry: cas.Entry, descriptor: int) -> None:
        """Write what is in a folder of the volume into an open directory, which is closed.

        Raises:
            OSError: the disk is full or fails.
            cas.CasError: the store fails; damage of single files is reported instead.
        """
        stack = [_Folder(descriptor, path, entry, self._view.list(path))]
        try:
            while stack:
                folder = stack[-1]
                try:
                    found = next(folder.names, None)
                except cas.IntegrityError as error:
                    self._problem(folder.path, error)
                    found = None
                if found is None:
                    self._leave(stack.pop())
                    continue
                below = self._write(folder, *found)
                if below is not None:
                    stack.append(below)
        finally:
            for folder in stack:
                os.close(folder.descriptor)

    def export_file(self, path: str, entry: cas.Entry, destination: Path) -> None:
        """Write one file or symlink of the volume to a path of this machine."""
        parent = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._write_leaf(parent, destination.name, path, entry)
        finally:
            os.close(parent)

    def _leave(self, folder: _Folder) -> None:
        try:
            finish_directory(folder.descriptor, folder.entry.mtime_ns, folder.entry.mode)
        except OSError as error:
            self._problem(folder.path, error)
        finally:
            os.close(folder.descriptor)

    def _write(self, folder: _Folder, name: str, entry: cas.Entry) -> _Folder | None:
        """Write one name; return the folder to go down into, if it is one."""
        path = f"{folder.path}/{name}" if folder.path else name
        try:
            check_name(name)
            if not entry.is_directory:
                self._write_leaf(folder.descriptor, name, path, entry)
                return None
            names = self._view.list(path)
            descriptor = self._target.make_directory(folder.descriptor, name)
        except (cas.IntegrityError, cas.PurgedError) as error:
            self._problem(path, error)
            return None
        except OSError as error:
            if isinstance(error, cas.CasError) or concerns_all(error):
                raise
            self._problem(path, error)
            return None
        self.written.folders += 1
        return _Folder(descriptor, path, entry, names)

    def _write_leaf(self, parent: int, name: str, path: str, entry: cas.Entry) -> None:
        if entry.kind is cas.EntryKind.SYMLINK:
            self._target.write_symlink(parent, name, link_target(entry), entry.mtime_ns)
            self.written.symlinks += 1
        elif entry.is_file:
            with self._view.open(entry, path) as reader:
                pieces = self._counted(reader)
                self._target.write_file(parent, name, pieces, entry.mtime_ns, entry.mode)
            self.written.files += 1
        else:
            raise cas.IntegrityError("it is neither file, folder nor symlink")
        self._reporter.action("write", path)
        self._progress.advance(1, 0)

    def _counted(self, reader: cas.FileReader) -> Iterator[bytes | memoryview]:
        for piece in reader.chunks():
            yield piece
            self.written.bytes += len(piece)
            self._progress.advance(0, len(piece))

    def _problem(self, path: str, error: OSError | cas.CasError) -> None:
        self.written.problems += 1
        reason = error.strerror if isinstance(error, OSError) else None
        self._reporter.problem(path, reason or explain(error))
