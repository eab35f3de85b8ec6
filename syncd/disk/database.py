"""The file that holds what syncd knows of one linked folder: SQLite, one file, safe in a crash.

It can be lost: then everything is read once more, and what is equal on both sides is never a
conflict. So a damaged one is put aside and made anew.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

VERSION: Final = 1
_DAMAGED: Final = ".damaged"
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS base (
        id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name BLOB NOT NULL,
        kind INTEGER NOT NULL, content BLOB NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, executable INTEGER NOT NULL, signature BLOB,
        UNIQUE (parent, name));
    CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS intents (id INTEGER PRIMARY KEY, step BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS displaced (
        name TEXT PRIMARY KEY, path BLOB NOT NULL, signature BLOB NOT NULL, at_ns INTEGER NOT NULL
        ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS problems (
        path BLOB PRIMARY KEY, reason TEXT NOT NULL, since_ns INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS conflicts (
        path BLOB PRIMARY KEY, original BLOB NOT NULL, at_ns INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS local_names (
        node INTEGER NOT NULL, parent INTEGER NOT NULL, name BLOB NOT NULL, local BLOB NOT NULL,
        PRIMARY KEY (node, parent, name)) WITHOUT ROWID;
    DROP TABLE IF EXISTS nodes;
    CREATE TABLE IF NOT EXISTS file_nodes (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, node BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS leftovers (path BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS log (
        id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, action TEXT NOT NULL, path BLOB NOT NULL,
        detail TEXT NOT NULL);
"""


class StateVersionError(Exception):
    """A newer syncd has written the state."""


class Database:
    """One SQLite file. Thread-safe: whoever is in a transaction has it alone. A context manager.

    Args:
        path: the file; it and its folder are made. A damaged one is kept beside it as `.damaged`,
            and `was_damaged` is True. `rollbacks` counts transactions that did not happen.

    Raises:
        OSError, sqlite3.Error: it cannot be used, as on a full disk.
        StateVersionError: a newer syncd has written it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.was_damaged = False
        self._lock = threading.RLock()
        self._depth = 0
        self.rollbacks = 0
        try:
            self.connection = _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.was_damaged = True
            path.replace(path.with_name(path.name + _DAMAGED))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self.connection = _connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Have the database alone for the block, which happens as a whole or not at all.

        One inside another is part of it. When the outer one ends, the disk has it.
        """
        with self._lock:
            if self._depth == 0:
                self.connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self.connection
                if self._depth == 1:
                    self.connection.execute("COMMIT")
            except BaseException as error:
                if self._depth == 1:
                    self._roll_back()
                if _is_full(error):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise
            finally:
                self._depth -= 1

    def _roll_back(self) -> None:
        self.rollbacks += 1
        if self.connection.in_transaction:  # A full disk may have ended it already.
            self.connection.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Have the connection alone for the block, to read."""
        with self._lock:
            yield self.connection


def _is_full(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code == sqlite3.SQLITE_FULL


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StateVersionError(f"{path} is of a newer version of syncd ({version})")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        _check_version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection
