"""Copying a folder of a volume to a directory of this machine, byte for byte.

A file that is damaged in the store is named and left out, and the rest goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import cas
from tools.entries import link_target
from tools.exits import explain
from tools.export_steps import Action, Bytes, Step, export_steps
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
        opened: list[int | None] = [descriptor]  # None: it could not be made
        try:
            with closing(export_steps(self._view, path, entry)) as steps:
                for step in steps:
                    parent = opened[-1]
                    if step.action is Action.LEAVE:
                        self._leave(opened.pop(), step)
                    elif step.action is Action.ENTER:
                        opened.append(None if parent is None else self._enter(parent, step))
                    elif parent is not None:
                        self._write(parent, step)
        finally:
            for each in opened:
                if each is not None:
                    os.close(each)

    def export_file(self, path: str, entry: cas.Entry, destination: Path) -> None:
        """Write one file or symlink of the volume to a path of this machine."""
        parent = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._write_leaf(parent, destination.name, path, entry)
        finally:
            os.close(parent)

    def _leave(self, descriptor: int | None, step: Step) -> None:
        if descriptor is None:
            return
        try:
            finish_directory(descriptor, step.entry.mtime_ns, step.entry.mode)
        except OSError as error:
            self._problem(step.path, error)
        finally:
            os.close(descriptor)

    def _enter(self, parent: int, step: Step) -> int | None:
        """Make a folder and return it open; None if that cannot be, which is reported."""
        descriptor = None
        with self._reporting(step.path):
            check_name(step.name)
            descriptor = self._target.make_directory(parent, step.name)
            self.written.folders += 1
        return descriptor

    def _write(self, parent: int, step: Step) -> None:
        with self._reporting(step.path):
            if step.damage is not None:
                raise step.damage
            check_name(step.name)
            self._write_leaf(parent, step.name, step.path, step.entry, step.content)

    @contextmanager
    def _reporting(self, path: str) -> Iterator[None]:
        """Report what concerns this path alone; the rest goes on."""
        try:
            yield
        except (cas.IntegrityError, cas.PurgedError) as error:
            self._problem(path, error)
        except OSError as error:
            if isinstance(error, cas.CasError) or concerns_all(error):
                raise
            self._problem(path, error)

    def _write_leaf(
        self, parent: int, name: str, path: str, entry: cas.Entry, content: Bytes | None = None
    ) -> None:
        if entry.kind is cas.EntryKind.SYMLINK:
            self._target.write_symlink(parent, name, link_target(entry), entry.mtime_ns)
            self.written.symlinks += 1
        elif entry.is_file:
            pieces = self._pieces(path, entry) if content is None else iter([content])
            counted = self._counted(pieces)
            self._target.write_file(parent, name, counted, entry.mtime_ns, entry.mode)
            self.written.files += 1
        else:
            raise cas.IntegrityError("it is neither file, folder nor symlink")
        self._reporter.action("write", path)
        self._progress.advance(1, 0)

    def _pieces(self, path: str, entry: cas.Entry) -> Iterator[Bytes]:
        with self._view.open(entry, path) as reader:
            yield from reader.chunks()

    def _counted(self, pieces: Iterator[Bytes]) -> Iterator[Bytes]:
        for piece in pieces:
            yield piece
            self.written.bytes += len(piece)
            self._progress.advance(0, len(piece))

    def _problem(self, path: str, error: OSError | cas.CasError) -> None:
        self.written.problems += 1
        reason = error.strerror if isinstance(error, OSError) else None
        self._reporter.problem(path, reason or explain(error))
