"""Reading a directory tree of this machine, relative to open directories.

Every name is looked up in the directory that was opened, and no symlink is followed below the
top: whoever swaps a folder for a link meanwhile leads the reader nowhere.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import cas
from tools.exits import Exit, Failure

PIECE_SIZE: Final = 1024 * 1024
"""Bytes that are read from a file at once."""

_ATTEMPTS: Final = 2
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_SPECIAL: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}

Reader: TypeAlias = Callable[[cas.FileWriter, int, int], int]
"""Copies an open file to a writer, given its descriptor and expected size; returns its size."""


@dataclass(frozen=True)
class StoredFile:
    """The content of a file as it went into the store.

    `writer` is what stored it: the edit that puts the content relies on its packs. `status` is
    from before the last reading. `is_settled` tells whether the file stayed as it was meanwhile.
    """

    content: cas.Content
    writer: cas.FileWriter
    status: os.stat_result
    is_settled: bool


def open_top(path: Path) -> int:
    """Open the directory that the user named, following links; return its descriptor."""
    return os.open(path, _OPEN_DIRECTORY)


def open_directory(parent: int, name: str) -> int:
    """Open a directory in an open one, never through a link; return its descriptor."""
    return os.open(name, _OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def list_directory(descriptor: int) -> list[str]:
    """Return the names in an open directory, in the order of their bytes, as volumes list."""
    names = os.listdir(descriptor)
    if all(map(str.isascii, names)):
        names.sort()  # the same order, found faster
    else:
        names.sort(key=os.fsencode)
    return names


def look_up(parent: int, name: str) -> os.stat_result:
    """Return what a name in an open directory is; of a link, the link itself."""
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


def special_kind(status: os.stat_result) -> str | None:
    """Return in words what cannot be stored: a socket, a pipe, a device. None for all else."""
    return _SPECIAL.get(stat.S_IFMT(status.st_mode))


def store_file(volume: cas.Volume, parent: int, name: str, read: Reader) -> StoredFile:
    """Store the content of a file in an open directory.

    A file that changes while it is read is read once more.

    Raises:
        OSError: it cannot be read, or is no regular file any more.
        cas.CasError: it cannot be stored.
    """
    descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
    try:
        return store_descriptor(volume, descriptor, read)
    finally:
        os.close(descriptor)


def store_descriptor(volume: cas.Volume, descriptor: int, read: Reader) -> StoredFile:
    """Store the content of an open file; see `store_file`."""
    attempt = 0
    while True:
        attempt += 1
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError("it is no regular file any more")
        writer = volume.upload()  # no `with` block: it is put later, by another edit
        try:
            size = read(writer, descriptor, before.st_size)
            content = writer.finish()
        except BaseException:
            writer.abort()
            raise
        after = os.fstat(descriptor)
        is_settled = size == before.st_size and _stamp(before) == _stamp(after)
        if is_settled or attempt == _ATTEMPTS:
            return StoredFile(content, writer, before, is_settled)
        os.lseek(descriptor, 0, os.SEEK_SET)


def read_small(parent: int, name: str, before: os.stat_result) -> bytes | None:
    """Return the bytes of a small file in an open directory, which was as `before` says.

    Returns:
        None where it has changed since, also while it was read: then `store_file` is the way.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
    try:
        content = os.read(descriptor, before.st_size + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    is_same = os.path.samestat(before, after) and _stamp(before) == _stamp(after)
    return content if is_same and len(content) == before.st_size else None


def read_pieces(descriptor: int, expected_size: int) -> Iterator[bytes]:
    """Yield the content of an open file from where it stands.

    A piece that is shorter than asked for is the last one; so a small file takes one call.
    """
    wanted = min(expected_size + 1, PIECE_SIZE)
    while True:
        piece = os.read(descriptor, wanted)
        if piece:
            yield piece
        if len(piece) < wanted:
            return
        wanted = PIECE_SIZE


def read_patterns(paths: tuple[Path, ...]) -> list[str]:
    """Return the lines of files with patterns.

    Raises:
        Failure: one cannot be read.
    """
    lines: list[str] = []
    for path in paths:
        try:
            lines += path.read_text("utf-8", "surrogateescape").split("\n")
        except OSError as error:
            raise Failure(f"cannot read {str(path)!r}: {error.strerror}", Exit.USAGE) from error
    return lines


class Excluded:
    """Which paths are left out: patterns with the meaning they have in a `.gitignore`."""

    def __init__(self, patterns: list[str]) -> None:
        self._match: Callable[[str], bool] | None = None
        if patterns:
            from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, rarely needed

            self._match = GitIgnoreSpec.from_lines(map(_matchable, patterns)).match_file

    @property
    def has_patterns(self) -> bool:
        """Whether anything can be left out."""
        return self._match is not None

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Tell whether the path, relative to the top, is left out."""
        if self._match is None:
            return False
        return self._match(_matchable(f"{path}/" if is_directory else path))


def _matchable(text: str) -> str:
    """Return a path or pattern without line breaks, which the matching would trip over.

    What stands in for them is in no name: of surrogates, file names have only U+DC80 to U+DCFF.
    """
    return text.replace("\n", "\udc0a")


def count_tree(top: Path, excluded: Excluded, stop: threading.Event) -> tuple[int, int] | None:
    """Return how many files there are below a directory and their bytes, for progress alone.

    Returns:
        files and bytes; None when `stop` was set before the end.
    """
    files = size = 0
    for status in _all_below(top, excluded):
        if stop.is_set():
            return None
        if not stat.S_ISDIR(status.st_mode):
            files += 1
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return files, size


def _all_below(top: Path, excluded: Excluded) -> Iterator[os.stat_result]:
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(top / folder) as items:
                for item in items:
                    path = f"{folder}/{item.name}" if folder else item.name
                    is_directory = item.is_dir(follow_symlinks=False)
                    if excluded.matches(path, is_directory=is_directory):
                        continue
                    if is_directory:
                        pending.append(path)
                    yield item.stat(follow_symlinks=False)
        except OSError:
            continue  # The import itself reports what cannot be read.


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
