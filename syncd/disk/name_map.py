"""Which names this disk has for those of the volume that it cannot hold."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection

from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.disk.folder import split
from syncd.disk.local_names import folded, local_name
from syncd.disk.probing import Abilities


class NameMap:
    """The map of one linked folder. Thread-safe.

    It is small, and most often empty: it is held in memory, by folders as the volume names them.
    """

    def __init__(self, database: Database, base: Base, abilities: Abilities) -> None:
        self._database = database
        self._base = base
        self._abilities = abilities
        self._local: dict[str, dict[str, str]] = {}
        self._load()

    def _load(self) -> None:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT folder, name, local FROM names").fetchall()
        self._local = {}
        for folder, name, local in rows:
            names = self._local.setdefault(os.fsdecode(folder), {})
            names[os.fsdecode(name)] = os.fsdecode(local)

    def to_disk(self, path: str) -> str:
        """Return where a path of the volume is on this disk."""
        if not self._local or not path:
            return path
        names = path.split("/")
        for index, name in enumerate(names):
            inner = self._local.get("/".join(path.split("/")[:index]))
            if inner:
                names[index] = inner.get(name, name)
        return "/".join(names)

    def true_names(self, folder: str, local_names: Collection[str]) -> dict[str, str]:
        """Return, by the names that a folder of the volume has on the disk, their true ones."""
        mapped = self._local.get(folder, {})
        if not mapped and not self._abilities.folds_unicode:
            return {}
        true = {local: name for name, local in mapped.items()}
        if self._abilities.folds_unicode:
            # The disk may list a name in another form than that in which it was made.
            forms = {_form(name): name for name in self._base.signatures_by_name(folder)}
            for local in local_names:
                if local not in true and local != forms.get(_form(local), local):
                    true[local] = forms[_form(local)]
        return true

    def assign(self, path: str) -> str:
        """Return where a path that is new in the volume will be on this disk.

        To be called in the transaction, or before the one, that puts the path into the base.
        """
        folder, name = split(path)
        inner = self._local.get(folder, {})
        if name not in inner:
            taken = self._taken(folder, name)
            local = local_name(name, self._abilities, taken)
            if local != name:
                self._put(folder, name, local)
        return self.to_disk(path)

    def _taken(self, folder: str, name: str) -> Collection[str]:
        if not (self._abilities.folds_case or self._abilities.folds_unicode):
            return ()
        inner = self._local.get(folder, {})
        return {
            folded(inner.get(other, other), self._abilities)
            for other in self._base.signatures_by_name(folder)
            if other != name
        }

    def _put(self, folder: str, name: str, local: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "REPLACE INTO names VALUES (?, ?, ?)",
                tuple(map(os.fsencode, (folder, name, local))),
            )
        self._local.setdefault(folder, {})[name] = local

    def forget(self, path: str) -> None:
        """A path is gone from this disk, with all below it."""
        if not self._local:
            return
        folder, name = split(path)
        encoded = os.fsencode(path)
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM names WHERE folder = ? AND name = ?"
                " OR folder = ? OR folder >= ? AND folder < ?",
                (os.fsencode(folder), os.fsencode(name), encoded, encoded + b"/", encoded + b"0"),
            )
        self._load()

    def move(self, path: str, new_path: str) -> None:
        """A path has another name in the volume; those below it keep theirs on the disk.

        Its own local name is forgotten: `assign` the new path before.
        """
        if not self._local:
            return
        folder, name = split(path)
        old, new = os.fsencode(path), os.fsencode(new_path)
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM names WHERE folder = ? AND name = ?",
                (os.fsencode(folder), os.fsencode(name)),
            )
            connection.execute(
                "UPDATE names SET folder = CAST(? || substr(folder, ?) AS BLOB)"
                " WHERE folder = ? OR folder >= ? AND folder < ?",
                (new, len(old) + 1, old, old + b"/", old + b"0"),
            )
        self._load()

    def all(self) -> list[tuple[str, str]]:
        """Return the paths that have another name here, each with that name."""
        return [
            (f"{folder}/{name}" if folder else name, local)
            for folder, names in sorted(self._local.items())
            for name, local in sorted(names.items())
        ]


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)
