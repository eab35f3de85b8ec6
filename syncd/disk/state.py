"""All that is remembered of one linked folder, in one database."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.trees import path_of

_LOG_KEPT = 10_000


class Noted(NamedTuple):
    """A line of a list: a path, what is said of it, and since when (nanoseconds since 1970), None
    where nobody has looked.
    """  # noqa: D205 - one sentence

    path: str
    text: str
    at_ns: int | None


class LinkState:
    """The state of a link: the base, values by key, and the lists that people ask for."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self._base = Base(self.database)

    @property
    def base(self) -> Base:
        """The base tree."""
        return self._base

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Have the state alone for the block; the disk has it at the end. May be nested."""
        return self.database.transaction()

    def read(self, key: str) -> bytes | None:
        """Return what was written under a key, None where nothing was."""
        with self.database.reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def write(self, key: str, value: bytes) -> None:
        """Write something under a key."""
        with self.database.transaction() as connection:
            connection.execute("REPLACE INTO settings VALUES (?, ?)", (key, value))

    def set_problems(self, problems: dict[str, str]) -> None:
        """Write down what cannot be synced now; writes nothing where that is as before."""
        before = {noted.path: noted for noted in self.problems()}
        if {path: noted.text for path, noted in before.items()} == problems:
            return
        now_ns = time.time_ns()
        rows = [
            (os.fsencode(path), reason, before[path].at_ns if path in before else now_ns)
            for path, reason in problems.items()
        ]
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM problems")
            connection.executemany("INSERT INTO problems VALUES (?, ?, ?)", rows)

    def problems(self) -> list[Noted]:
        """Return what cannot be synced, with the reason."""
        return self._listed("SELECT path, reason, since_ns FROM problems ORDER BY path")

    def other_names(self) -> list[Noted]:
        """Return what has another name on this disk, because it cannot hold the true one."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT node, local FROM local_names AS named JOIN base ON base.id = node"
                " WHERE base.parent = named.parent AND base.name = named.name"
                " AND local != named.name"
            ).fetchall()
        named = [
            Noted(path_of(self._base, node), f"its name here is {os.fsdecode(local)!r}", None)
            for node, local in rows
        ]
        return sorted(named)

    def add_conflicts(self, conflicts: Iterable[tuple[str, str]]) -> None:
        """Write down conflict copies, each with the path that it is a copy of."""
        now_ns = time.time_ns()
        with self.database.transaction() as connection:
            connection.executemany(
                "REPLACE INTO conflicts VALUES (?, ?, ?)",
                ((os.fsencode(copy), os.fsencode(path), now_ns) for copy, path in conflicts),
            )

    def conflicts(self) -> list[Noted]:
        """Return the conflict copies that were made, each with the original's path."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT path, original, at_ns FROM conflicts ORDER BY path"
            ).fetchall()
        return [Noted(os.fsdecode(copy), os.fsdecode(path), at_ns) for copy, path, at_ns in rows]

    def forget_conflicts(self, copies: Iterable[str]) -> None:
        """Take copies off the list: somebody has dealt with them."""
        with self.database.transaction() as connection:
            connection.executemany(
                "DELETE FROM conflicts WHERE path = ?", ((os.fsencode(copy),) for copy in copies)
            )

    def log(self, lines: Iterable[tuple[str, str]]) -> None:
        """Write down what was done to paths, each with the words for it; old lines go."""
        now_ns = time.time_ns()
        with self.database.transaction() as connection:
            connection.executemany(
                "INSERT INTO log (at_ns, action, path, detail) VALUES (?, ?, ?, '')",
                ((now_ns, words, os.fsencode(path)) for path, words in lines),
            )
            connection.execute(
                "DELETE FROM log WHERE id <= (SELECT max(id) FROM log) - ?", (_LOG_KEPT,)
            )

    def logged(self, limit: int) -> list[Noted]:
        """Return what was done last, the newest at the end."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT path, action, at_ns FROM log ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [Noted(os.fsdecode(path), words, at_ns) for path, words, at_ns in reversed(rows)]

    def leftovers(self) -> set[str]:
        """Return folders that are only here still because of what is ignored in them."""
        with self.database.reading() as connection:
            return {os.fsdecode(path) for (path,) in connection.execute("SELECT * FROM leftovers")}

    def set_leftover(self, path: str, *, is_one: bool) -> None:
        """Write down that a folder is such a one, or no more."""
        statement = "REPLACE INTO leftovers VALUES (?)"
        if not is_one:
            statement = "DELETE FROM leftovers WHERE path = ?"
        with self.database.transaction() as connection:
            connection.execute(statement, (os.fsencode(path),))

    def _listed(self, query: str) -> list[Noted]:
        with self.database.reading() as connection:
            rows = connection.execute(query).fetchall()
        return [Noted(os.fsdecode(path), text, at_ns) for path, text, at_ns in rows]
