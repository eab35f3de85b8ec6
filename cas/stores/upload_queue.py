"""The changes that a bucket has yet to be told of, in their order: a small file for each."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from cas.disk import StoreErrors, file_lock, sync_directory

_NUMBER: Final = "{:016d}"
_encode: Final = msgspec.msgpack.Encoder().encode


class Change(msgspec.Struct, array_like=True, frozen=True):
    """A ref's new bytes, or None: the object is removed.

    `packs` are the ids of the packs that must be in the bucket before.
    """

    name: str
    content: bytes | None
    packs: tuple[str, ...] = ()


class UploadQueue:
    """The changes, oldest first. Shared by threads and processes of one machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = directory.with_suffix(".lock")
        with StoreErrors():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(directory.parent)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from appending."""
        with file_lock(self._lock, wait=True):
            yield

    def append(self, change: Change) -> None:
        """Add a change behind all others; it is durable when this returns. Hold the lock."""
        number = max(self._numbers(), default=0) + 1
        new = self._directory / f"new-{secrets.token_hex(8)}"
        with StoreErrors():
            try:
                with new.open("xb") as file:
                    file.write(_encode(change))
                    file.flush()
                    os.fsync(file.fileno())
                new.rename(self._directory / _NUMBER.format(number))
            except OSError:
                new.unlink(missing_ok=True)
                raise
            sync_directory(self._directory)

    def changes(self) -> list[tuple[int, Change]]:
        """Return the changes with their numbers, oldest first."""
        found = []
        decode = msgspec.msgpack.Decoder(Change).decode
        for number in sorted(self._numbers()):
            path = self._directory / _NUMBER.format(number)
            try:
                found.append((number, decode(path.read_bytes())))
            except FileNotFoundError:  # done meanwhile, by another process
                continue
        return found

    def newest(self) -> dict[str, Change]:
        """Return the newest change of each object."""
        return {change.name: change for _, change in self.changes()}

    def remove(self, number: int) -> None:
        """Remove a change that is done."""
        with StoreErrors():
            (self._directory / _NUMBER.format(number)).unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        with StoreErrors():
            return [int(name) for name in os.listdir(self._directory) if name.isdigit()]  # noqa: PTH208
