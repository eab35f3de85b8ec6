"""Reading a file of the linked folder so that what was read is what was there at one moment."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import cas
from syncd.disk.folder import Folder
from syncd.disk.signatures import Signature, is_racy
from syncd.disk.steps import ChangedError

_LOOK_AGAIN: Final = 64 * 1024 * 1024
"""Bytes after which a file that is being read is looked at again: while somebody writes a large
one, all its reading would be for nothing."""


class ReadFile(NamedTuple):
    """What a file holds, and the signature it had before and after it was read.

    With `is_racy` it could be changed once more without any sign: it is to be read again soon.
    """

    content: cas.Content
    signature: Signature
    is_racy: bool
    is_executable: bool


def read_file(
    folder: Folder,
    path: str,
    keys: cas.ContentKeys,
    *,
    on_chunk: Callable[[cas.FoundPiece], None] | None = None,
    on_node: Callable[[bytes, bytes], None] | None = None,
) -> ReadFile:
    """Return what a file of the folder holds; the callbacks are those of `cas.identify_file`.

    Raises:
        ChangedError: it was written to, or replaced, meanwhile.
        OSError: it cannot be read, or is no file.
    """
    descriptor = folder.open_file(path)
    try:
        return _read(folder, path, descriptor, keys, on_chunk, on_node)
    finally:
        os.close(descriptor)


def identify_descriptor(
    descriptor: int,
    keys: cas.ContentKeys,
    on_node: Callable[[bytes, bytes], None] | None = None,
    on_chunk: Callable[[cas.FoundPiece], None] | None = None,
) -> cas.Content:
    """Return what an open file holds, from its beginning, without a look at whether it changes."""
    return cas.identify_file(_Bytes(descriptor), keys, on_chunk=on_chunk, on_node=on_node)


class _Bytes:
    """The bytes of an open file, wherever it stands."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        block = os.pread(self._descriptor, size, self._offset)
        self._offset += len(block)
        return block


def _read(
    folder: Folder,
    path: str,
    descriptor: int,
    keys: cas.ContentKeys,
    on_chunk: Callable[[cas.FoundPiece], None] | None,
    on_node: Callable[[bytes, bytes], None] | None,
) -> ReadFile:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ChangedError(errno.EBUSY, "it is no file any more", path)
    before = folder.signature(status)
    began_ns = time.time_ns()
    content = cas.identify_file(
        _Watched(folder, path, descriptor, before), keys, on_chunk=on_chunk, on_node=on_node
    )
    _require(folder.signature(os.fstat(descriptor)), before, path)
    _require(folder.signature(folder.status(path)), before, path)
    if content.size != before.size:
        raise _changing(path)
    return ReadFile(content, before, is_racy(before, began_ns), bool(status.st_mode & stat.S_IXUSR))


class _Watched:
    """The bytes of an open file, as long as nobody writes to it."""

    def __init__(self, folder: Folder, path: str, descriptor: int, before: Signature) -> None:
        self._folder = folder
        self._path = path
        self._descriptor = descriptor
        self._before = before
        self._read = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes.

        Raises:
            ChangedError: the file has changed since its reading began.
        """
        if self._read >= _LOOK_AGAIN:
            self._read = 0
            now = self._folder.signature(os.fstat(self._descriptor))
            _require(now, self._before, self._path)
        block = os.read(self._descriptor, size)
        self._read += len(block)
        return block


def _require(found: Signature, expected: Signature, path: str) -> None:
    if found != expected:
        raise _changing(path)


def _changing(path: str) -> ChangedError:
    return ChangedError(errno.EBUSY, "somebody is writing to it", path)
