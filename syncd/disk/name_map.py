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

_Place = tuple[int, str]
"""The node of a folder, and a name in it."""


class NameMap:
    """The map of one linked folder, by nodes. Thread-safe. It is small, and most often empty.

    A node that is to be moved has a name where it is and one where it will be: the move may fail,
    or be cut off by a kill before anybody knows of it.
    """

    def __init__(self, database: Database, base: Base, abilities: Abilities) -> None:
        self._database = database
        self._base = base
        self._abilities = abilities
        with database.reading() as connection:
            rows = connection.execute("SELECT node, parent, name, local FROM local_names")
            self._local: dict[int, dict[_Place, str]] = {}
            self._in_folder: dict[int, dict[str, tuple[str, int]]] = {}
            for node, parent, name, local in rows:
                place = parent, os.fsdecode(name)
                self._local.setdefault(node, {})[place] = os.fsdecode(local)
        for node, places in self._local.items():
            self._list(node, places)

    def _list(self, node: int, places: dict[_Place, str]) -> None:
        for (parent, name), local in places.items():
            if local != name:
                self._in_folder.setdefault(parent, {})[local] = (name, node)

    def _unlist(self, places: dict[_Place, str]) -> None:
        for (parent, _), local in places.items():
            self._in_folder.get(parent, {}).pop(local, None)

    @property
    def folds(self) -> bool:
        """Whether the disk answers to names that are written otherwise than what it lists."""
        return self._abilities.folds_case or self._abilities.folds_unicode

    def form(self, name: str) -> str:
        """Return what is equal for two names if one was made, and the other is listed for it."""
        return _form(name) if self._abilities.folds_unicode else name

    def local(self, node: int, parent: int, name: str) -> str:
        """Return what the disk calls a node of this name in a folder."""
        places = self._local.get(node) if self._local else None
        if places is None:
            return name
        found = places.get((parent, name))
        # Its folder may have got another number since.
        return found or next((local for place, local in places.items() if place[1] == name), name)

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
            names.append(self.local(node, found.parent, found.name))
            node = found.parent
        return "/".join(reversed(names))

    def true_names(self, folder: int, listed: Iterable[str]) -> dict[str, str]:
        """Return, by the names that a folder has on the disk, those whose true ones are others."""
        if not self._local and not self._abilities.folds_unicode:
            return {}
        rows = self._base.rows(folder)
        true = {
            local: name
            for local, (name, node) in self._in_folder.get(folder, {}).items()
            if self._base.get(node) is not None  # It may be there since a move that a kill cut off.
        }
        for name, row in rows.items():
            if row.node in self._local and (local := self.local(row.node, folder, name)) != name:
                true[local] = name
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
        local = local_name(name, self._abilities, ())
        if local != name or self.folds:
            local = local_name(name, self._abilities, self._taken(tree, parent, node))
        before = self._local.get(node, {})
        here = self._base.get(node)
        places = {(parent, name): local}
        if here is not None and here.place != (parent, name):
            places[here.place] = self.local(node, *here.place)
        if all(place[1] == local for place, local in places.items()):
            self.forget([node])
        elif places != before:
            self._keep(node, places)
        return local

    def _keep(self, node: int, places: dict[_Place, str]) -> None:
        self._unlist(self._local.get(node, {}))
        self._list(node, places)
        self._local[node] = places
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM local_names WHERE node = ?", (node,))
            connection.executemany(
                "INSERT INTO local_names VALUES (?, ?, ?, ?)",
                (
                    (node, parent, os.fsencode(name), os.fsencode(local))
                    for (parent, name), local in places.items()
                ),
            )

    def _taken(self, tree: Tree, parent: int, node: int) -> set[str]:
        return {
            folded(self.local(other, parent, name), self._abilities)
            for name, other in tree.children(parent)
            if other != node
        }

    def forget(self, nodes: Iterable[int]) -> None:
        """Take nodes off the map: they are gone, or have their own name."""
        gone = [node for node in nodes if node in self._local]
        if gone:
            for node in gone:
                self._unlist(self._local.pop(node))
            with self._database.transaction() as connection:
                connection.executemany(
                    "DELETE FROM local_names WHERE node = ?", ((one,) for one in gone)
                )

    def all(self) -> list[tuple[int, str]]:
        """Return the nodes that have another name here, each with that name."""
        found = ((node, self._base.get(node)) for node in self._local)
        names = ((node, one.name, self.local(node, *one.place)) for node, one in found if one)
        return sorted((node, local) for node, name, local in names if local != name)


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
