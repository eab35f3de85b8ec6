"""Paths that failed, why, and when they are tried again: one bad path never blocks another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from syncd.committing import is_at_or_below
from syncd.plan import Action, Step
from syncd.reasons import is_no_room

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0
"""How long a path is left alone after it failed: doubled each time."""
LONGEST_WITHOUT_ROOM_S: Final = 30.0
"""The same where there is no room: somebody makes some, and looks."""


@dataclass(slots=True)
class _Setback:
    reason: str
    until_s: float
    length_s: float


class Setbacks:
    """What failed lately. One thread at a time.

    Args:
        monotonic: returns seconds of a clock that is never set.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._by_path: dict[str, _Setback] = {}

    def __bool__(self) -> bool:
        """Whether anything failed and has not gone well since."""
        return bool(self._by_path)

    def add(self, path: str, reason: str) -> None:
        """Leave a path alone for a while."""
        before = self._by_path.get(path)
        longest_s = LONGEST_WITHOUT_ROOM_S if is_no_room(reason) else LONGEST_S
        length_s = min(2 * before.length_s, longest_s) if before else FIRST_S
        self._by_path[path] = _Setback(reason, self._monotonic() + length_s, length_s)

    def note(self, steps: Iterable[Step], reason: str) -> None:
        """Leave paths alone that are not left alone yet."""
        for step in steps:
            if step.path not in self._by_path:
                self.add(step.path, reason)

    def remove(self, path: str) -> None:
        """It went well."""
        self._by_path.pop(path, None)

    def keep(self, paths: Collection[str]) -> None:
        """Forget all paths but these: nothing is to be done at the others any more."""
        for path in [path for path in self._by_path if path not in paths]:
            del self._by_path[path]

    def paths(self) -> set[str]:
        """Return the paths that are to be left alone now."""
        now_s = self._monotonic()
        return {path for path, setback in self._by_path.items() if setback.until_s > now_s}

    def possible(self, steps: Sequence[Step], waiting: set[int]) -> list[Step]:
        """Return the steps that wait for nothing that failed lately, and for none of some nodes.

        What would be parked and could not go on from there stays where it is.
        """
        while True:
            possible = self._possible(steps, waiting)
            stuck = _parked_at_end(possible)
            if not stuck:
                return possible
            waiting = waiting | stuck

    def _possible(self, steps: Sequence[Step], waiting: set[int]) -> list[Step]:
        possible: list[Step] = []
        blocked = self.paths()
        holding = {above for path in blocked for above in _folders_above(path)}
        for step in steps:
            is_blocked = is_at_or_below(step.path, blocked) or is_at_or_below(step.source, blocked)
            # A folder is not removed while something waits for its move out of there.
            is_holding = step.action is Action.REMOVE and step.path in holding
            if is_blocked or is_holding or step.node in waiting:
                for path in {step.path, step.source} - {""}:
                    blocked.add(path)
                    holding.update(_folders_above(path))
            else:
                possible.append(step)
        return possible

    def reasons(self) -> dict[str, str]:
        """Return all paths that failed, with the reason."""
        return {path: setback.reason for path, setback in self._by_path.items()}

    def next_s(self) -> float | None:
        """Return when the next path is to be tried again, None where none is."""
        return min((setback.until_s for setback in self._by_path.values()), default=None)


def _parked_at_end(steps: Sequence[Step]) -> set[int]:
    parked: set[int] = set()
    for step in steps:
        if step.is_parked:
            parked.add(step.node)
        elif step.action in {Action.MOVE, Action.REMOVE}:
            parked.discard(step.node)
    return parked


def _folders_above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
