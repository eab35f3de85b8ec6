"""The history of one path: its own changes merged with those of all folders above it.

A change of a folder tells of a path below it by what its old and its new entry hold there, so
each costs a look-up in both. Where a path came by a move or copy, its history goes on at the
place it came from, unless the path had a history of its own there a moment before: programs save
by writing a temporary file and moving it onto the old one, and what people call one file is then
the name.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from cas.errors import MissingObjectError
from cas.history import History, Recorded
from cas.journal import Action, Change
from cas.nodes import NodeStore, ReadNodes
from cas.objects import Entry
from cas.paths import Names, join_names
from cas.replaying import split_joined
from cas.trees import lookup

_SAVING_NS: Final = 60 * 1_000_000_000
"""How long ago a path was left at most if what comes there now is its next version."""


class LogItem(NamedTuple):
    """What a change meant for a path.

    `path` in the volume `volume_id` is where it was then, `old` and `new` its entries before and
    after, None where there was none. Of a move or copy, `source` is where it came from, in
    `source_volume` if that is another one, or `target` where it went; None otherwise. `commit` is
    the id of the commit with the change, empty while there is none. Times are nanoseconds since
    the epoch.
    """

    volume_id: bytes
    sequence: int
    time_ns: int
    author: str
    device: str
    action: Action
    path: str
    old: Entry | None
    new: Entry | None
    source: str | None
    source_volume: bytes
    target: str | None
    commit: bytes


class _Unknown:
    """Stands for an entry in a tree that is not kept any more."""


_UNKNOWN: Final = _Unknown()
_Found: TypeAlias = Entry | _Unknown | None


@dataclass(slots=True)
class _Place:
    """A path in a volume, and the number of the change before which it is of interest."""

    history: History
    names: Names
    before: int


class _Event(NamedTuple):
    """What a change meant for a path; `rest` is what the path has behind the changed one's."""

    old: _Found
    new: _Found
    rest: Names
    is_leaving: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it is known to have made a difference."""
        is_known = not isinstance(self.old, _Unknown) and not isinstance(self.new, _Unknown)
        return is_known and self.old != self.new


class PathLog:
    """Follows a path back through the history of volumes."""

    def __init__(
        self,
        nodes: NodeStore,
        open_history: Callable[[bytes], History],
        may_follow: Callable[[bytes], bool],
    ) -> None:
        """Make one; `may_follow` says whether to go on in the volume of this id."""
        self._nodes = ReadNodes(nodes)
        self._open = open_history
        self._may_follow = may_follow
        self._hops: set[tuple[bytes, int]] = set()

    def items(
        self, volume_id: bytes, names: Names, *, before: int | None, recursive: bool
    ) -> Iterator[LogItem]:
        """Yield what the changes below number `before` meant for the path, newest first.

        With `recursive`, those of everything below it too.

        Raises:
            IntegrityError: a change or a tree is damaged, or missing and not given up.
        """
        history = self._open(volume_id)
        if before is None:
            before = history.head.sequence + 1
        place: _Place | None = _Place(history, names, before)
        while place is not None:
            place = yield from self._stretch(place, recursive=recursive)

    def _stretch(
        self, place: _Place, *, recursive: bool
    ) -> Generator[LogItem, None, _Place | None]:
        """Yield what happened at one place; return the one before it, if there is one."""
        is_there: bool | None = None  # behind the change at hand, as far as is known
        for recorded in _everything(place) if recursive else _touching(place):
            change = recorded.change
            event = self._event(change, place.names)
            if event is None:
                if recursive:
                    yield _item_below(place, recorded)
                continue
            if event.is_change:
                yield _item(place, recorded, event)
            came = is_there if isinstance(event.new, _Unknown) else event.new is not None
            if came and not event.is_leaving:
                onward = self._onward(place, recorded, event)
                if onward is not None:
                    return onward
            if not isinstance(event.old, _Unknown):
                is_there = event.old is not None
        return None

    def _event(self, change: Change, names: Names) -> _Event | None:
        """Return what a change meant for the path itself; None where it was below it."""
        path = split_joined(change.path)
        if names[: len(path)] == path:
            rest = names[len(path) :]
            old, new = change.old, change.new
            is_here = change.action not in {Action.MOVE, Action.COPY}
            if rest and is_here and old and new and old.content == new.content:
                return _Event(_UNKNOWN, _UNKNOWN, rest)  # the same, whatever it is: not looked up
            return _Event(self._within(old, rest), self._within(new, rest), rest)
        source = split_joined(change.source)
        if change.action is Action.MOVE and names[: len(source)] == source:
            rest = names[len(source) :]
            return _Event(self._within(change.new, rest), None, rest, is_leaving=True)
        return None

    def _within(self, entry: Entry | None, rest: Names) -> _Found:
        """Return the entry at the path below an entry's folder."""
        for name in rest:
            if entry is None or not entry.is_directory:
                return None
            try:
                entry = lookup(self._nodes, entry.content, name)
            except MissingObjectError:
                return _UNKNOWN
        return entry

    def _onward(self, place: _Place, recorded: Recorded, event: _Event) -> _Place | None:
        """Return where the history of what came with this change goes on; None: where it is."""
        change = recorded.change
        is_copy = change.action is Action.COPY
        if change.action not in {Action.MOVE, Action.COPY} or isinstance(event.old, Entry):
            return None
        is_known = bool(change.source) or not change.path  # of a root put over a root, it is one
        if not is_known or (not is_copy and self._was_left(place, recorded)):
            return None
        origin = split_joined(change.source) + event.rest
        if not change.source_volume or change.source_volume == place.history.volume_id:
            return _Place(place.history, origin, recorded.sequence)
        hop = place.history.volume_id, recorded.sequence
        if hop in self._hops or not self._may_follow(change.source_volume):
            return None
        self._hops.add(hop)  # clocks that were set back could lead round in circles
        history = self._open(change.source_volume)
        return _Place(history, origin, history.sequence_at(change.time_ns) + 1)

    def _was_left(self, place: _Place, recorded: Recorded) -> bool:
        """Tell whether something had left the path just before this change brought what it has."""
        earliest = recorded.change.time_ns - _SAVING_NS
        for earlier in _touching(_Place(place.history, place.names, recorded.sequence)):
            if earlier.change.time_ns < earliest:
                return False
            event = self._event(earlier.change, place.names)
            if event is not None and event.is_change:
                return event.new is None
        return False


def _touching(place: _Place) -> Iterator[Recorded]:
    """Yield the changes of the path and of the folders above it, newest first."""
    numbers = heapq.merge(
        *(
            place.history.numbers_at(b"/".join(place.names[:depth]), place.before)
            for depth in range(len(place.names) + 1)
        ),
        reverse=True,
    )
    for number, _ in groupby(numbers):
        recorded = place.history.change(number)
        if recorded is not None:  # else a repair has given it up
            yield recorded


def _everything(place: _Place) -> Iterator[Recorded]:
    """Yield the changes of the path, above it and below it, newest first."""
    for recorded in place.history.backward(place.before):
        change = recorded.change
        if change.action is Action.SNAPSHOT:
            continue
        paths = [change.path, change.source] if change.action is Action.MOVE else [change.path]
        if any(_is_along(split_joined(path), place.names) for path in paths):
            yield recorded


def _is_along(path: Names, names: Names) -> bool:
    """Tell whether one of two paths is the other or lies below it."""
    shared = min(len(path), len(names))
    return path[:shared] == names[:shared]


def _item(place: _Place, recorded: Recorded, event: _Event) -> LogItem:
    """Return the item for the path itself."""
    change = recorded.change
    source = target = None
    if event.is_leaving:
        target = join_names(split_joined(change.path) + event.rest)
    elif change.action in {Action.MOVE, Action.COPY} and (change.source or not change.path):
        source = join_names(split_joined(change.source) + event.rest)
    return _log_item(
        place,
        recorded,
        place.names,
        None if isinstance(event.old, _Unknown) else event.old,
        None if isinstance(event.new, _Unknown) else event.new,
        source,
        target,
    )


def _item_below(place: _Place, recorded: Recorded) -> LogItem:
    """Return the item for what lies below the path."""
    change = recorded.change
    path, source = split_joined(change.path), split_joined(change.source)
    if path[: len(place.names)] == place.names:
        came_from = join_names(source) if change.source else None
        return _log_item(place, recorded, path, change.old, change.new, came_from, None)
    return _log_item(place, recorded, source, change.new, None, None, join_names(path))


def _log_item(
    place: _Place,
    recorded: Recorded,
    names: Names,
    old: Entry | None,
    new: Entry | None,
    source: str | None,
    target: str | None,
) -> LogItem:
    change = recorded.change
    return LogItem(
        place.history.volume_id,
        recorded.sequence,
        change.time_ns,
        change.author,
        change.device,
        change.action,
        join_names(names),
        old,
        new,
        source,
        change.source_volume if source is not None else b"",
        target,
        recorded.commit,
    )
