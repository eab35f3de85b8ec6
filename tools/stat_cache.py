"""What files held when they were last imported, by device, inode, size and times.

The cache only ever says "this file still has the content with this id". It is believed where the
volume has that very content at the file's path, so it may be lost, old, or of another state of
the repository: the file is read again, and nothing worse happens.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import platformdirs

import cas

COARSE_MARGIN_NS: Final = 2_000_000_000
"""Granularity of times that are whole seconds: FAT keeps only even ones."""
FINE_MARGIN_NS: Final = 100_000_000
"""Granularity of all other times, with room: kernels stamp files every 1 to 10 ms."""

_SECOND_NS: Final = 1_000_000_000
_SIZE_LIMIT: Final = 1 << 30
_FILE_KINDS: Final = frozenset(
    {cas.EntryKind.EMPTY_FILE, cas.EntryKind.CHUNK_FILE, cas.EntryKind.NODE_FILE}
)
_KEY: Final = struct.Struct("<QQ")
_STAMP: Final = struct.Struct("<qqqBq")
_SCHEMA: Final = """
    PRAGMA synchronous = OFF;
    PRAGMA user_version = 1;
    CREATE TABLE IF NOT EXISTS files (file BLOB PRIMARY KEY, stamp BLOB, id BLOB) WITHOUT ROWID;
"""


def cache_path(identity: bytes) -> Path:
    """Return where the cache of a repository is kept: in the user's cache directory."""
    return platformdirs.user_cache_path("casdav") / f"import-{identity.hex()}.sqlite"


class StatCache:
    """The cache of one repository. A context manager; used by one thread.

    Args:
        path: the file; it is made, and made anew when it is damaged or too large. Where it
            cannot be, `failure` says why, and the cache stays empty.
        clock: returns nanoseconds since the epoch.
        is_believed: whether what it has is told; it is written in any case.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], int] = time.time_ns,
        *,
        is_believed: bool = True,
    ) -> None:
        self._clock = clock
        self._is_believed = is_believed
        self._pending: list[tuple[bytes, bytes, bytes]] = []
        self.failure: str | None = None
        self._connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists() and path.stat().st_size > _SIZE_LIMIT:
                path.unlink()
            try:
                self._connection = _connect(path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # No database: damaged, or something else's file.
                path.unlink()
                self._connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            self.failure = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, status: os.stat_result) -> cas.Content | None:
        """Return the content that the file had when everything about it was as it is now."""
        if self._connection is None or not self._is_believed:
            return None
        key = _KEY.pack(status.st_dev, status.st_ino)
        try:
            row = self._connection.execute(
                "SELECT stamp, id FROM files WHERE file = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        # In a damaged file a value may be of any type.
        if not row or set(map(type, row)) != {bytes} or len(row[0]) != _STAMP.size:
            return None
        size, mtime_ns, ctime_ns, kind, content_size = _STAMP.unpack(row[0])
        if (size, mtime_ns, ctime_ns) != (status.st_size, status.st_mtime_ns, status.st_ctime_ns):
            return None
        if kind not in _FILE_KINDS:
            return None
        return cas.Content(cas.EntryKind(kind), content_size, row[1])

    def put(self, status: os.stat_result, content: cas.Content, read_ns: int) -> None:
        """Remember what a file held.

        Args:
            status: of the file, before and after the reading.
            content: what was read.
            read_ns: when the reading began, by the cache's clock.

        A file whose times are as young as the reading could be changed once more without any
        sign: it is not remembered (git's index calls such an entry racy).
        """
        if self._connection is None or is_racy(status, read_ns):
            return
        try:
            stamp = _STAMP.pack(
                status.st_size, status.st_mtime_ns, status.st_ctime_ns, content.kind, content.size
            )
        except struct.error:
            return  # a time beyond the year 2262: such a file is read each time
        self._pending.append((_KEY.pack(status.st_dev, status.st_ino), stamp, content.id))

    def now_ns(self) -> int:
        """Return the time by the cache's clock."""
        return self._clock()

    def flush(self) -> None:
        """Write what `put` was given since the last time."""
        pending, self._pending = self._pending, []
        if self._connection is None or not pending:
            return
        try:
            with self._connection:
                self._connection.executemany("REPLACE INTO files VALUES (?, ?, ?)", pending)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the cache: all it costs is reading files again."""
        self.failure = str(error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_racy(status: os.stat_result, read_ns: int) -> bool:
    """Tell whether a change after `read_ns` could leave the file's times as they are."""
    return _is_young(status.st_mtime_ns, read_ns) or _is_young(status.st_ctime_ns, read_ns)


def _is_young(stamp_ns: int, read_ns: int) -> bool:
    distance = abs(read_ns - stamp_ns)
    if distance >= COARSE_MARGIN_NS:
        return False
    return distance < FINE_MARGIN_NS or not stamp_ns % _SECOND_NS


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
