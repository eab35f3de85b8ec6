"""Renames that never replace: the one place where the systems differ in how they offer them.

`exchange` swaps two names in one step, `no_replace` gives a name only if nothing has it. Where a
file system cannot do them (FAT, some FUSE ones), `UnsupportedError` says so, and the caller has
ways that take two steps.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

_NO_REPLACE: Final = 1
_EXCHANGE: Final = 2
_SWAP_ON_MACOS: Final = 2
_EXCLUSIVE_ON_MACOS: Final = 4
_SYSTEM_CALL_NUMBERS: Final = {"x86_64": 316, "aarch64": 276, "riscv64": 276}
"""renameat2 by machine, for C libraries that do not name it."""
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class UnsupportedError(OSError):
    """The system or the file system has no such rename."""


class Name(NamedTuple):
    """A name in an open directory."""

    directory: int
    name: str


class Renames(Protocol):
    """The renames of a system. Both raise OSError as `os.rename` does."""

    def no_replace(self, source: Name, target: Name) -> None:
        """Rename, unless the target's name is taken.

        Raises:
            FileExistsError: it is.
            UnsupportedError: this file system cannot do it in one step.
        """

    def exchange(self, one: Name, other: Name) -> None:
        """Swap what two names stand for, in one step.

        Raises:
            FileNotFoundError: one of them is not there.
            UnsupportedError: this file system cannot do it in one step.
        """


_Call = Callable[[int, bytes, int, bytes, int], int]


class KernelRenames:
    """Renames by a system call that takes two names in open directories, and flags."""

    def __init__(self, call: _Call, no_replace: int, exchange: int) -> None:
        self._call = call
        self._no_replace = no_replace
        self._exchange = exchange

    def no_replace(self, source: Name, target: Name) -> None:
        """See `Renames`."""
        self._rename(source, target, self._no_replace)

    def exchange(self, one: Name, other: Name) -> None:
        """See `Renames`."""
        self._rename(one, other, self._exchange)

    def _rename(self, source: Name, target: Name, flags: int) -> None:
        from_name, to_name = os.fsencode(source.name), os.fsencode(target.name)
        if b"\0" in from_name or b"\0" in to_name:
            raise ValueError("embedded null byte")
        if self._call(source.directory, from_name, target.directory, to_name, flags) == 0:
            return
        number = ctypes.get_errno()
        message = os.strerror(number)
        if number in _UNSUPPORTED:
            raise UnsupportedError(number, message, source.name, None, target.name)
        raise OSError(number, message, source.name, None, target.name)


class NoRenames:
    """What stands in where a system has none of them."""

    def no_replace(self, source: Name, target: Name) -> None:
        """See `Renames`."""
        raise UnsupportedError(errno.ENOSYS, os.strerror(errno.ENOSYS), source.name)

    def exchange(self, one: Name, other: Name) -> None:
        """See `Renames`."""
        raise UnsupportedError(errno.ENOSYS, os.strerror(errno.ENOSYS), one.name)


def renames_of_this_system() -> Renames:
    """Return the renames that this system's C library offers."""
    library = ctypes.CDLL(None, use_errno=True)
    signature = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if sys.platform == "darwin":
        call = library.renameatx_np
        call.argtypes = signature
        return KernelRenames(call, _EXCLUSIVE_ON_MACOS, _SWAP_ON_MACOS)
    if hasattr(library, "renameat2"):
        call = library.renameat2
        call.argtypes = signature
        return KernelRenames(call, _NO_REPLACE, _EXCHANGE)
    number = _SYSTEM_CALL_NUMBERS.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return NoRenames()
    system_call = library.syscall
    system_call.argtypes = (ctypes.c_long, *signature)

    def by_number(old: int, old_name: bytes, new: int, new_name: bytes, flags: int) -> int:
        return int(system_call(number, old, old_name, new, new_name, flags))

    return KernelRenames(by_number, _NO_REPLACE, _EXCHANGE)
