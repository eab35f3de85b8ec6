"""What a folder's file system can do, found by trying it in syncd's own folder.

The same disk is mounted in many ways, so that neither the system nor the name of a file system
tells whether it folds case or keeps an exec bit.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from syncd.disk.folder import Folder

_PREFIX: Final = "probe-"
_COMPOSED: Final = unicodedata.normalize("NFC", "e\u0301")
_RESERVED_CHARACTER: Final = ":"
_TIME_NS: Final = 1_600_000_001_123_456_789


@dataclass(frozen=True)
class Abilities:
    """What a file system can do.

    `time_step_ns` is the finest step of mtimes that it keeps. `longest_name` is in the unit that
    `counts_characters` says: UTF-16 units, else bytes.
    """

    keeps_exec_bit: bool
    has_links: bool
    folds_case: bool
    folds_unicode: bool
    takes_any_bytes: bool
    takes_reserved_names: bool
    longest_name: int
    counts_characters: bool
    time_step_ns: int


ABLE: Final = Abilities(
    keeps_exec_bit=True,
    has_links=True,
    folds_case=False,
    folds_unicode=False,
    takes_any_bytes=True,
    takes_reserved_names=True,
    longest_name=255,
    counts_characters=False,
    time_step_ns=1,
)
"""What a common Linux file system can do."""


def probe(folder: Folder) -> Abilities:
    """Return what the folder's file system can do.

    Raises:
        OSError: nothing can be written there.
    """
    directory = folder.temporary
    with _file(directory, f"{_PREFIX}a") as name:
        keeps_exec_bit = _keeps_mode(directory, name, 0o700)
        keeps_exec_bit &= _keeps_mode(directory, name, 0o600)
        os.utime(name, ns=(_TIME_NS, _TIME_NS), dir_fd=directory)
        kept_ns = os.stat(name, dir_fd=directory).st_mtime_ns
        folds_case = _is_there(directory, name.upper())
    return Abilities(
        keeps_exec_bit=keeps_exec_bit,
        has_links=_can_link(directory),
        folds_case=folds_case,
        folds_unicode=_folds_unicode(directory),
        takes_any_bytes=_takes(directory, f"{_PREFIX}\udcff"),
        takes_reserved_names=all(
            _takes(directory, name)
            for name in (f"{_PREFIX}{_RESERVED_CHARACTER}x", f"{_PREFIX}dot.", f"{_PREFIX}space ")
        ),
        longest_name=255,
        counts_characters=_takes(directory, _PREFIX + "\u20ac" * 200),
        time_step_ns=_step(kept_ns),
    )


@contextmanager
def _file(directory: int, name: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)  # from a probe that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o600, dir_fd=directory))
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)


def _keeps_mode(directory: int, name: str, mode: int) -> bool:
    with suppress(PermissionError):
        os.chmod(name, mode, dir_fd=directory)
    return stat.S_IMODE(os.stat(name, dir_fd=directory).st_mode) == mode


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _takes(directory: int, name: str) -> bool:
    """Whether a file of this name is listed under it: some systems cut a dot off at the end."""
    try:
        with _file(directory, name):
            return name in os.listdir(directory)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}:
            raise
        return False


def _folds_unicode(directory: int) -> bool:
    with _file(directory, f"{_PREFIX}{_COMPOSED}"):
        return _is_there(directory, f"{_PREFIX}{unicodedata.normalize('NFD', _COMPOSED)}")


def _can_link(directory: int) -> bool:
    name = f"{_PREFIX}link"
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    try:
        os.symlink("nowhere", name, dir_fd=directory)
    except OSError:
        return False
    try:
        return os.readlink(name, dir_fd=directory) == "nowhere"
    finally:
        os.unlink(name, dir_fd=directory)


def _step(kept_ns: int) -> int:
    """Return the step of times that shows in what was kept of a time with all its digits."""
    for step in (1, 100, 1000, 1_000_000, 10_000_000, 1_000_000_000):
        if kept_ns == _TIME_NS // step * step:
            return step
    return 2_000_000_000
