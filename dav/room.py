"""How much may still be stored: asked before a body is read, and by quota properties."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from threading import Lock
from typing import Final

import cas
from dav.addressed import Resource
from dav.request import Request
from dav.status import HttpError

_FRESH_S: Final = 2.0


class _FreeBytes:
    """Free bytes by directory, asked of the disk at most every two seconds."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[float, int | None]] = {}
        self._lock = Lock()

    def get(self, location: Path) -> int | None:
        with self._lock:
            asked_s, free = self._known.get(location, (-_FRESH_S, None))
            if time.monotonic() - asked_s >= _FRESH_S:
                free = _ask(location)
                self._known[location] = (time.monotonic(), free)
            return free


_free_bytes: Final = _FreeBytes()


def free_bytes(repository: cas.Repository) -> int | None:
    """Return the bytes free on the repository's disk, None where that cannot be told."""
    return _free_bytes.get(repository.directory)


def check_room(request: Request, resource: Resource, size: int) -> None:
    """Raise if a file of `size` bytes in place of what is there would exceed the quota.

    The commit checks it again; this refuses before the body is sent.

    Raises:
        HttpError: 507 (RFC 4331, section 6).
    """
    quota = resource.info.quota
    if quota is None:
        return
    _, view = request.view(resource.info.name)
    replaced = resource.entry.size if resource.entry is not None else 0
    if view.root.size - replaced + size > quota:
        raise HttpError(
            507,
            f"{size} bytes do not fit within the quota of {resource.info.name!r}",
            condition="quota-not-exceeded",
        )


def check_disk(request: Request, size: int) -> None:
    """Raise if the disk has not the room for a body of `size` bytes.

    A body that does not fit would fill the disk before it fails, and others could store nothing
    until garbage collection. So one is refused, too, that is stored already and needs no room.

    Raises:
        HttpError: 507.
    """
    free = free_bytes(request.repository)
    if free is not None and size > free:
        raise HttpError(
            507,
            f"{size} bytes do not fit on the disk, which has {free} left",
            condition="sufficient-disk-space",
        )


def _ask(directory: Path) -> int | None:
    return shutil.disk_usage(directory).free if directory.exists() else None
