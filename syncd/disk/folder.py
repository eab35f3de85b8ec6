"""The linked folder, opened once: every name is looked up in an open directory, links never.

The server chooses names, and other programs change the folder meanwhile. So a path is never given
to the system as a whole: each folder on the way is opened by its name in the one before, and a
link, another disk or syncd's own folder on the way is an error. Whoever swaps a folder for a link
leads syncd nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from syncd.disk.renames import Name, Renames, UnsupportedError, renames_of_this_system
from syncd.disk.signatures import Signature

STATE_NAME: Final = ".syncd"
"""syncd's own folder at the top of a linked one, on the same file system."""

_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_PARTS: Final = ("tmp", "trash")


class OutsideError(OSError):
    """The path leads out of the folder: through a link, to another disk, into syncd's own folder,
    or by its name.
    """  # noqa: D205 - one sentence


def check_name(name: str) -> None:
    """Raise unless the name stays in its directory.

    Raises:
        OutsideError: it is empty, `.` or `..`, or holds `/` or NUL.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise OutsideError(errno.EINVAL, "this cannot be a name", name)


def split(path: str) -> tuple[str, str]:
    """Return a path's folder (empty for the top) and its last name."""
    folder, _, name = path.rpartition("/")
    return folder, name


class Folder:
    """A linked folder. Thread-safe. A context manager.

    Args:
        root: the folder; links on the way to it are the user's own and are followed.
        renames: the system's renames that do not replace.

    Raises:
        OSError: it cannot be opened, or syncd's own folder cannot be made in it.

    Attributes:
        device: the disk that it lies on; other disks mounted inside are not entered.
        temporary: descriptor of the directory for files that are being written.
        trash: descriptor of the directory for what was replaced or removed.
        has_lasting_inodes: False where the file system gives its files new inodes at each mount.
    """

    def __init__(self, root: Path, renames: Renames | None = None) -> None:
        self.root = root
        self._renames = renames or renames_of_this_system()
        self._open: list[int] = []
        self.has_lasting_inodes = True
        try:
            self.descriptor = self._keep(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self.device = os.fstat(self.descriptor).st_dev
            state = self._keep(_make_directory(self.descriptor, STATE_NAME))
            self._state_inode = os.fstat(state).st_ino
            self.temporary, self.trash = (
                self._keep(_make_directory(state, part)) for part in _PARTS
            )
            self.state = state
        except BaseException:
            self.close()
            raise

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all that is open."""
        while self._open:
            os.close(self._open.pop())

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """Open a folder for the block; the empty path is the top.

        Raises:
            OutsideError: the path leads out of the folder.
            NotADirectoryError: something else is on the way.
            OSError: it cannot be opened.
        """
        descriptor = os.dup(self.descriptor)
        try:
            for name in path.split("/") if path else ():
                check_name(name)
                inner = self._enter(descriptor, name, path)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, descriptor: int, name: str, path: str) -> int:
        try:
            inner = os.open(name, _OPEN_DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR} and _is_link(descriptor, name):
                raise OutsideError(errno.ELOOP, "a link is on the way", path) from error
            raise
        try:
            self._require_inside(os.fstat(inner), path)
        except BaseException:
            os.close(inner)
            raise
        return inner

    def _require_inside(self, status: os.stat_result, path: str) -> None:
        if status.st_dev != self.device:
            raise OutsideError(errno.EXDEV, "another disk is mounted on the way", path)
        if status.st_ino == self._state_inode:
            raise OutsideError(errno.EPERM, "this is syncd's own folder", path)

    @contextmanager
    def parent(self, path: str) -> Iterator[Name]:
        """Open the folder that holds a path for the block, and name the path in it.

        Raises:
            OutsideError: the path leads out of the folder, or is syncd's own.
            OSError: the folder cannot be opened.
        """
        folder, name = split(path)
        check_name(name)
        with self.directory(folder) as descriptor:
            if not folder:
                with suppress(FileNotFoundError):
                    status = look_up(Name(descriptor, name))
                    if status.st_dev == self.device:
                        self._require_inside(status, path)
            yield Name(descriptor, name)

    def signature(self, status: os.stat_result) -> Signature:
        """Return the signature that a stat of something in the folder shows."""
        return Signature(
            status.st_ino if self.has_lasting_inodes else 0,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def look_up(self, name: Name) -> Signature:
        """Return the signature of a name in an open directory; of a link, the link's own."""
        return self.signature(look_up(name))

    def status(self, path: str) -> os.stat_result:
        """Return what a path is; of a link, the link itself.

        Raises:
            OSError: it is not there, or cannot be reached.
        """
        with self.parent(path) as name:
            return look_up(name)

    def open_file(self, path: str) -> int:
        """Open a file to read it; return its descriptor.

        Raises:
            OSError: it cannot be opened, or is a link.
        """
        with self.parent(path) as name:
            return os.open(name.name, _OPEN_FILE, dir_fd=name.directory)

    def read_link(self, path: str) -> str:
        """Return what a link says."""
        with self.parent(path) as name:
            return os.readlink(name.name, dir_fd=name.directory)

    def create_temporary(self, name: str) -> int:
        """Make a file in the temporary directory; return its descriptor, for reading and writing.

        Raises:
            FileExistsError: the name is taken.
        """
        return os.open(name, _CREATE, 0o600, dir_fd=self.temporary)

    def move(self, source: Name, target: Name) -> None:
        """Rename, unless the target's name is taken.

        Raises:
            FileExistsError: it is.
            OSError: the rename failed.
        """
        try:
            self._renames.no_replace(source, target)
        except UnsupportedError:
            _move_in_two_steps(source, target)
        except FileExistsError:
            if not _is_respelled(source, target):
                raise
            _rename(source, target)

    def exchange(self, one: Name, other: Name) -> bool:
        """Swap what two names stand for; return False where the file system cannot.

        Raises:
            OSError: the renaming failed, as where one of them is not there.
        """
        try:
            self._renames.exchange(one, other)
        except UnsupportedError:
            return False
        return True


def look_up(name: Name) -> os.stat_result:
    """Return what a name in an open directory is; of a link, the link itself."""
    return os.stat(name.name, dir_fd=name.directory, follow_symlinks=False)


def names_in(descriptor: int) -> list[str]:
    """Return the names in an open directory."""
    return os.listdir(descriptor)


def is_there(name: Name) -> bool:
    """Tell whether a name in an open directory is taken."""
    try:
        look_up(name)
    except FileNotFoundError:
        return False
    return True


def _is_link(descriptor: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(look_up(Name(descriptor, name)).st_mode)
    except FileNotFoundError:
        return False


def _make_directory(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)


def _move_in_two_steps(source: Name, target: Name) -> None:
    """Rename where the file system has no rename that spares what is there.

    A file gets a second name first, which fails where the name is taken. A folder replaces at
    most an empty folder by itself. Only where there are no second names either (FAT) is a moment
    left between looking and renaming.
    """
    if is_there(target) and not _is_respelled(source, target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)
    if stat.S_ISDIR(look_up(source).st_mode) or not _link(source, target):
        _rename(source, target)
    else:
        os.unlink(source.name, dir_fd=source.directory)


def _link(source: Name, target: Name) -> bool:
    """Give a file a second name; return False where that cannot be."""
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.directory,
            dst_dir_fd=target.directory,
            follow_symlinks=False,
        )
    except FileExistsError:
        if _is_respelled(source, target):
            return False
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _rename(source: Name, target: Name) -> None:
    os.rename(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)


def _is_respelled(one: Name, other: Name) -> bool:
    """Whether the other name is not there itself: the disk takes the one for it.

    Inodes do not tell: exfat-fuse has one for each way of writing a name.
    """
    if _plain(one.name) != _plain(other.name):
        return False
    if not os.path.samestat(os.fstat(one.directory), os.fstat(other.directory)):
        return False
    names = names_in(one.directory)
    return one.name in names and other.name not in names


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
