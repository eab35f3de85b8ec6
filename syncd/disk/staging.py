"""New files and links as they are made aside, whole, before anything of the user's is touched."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple

from syncd.disk.folder import Folder
from syncd.disk.renames import Name
from syncd.disk.signatures import Signature

_HOLE: Final = 64 * 1024
"""Bytes of zeros from which on a hole is left in place of them."""
_ZEROS: Final = bytes(_HOLE)
_WRITTEN_BACK: Final = 32 * 1024 * 1024
"""Bytes after which the disk is given what was written so far, while more comes."""
_EXECUTE: Final = 0o111
_READ: Final = 0o444


class Staged(NamedTuple):
    """What was made in syncd's own folder and waits for its name: how it looks there.

    `kept` is the content of a large file, which is worth to be kept where the step fails.
    """

    name: str
    signature: Signature
    kept: bytes = b""


class Manner(NamedTuple):
    """What a file gets beside its content.

    `mode` is that of the file it replaces, or else what the user's umask gives new files.
    """

    mtime_ns: int
    is_executable: bool
    mode: int


def temporary_name() -> str:
    """Return a name that nothing has."""
    return secrets.token_hex(16)


def mode_of_new_files() -> int:
    """Return what this process's umask leaves of read and write for everybody.

    To be called while the process has one thread: the umask is read by setting it.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def mode_with(mode: int, *, is_executable: bool) -> int:
    """Return permission bits with the right to execute for whoever may read, or for nobody.

    Where the owner's bit is as it should be, nothing changes. No file is made set-user-id.
    """
    kept = stat.S_IMODE(mode) & 0o777
    if bool(kept & stat.S_IXUSR) == is_executable:
        return kept
    return kept | (kept & _READ) >> 2 if is_executable else kept & ~_EXECUTE


def stage_file(
    folder: Folder,
    name: str,
    pieces: Iterable[bytes | memoryview],
    manner: Manner,
    *,
    sync: bool = True,
) -> Staged:
    """Write a file into syncd's own folder.

    Args:
        folder: the linked folder.
        name: from `temporary_name`.
        pieces: its content, checked by whoever gives it.
        manner: its time and mode.
        sync: wait until the disk has it; otherwise the caller sees to that before the file gets
            its name.

    Raises:
        OSError: it cannot be written.
        Exception: whatever the pieces raise. Nothing is left then.
    """
    descriptor = folder.create_temporary(name)
    try:
        write_pieces(descriptor, pieces)
        return finish_file(folder, descriptor, name, manner, sync=sync)
    except BaseException:
        discard(folder, name)
        raise
    finally:
        os.close(descriptor)


def finish_file(
    folder: Folder, descriptor: int, name: str, manner: Manner, *, sync: bool
) -> Staged:
    """Give an open file that is whole its mode and time."""
    mode = mode_with(manner.mode, is_executable=manner.is_executable)
    with suppress(PermissionError):  # from a disk that keeps no modes
        os.fchmod(descriptor, mode)
    set_time(descriptor, manner.mtime_ns)
    if sync:
        os.fsync(descriptor)
    return Staged(name, folder.signature(os.fstat(descriptor)))


def set_time(descriptor: int, mtime_ns: int) -> None:
    """Give an open file its mtime; one that this disk cannot hold is left out."""
    try:
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
    except OverflowError:
        return
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOVERFLOW}:
            raise


def write_pieces(descriptor: int, pieces: Iterable[bytes | memoryview]) -> int:
    """Write pieces to an open file from where it stands, zeros as holes; return its size."""
    for piece in pieces:
        view = memoryview(piece)
        if len(view) >= _HOLE and _is_zero(view):
            os.lseek(descriptor, len(view), os.SEEK_CUR)
            continue
        while view:
            view = view[os.write(descriptor, view) :]
    size = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.ftruncate(descriptor, size)
    return size


def synced_behind(
    descriptor: int, pieces: Iterable[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    """Yield pieces that are written to an open file, and sync those before in the background.

    The sync at the end of a large file, which is still to be made, then waits for little.

    Raises:
        OSError: the disk could not write what it was given.
    """
    size = 0
    with ThreadPoolExecutor(1, thread_name_prefix="syncd-behind") as syncing:
        under_way: Future[None] | None = None
        for piece in pieces:
            yield piece
            size += len(piece)
            if size >= _WRITTEN_BACK and (under_way is None or under_way.done()):
                if under_way is not None:
                    under_way.result()
                under_way = syncing.submit(os.fsync, descriptor)
                size = 0
        if under_way is not None:
            under_way.result()  # An error is told once, and not to the sync at the end again.


def stage_link(folder: Folder, name: str, target: str, mtime_ns: int) -> Staged:
    """Make a symlink in syncd's own folder; where it leads is never looked at."""
    os.symlink(target, name, dir_fd=folder.temporary)
    try:
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=folder.temporary, follow_symlinks=False)
        return Staged(name, folder.look_up(Name(folder.temporary, name)))
    except BaseException:
        discard(folder, name)
        raise


def discard(folder: Folder, name: str) -> None:
    """Remove what was staged and is not wanted."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder.temporary)


def _is_zero(view: memoryview) -> bool:
    if view[0] or view[-1]:
        return False
    whole, rest = divmod(len(view), _HOLE)
    return view[len(view) - rest :] == _ZEROS[:rest] and all(
        view[start * _HOLE : (start + 1) * _HOLE] == _ZEROS for start in range(whole)
    )
