"""What was moved between two states of a volume, by its history.

Changes are followed forward from the old state. What is at a path comes from the path of that name
in the old state unless a change said otherwise: so only moves and removals are remembered, in a
tree of names where a moved folder takes along all that was remembered below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from cas.journal import Action, Change
from cas.objects import Entry
from cas.paths import Names, join_names
from cas.replaying import split_joined
from cas.trees import lookup
from cas.views import View


class Move(NamedTuple):
    """What was at `source` in the old state is at `path` in the new one, changed or not."""

    source: str
    path: str


def find_moves(old: View, new: View, changes: Iterable[Change]) -> list[Move]:
    """Return what was moved, by target, given all changes that made the new state of the old one.

    A folder is one move with all that went along; what left it or came into it by a move of its own
    is another. A file whose place was taken by a new file is not counted as moved: programs save
    so, and the file is the one of that name. Memory follows the moves and removals.

    Raises:
        IntegrityError: a folder on the way is damaged.
    """
    origins = _Origins(partial(_is_in, old))
    for change in changes:
        origins.follow(change)
    found = (Move(join_names(source), join_names(path)) for source, path in origins.moved())
    return sorted((move for move in found if _is_move(old, new, move)), key=lambda move: move.path)


def _is_in(view: View, names: Names) -> bool:
    # Not by `View.get`: this is asked for every file that a program saved by renaming it.
    entry: Entry | None = view.root
    for name in names:
        if entry is None or not entry.is_directory:
            return False
        entry = lookup(view.nodes, entry.content, name)
    return entry is not None


def _is_move(old: View, new: View, move: Move) -> bool:
    before, after = old.get(move.source), new.get(move.path)
    if before is None or after is None or before.is_directory != after.is_directory:
        return False
    in_its_place = new.get(move.source)
    if in_its_place is not None and not before.is_directory:
        return False
    return in_its_place != before and old.get(move.path) != after


class _Place:
    """A path: where what is there comes from, if that does not follow from the path above it."""

    __slots__ = ("below", "is_known", "origin")

    def __init__(self) -> None:
        self.is_known = False
        self.origin: Names | None = None
        self.below: dict[bytes, _Place] = {}

    def set(self, origin: Names | None) -> None:
        """Say where it comes from; None: it is new."""
        self.is_known = True
        self.origin = origin


class _Origins:
    """Where everything in the present state was in the old one; None is what was not there."""

    def __init__(self, was_there: Callable[[Names], bool]) -> None:
        self._was_there = was_there
        self._root = _new_place(())

    def follow(self, change: Change) -> None:
        """Take a change into account."""
        path = split_joined(change.path)
        if change.action is Action.SNAPSHOT:
            return
        if not path:
            if change.action is not Action.SET_PROPERTIES:  # A rollback: as if nothing was moved.
                self._root = _new_place(())
        elif change.action is Action.MOVE:
            self._move(split_joined(change.source), path)
        elif change.action is Action.REMOVE or (change.action is Action.COPY and change.old):
            self._forget(path)

    def moved(self) -> Iterator[tuple[Names, Names]]:
        """Yield where something was and where it is, if these are two paths."""
        waiting: list[tuple[Names, _Place]] = [((), self._root)]
        while waiting:
            path, place = waiting.pop()
            if place.is_known and place.origin is not None and place.origin != path:
                yield place.origin, path
            waiting += [((*path, name), below) for name, below in place.below.items()]

    def _move(self, source: Names, path: Names) -> None:
        origin = self._origin(source)
        if origin is not None and not self._was_there(origin):
            origin = None
        place = self._take(source) or _Place()
        if origin is not None:
            self._put(source, _new_place(None))
        if origin is None and not place.below:
            self._forget(path)
            return
        place.set(origin)
        self._put(path, place)

    def _forget(self, path: Names) -> None:
        """Say that what was at the path until now is gone, with all below it."""
        self._take(path)
        origin = self._origin(path)
        if origin is not None and self._was_there(origin):
            self._put(path, _new_place(None))

    def _origin(self, path: Names) -> Names | None:
        place: _Place | None = self._root
        origin = self._root.origin
        for name in path:
            place = place.below.get(name) if place is not None else None
            if place is not None and place.is_known:
                origin = place.origin
            elif origin is not None:
                origin = (*origin, name)
        return origin

    def _take(self, path: Names) -> _Place | None:
        place = self._root
        for name in path[:-1]:
            below = place.below.get(name)
            if below is None:
                return None
            place = below
        return place.below.pop(path[-1], None)

    def _put(self, path: Names, new: _Place) -> None:
        place = self._root
        for name in path[:-1]:
            place = place.below.setdefault(name, _Place())
        place.below[path[-1]] = new


def _new_place(origin: Names | None) -> _Place:
    place = _Place()
    place.set(origin)
    return place
