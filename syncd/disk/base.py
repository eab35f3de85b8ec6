"""The base tree: what this device and the server last agreed on, path by path."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import cas
from syncd.disk.database import Database
from syncd.disk.folder import split
from syncd.disk.items import Item, Known
from syncd.disk.signatures import Signature

_SIGNATURE: Final = struct.Struct("<QQQQ")
_WRAP: Final = (1 << 64) - 1
_HALF: Final = 1 << 63
_COLUMNS: Final = "kind, content, size, mtime_ns, executable, signature"
_Row = tuple[int, bytes, int, int, int, bytes | None]


def pack_signature(signature: Signature) -> bytes:
    """Return a signature as bytes; equal ones have equal bytes."""
    try:
        return _SIGNATURE.pack(*signature)
    except struct.error:  # a time before 1970
        return _SIGNATURE.pack(*(value & _WRAP for value in signature))


def unpack_signature(packed: bytes) -> Signature:
    """Return the signature of which `pack_signature` made the bytes."""
    inode, size, mtime_ns, ctime_ns = _SIGNATURE.unpack(packed)
    return Signature(inode, size, _signed(mtime_ns), _signed(ctime_ns))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= _HALF else value


class Base:
    """The base tree in a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, path: str) -> Known | None:
        """Return what is known of a path, None where nothing is."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM base WHERE folder = ? AND name = ?",  # noqa: S608
                _key(path),
            ).fetchone()
        return _known(row) if row else None

    def children(self, folder: str) -> dict[str, Known]:
        """Return what is known of the names in a folder; the empty path is the top."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT name, {_COLUMNS} FROM base WHERE folder = ?",  # noqa: S608
                (os.fsencode(folder),),
            ).fetchall()
        return {os.fsdecode(row[0]): _known(row[1:]) for row in rows}

    def signatures_by_name(self, folder: str) -> dict[str, tuple[int, bytes | None]]:
        """Return kind and packed signature of all in a folder: what a walk compares first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, kind, signature FROM base WHERE folder = ?", (os.fsencode(folder),)
            ).fetchall()
        return {os.fsdecode(name): (kind, signature) for name, kind, signature in rows}

    def below(self, path: str) -> Iterator[tuple[str, Known]]:
        """Yield all below a folder, in the order of folder and name; the empty path is the top.

        What is written meanwhile may be among it or not.
        """
        last: tuple[bytes, bytes] = (b"", b"")
        while True:
            condition, values = _range(path)
            with self._database.reading() as connection:
                rows = connection.execute(
                    f"SELECT folder, name, {_COLUMNS} FROM base"  # noqa: S608
                    f" WHERE ({condition}) AND (folder, name) > (?, ?)"
                    " ORDER BY folder, name LIMIT 4096",
                    (*values, *last),
                ).fetchall()
            for row in rows:
                yield _path(row[0], row[1]), _known(row[2:])
            if not rows:
                return
            last = rows[-1][:2]

    def put(self, path: str, known: Known) -> None:
        """Remember what is at a path now."""
        self.put_all([(path, known)])

    def put_all(self, items: Iterable[tuple[str, Known]]) -> None:
        """Remember what is at many paths now."""
        with self._database.transaction() as connection:
            connection.executemany(
                "REPLACE INTO base VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((*_key(path), *_row(known)) for path, known in items),
            )

    def remove(self, path: str) -> None:
        """Forget a path and all below it."""
        condition, values = _range(path)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM base WHERE folder = ? AND name = ?", _key(path))
            connection.execute(f"DELETE FROM base WHERE {condition}", values)  # noqa: S608

    def move(self, path: str, new_path: str) -> None:
        """Give a path, and all below it, another name; what was there is forgotten."""
        self.remove(new_path)
        old, new = os.fsencode(path), os.fsencode(new_path)
        condition, values = _range(path)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE base SET folder = ?, name = ? WHERE folder = ? AND name = ?",
                (*_key(new_path), *_key(path)),
            )
            connection.execute(
                "UPDATE base SET folder = CAST(? || substr(folder, ?) AS BLOB)"  # noqa: S608
                f" WHERE {condition}",
                (new, len(old) + 1, *values),
            )

    def count(self, path: str = "") -> tuple[int, int]:
        """Return how many files and links there are below a folder, and their bytes."""
        condition, values = _range(path)
        with self._database.reading() as connection:
            files, size = connection.execute(
                "SELECT count(*), coalesce(sum(size), 0) FROM base"  # noqa: S608
                f" WHERE ({condition}) AND kind != ?",
                (*values, cas.EntryKind.DIRECTORY),
            ).fetchone()
        return files, size


def _key(path: str) -> tuple[bytes, bytes]:
    folder, name = split(path)
    return os.fsencode(folder), os.fsencode(name)


def _path(folder: bytes, name: bytes) -> str:
    return os.fsdecode(folder + b"/" + name if folder else name)


def _range(path: str) -> tuple[str, tuple[bytes, ...]]:
    """Return the condition and its values for all rows below a folder."""
    if not path:
        return "folder >= ?", (b"",)
    encoded = os.fsencode(path)
    return "folder = ? OR (folder >= ? AND folder < ?)", (encoded, encoded + b"/", encoded + b"0")


def _known(row: _Row) -> Known:
    kind, content, size, mtime_ns, executable, signature = row
    return Known(
        Item(cas.EntryKind(kind), content, size, mtime_ns, bool(executable)),
        unpack_signature(signature) if signature else None,
    )


def _row(known: Known) -> _Row:
    item = known.item
    signature = pack_signature(known.signature) if known.signature else None
    return (
        int(item.kind),
        item.content,
        item.size,
        item.mtime_ns,
        int(item.is_executable),
        signature,
    )
