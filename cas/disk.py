"""The few calls to a local disk that need care: syncing directories, and what its errors mean."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

from cas.errors import CasError, NotFoundError, StoreError, StoreFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SMALL_DISK = 640 * 1024 * 1024
"""Bytes of a disk below which reserves shrink in proportion."""
_TRANSIENT = frozenset({errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.EBUSY})


def require_free_space(directory: Path, size: int, reserve: int) -> None:
    """Raise unless `size` more bytes leave the disk its reserve: less on a small disk.

    Raises:
        StoreFullError: they do not.
        StoreError: the disk cannot say.
    """
    try:
        state = os.statvfs(directory)
    except OSError as error:
        raise directory_error(directory, error) from error
    kept = min(reserve, state.f_blocks * state.f_frsize * reserve // _SMALL_DISK)
    if state.f_bavail * state.f_frsize < kept + size:
        message = f"no room left on the disk that holds {directory}: free some space"
        raise StoreFullError(message)


class StoreErrors(AbstractContextManager[None]):
    """Turns the operating system's errors inside the block into those of the engine."""

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the engine's error for an OSError; let everything else pass."""
        if isinstance(error, OSError) and not isinstance(error, CasError):
            raise store_error(error) from error


def store_error(error: OSError) -> CasError:
    """Return the engine's error for one of the operating system."""
    if error.errno in _FULL:
        return StoreFullError(f"no room left on the disk: {error}")
    if error.errno == errno.ENOENT:
        return NotFoundError(str(error))
    return StoreError(str(error), transient=error.errno in _TRANSIENT)


def directory_error(directory: Path, error: OSError) -> StoreError:
    """Return the error for a directory of ours that cannot be used: never that a name is not found.

    That would tell somebody who uploads that it is his path which is missing.
    """
    return StoreError(f"{directory} cannot be used ({error}): is its disk mounted?")


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file, over all processes of this machine; False where another has it.

    The kernel gives it up when the process ends, however it ends. With `wait`, another's end is
    waited for.
    """
    with StoreErrors():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Return once the directory's names would survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
