"""Writing files, links and folders into a directory of this machine, never through a symlink.

Everything is done by name in a directory that was opened before. A file is written under a
temporary name and renamed when it is whole, so that nobody ever sees half of it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import cas
from tools.exits import Exit, Failure

TEMPORARY_PREFIX: Final = ".casdav-export-"
"""How the names of unfinished files begin; after a crash they can be removed."""

_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_OF_ALL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
)


class InTheWayError(OSError):
    """Something is there that may not be replaced."""


def concerns_all(error: OSError) -> bool:
    """Tell whether the error is of the disk or the process: no other file would fare better."""
    return error.errno in _OF_ALL


def check_name(name: str) -> None:
    """Raise unless the name stays in its directory; a sound volume holds no other.

    Raises:
        IntegrityError: it is empty, `.` or `..`, or holds `/` or NUL.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise cas.IntegrityError(f"{name!r} cannot be a name")


def open_destination(path: Path, *, overwrite: bool) -> int:
    """Open the directory that the user named, made if need be; return its descriptor.

    Raises:
        Failure: it is not empty, and nothing may be overwritten.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not overwrite and any(path.iterdir()):
        raise Failure(
            f"{str(path)!r} is not empty; add --overwrite to write into it, or name another",
            Exit.CONFLICT,
        )
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


class TargetTree:
    """How names are made in open directories.

    Args:
        overwrite: replace files and links that are there.
        keep_set_id: give files their set-user-id and set-group-id bits. Owners are not kept, so
            such a file would run as whoever exports it.
    """

    def __init__(self, *, overwrite: bool, keep_set_id: bool) -> None:
        self._overwrite = overwrite
        self._keep_set_id = keep_set_id
        self._temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"

    def make_directory(self, parent: int, name: str) -> int:
        """Make a directory, or take the one that is there; return its descriptor.

        Raises:
            InTheWayError: a file or link has the name.
        """
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                if not self._overwrite:
                    raise InTheWayError("a file has this name already") from None
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            # An earlier export left it read-only; it is so again when it is finished.
            os.fchmod(descriptor, mode | stat.S_IRWXU)
        return descriptor

    def write_file(
        self,
        parent: int,
        name: str,
        pieces: Iterable[bytes | memoryview],
        mtime_ns: int,
        mode: int,
    ) -> None:
        """Write a file with its time and mode.

        Raises:
            InTheWayError: the name is taken.
            Exception: whatever the pieces raise; nothing is left then.
        """
        self._check(parent, name)
        descriptor = os.open(self._temporary, _CREATE, 0o600, dir_fd=parent)
        try:
            try:
                for piece in pieces:
                    _write_all(descriptor, piece)
                os.fchmod(descriptor, mode if self._keep_set_id else mode & ~_SET_ID)
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(descriptor)
            self._rename(parent, name)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=parent)
            raise

    def write_symlink(self, parent: int, name: str, target: str, mtime_ns: int) -> None:
        """Make a symlink with its time.

        Raises:
            InTheWayError: the name is taken.
        """
        self._check(parent, name)
        os.symlink(target, self._temporary, dir_fd=parent)
        try:
            os.utime(self._temporary, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)
            self._rename(parent, name)
        except BaseException:
            os.unlink(self._temporary, dir_fd=parent)
            raise

    def _check(self, parent: int, name: str) -> None:
        """Raise where something is that may not be replaced.

        Without overwriting this also finds two names that the disk takes for one, as disks do
        that fold case.
        """
        if self._overwrite:
            return  # Renaming onto a directory fails by itself.
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=parent, follow_symlinks=False)
            raise InTheWayError("something has this name already")

    def _rename(self, parent: int, name: str) -> None:
        try:
            os.rename(self._temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except IsADirectoryError:
            raise InTheWayError("a folder has this name already") from None


def finish_directory(descriptor: int, mtime_ns: int, mode: int) -> None:
    """Give an open directory its time and mode, after all that is in it was made."""
    os.fchmod(descriptor, mode)
    os.utime(descriptor, ns=(mtime_ns, mtime_ns))


def _write_all(descriptor: int, piece: bytes | memoryview) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
