"""Which names this disk has for those of the volume that it cannot hold."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable

from syncd.disk.base import Base
from syncd.disk.database import Database
from syncd.disk.local_names import folded, local_name
from syncd.disk.probing import ABLE, Abilities
from syncd.trees import ROOT, Tree


class NameMap:
    """The map of one linked folder, by nodes. Thread-safe. It is small, and most often empty."""

    def __init__(self, database: Database, base: Base, abilities: Abilities) -> None:
        self._database = database
        self._base = base
        self._abilities = abilities
        with database.reading() as connection:
            rows = connection.execute("SELECT node, local FROM names").fetchall()
        self._local = {node: os.fsdecode(local) for node, local in rows}

    @property
    def folds(self) -> bool:
        """Whether the disk answers to names that are written otherwise than what it lists."""
        return self._abilities.folds_case or self._abilities.folds_unicode

    def form(self, name: str) -> str:
        """Return what is equal for two names if one was made, and the other is listed for it."""
        return _form(name) if self._abilities.folds_unicode else name

    def local(self, node: int, name: str) -> str:
        """Return what the disk calls a node of this name."""
        return self._local.get(node, name) if self._local else name

    def path(self, tree: Tree, node: int) -> str:
        """Return where a node of a tree is on this disk.

        Raises:
            KeyError: the tree has no such node.
        """
        names: list[str] = []
        while node != ROOT:
            found = tree.get(node)
            if found is None:
                raise KeyError(node)
            names.append(self.local(node, found.name))
            node = found.parent
        return "/".join(reversed(names))

    def true_names(self, folder: int, listed: Iterable[str]) -> dict[str, str]:
        """Return, by the names that a folder has on the disk, those whose true ones are others."""
        if not self._local and not self._abilities.folds_unicode:
            return {}
        rows = self._base.rows(folder)
        true = {
            self._local[row.node]: name for name, row in rows.items() if row.node in self._local
        }
        if self._abilities.folds_unicode:
            # The disk may list a name in another form than that in which it was made.
            forms = {_form(name): name for name in rows}
            for local in listed:
                name = forms.get(_form(local), local)
                if local not in true and local != name:
                    true[local] = name
        return true

    def assign(self, tree: Tree, parent: int, node: int, name: str) -> str:
        """Return what the disk is to call a node that comes into a folder, or gets this name.

        `tree` is what the disk holds: a name is another one where theirs would clash.
        """
        local = local_name(name, self._abilities, self._taken(tree, parent, node))
        if local == name:
            self.forget([node])
        elif self._local.get(node) != local:
            self._local[node] = local
            with self._database.transaction() as connection:
                connection.execute("REPLACE INTO names VALUES (?, ?)", (node, os.fsencode(local)))
        return local

    def _taken(self, tree: Tree, parent: int, node: int) -> set[str]:
        if not self.folds:
            return set()
        return {
            folded(self.local(other, name), self._abilities)
            for name, other in tree.children(parent)
            if other != node
        }

    def forget(self, nodes: Iterable[int]) -> None:
        """Take nodes off the map: they are gone, or have their own name."""
        gone = [node for node in nodes if self._local and self._local.pop(node, None) is not None]
        if gone:
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM names WHERE node = ?", ((one,) for one in gone))

    def all(self) -> list[tuple[int, str]]:
        """Return the nodes that have another name here, each with that name."""
        return sorted(self._local.items())


def true_path(database: Database, base: Base, disk_path: str) -> str:
    """Return which path of the volume something has that is at a path on the disk.

    What is not in the base has the same name there.
    """
    names = NameMap(database, base, ABLE)
    node: int | None = ROOT
    true: list[str] = []
    for local in disk_path.split("/") if disk_path else ():
        name = names.true_names(node, [local]).get(local, local) if node is not None else local
        node = base.child(node, name) if node is not None else None
        true.append(name)
    return "/".join(true)


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)
