"""The protocol of a collection, explored whole: no order of steps loses what somebody may read.

One content stands for all, since contents do not touch each other. Two volumes and a snapshot
name it or not; two writers upload it, or copy it from what a view showed them; a collection may
die at each step and begin again. Each rule of the protocol, left out alone, must lose the content:
so none is there for nothing, and the model sees what it is to see.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

import pytest


class Found(Enum):
    """Where the catalog finds the content."""

    NOWHERE = 0
    SOUND = 1
    CONDEMNED = 2


class Volume(Enum):
    """What a volume holds. A deleted one may be made again."""

    DELETED = 0
    EMPTY = 1
    HOLDS = 2


class Writer(Enum):
    """What a writer leans on, and whether an epoch has begun since it began to."""

    IDLE = 0
    STORED = 1
    STORED_BEFORE = 2
    SAW = 3
    SAW_BEFORE = 4


class Step(Enum):
    """How far a collection is."""

    NONE = 0
    MARKED = 1
    CONDEMNED = 2
    WAITED = 3
    MARKED_AGAIN = 4


class State(NamedTuple):
    """Everything. `is_marked` is what the collection thinks of the content.

    `was_held` is whether anything has named it since the packs were condemned.
    """

    found: Found = Found.NOWHERE
    volumes: tuple[Volume, Volume] = (Volume.EMPTY, Volume.DELETED)
    snapshot: bool = False
    writers: tuple[Writer, Writer] = (Writer.IDLE, Writer.IDLE)
    step: Step = Step.NONE
    is_marked: bool = False
    was_held: bool = False

    @property
    def is_held(self) -> bool:
        """Whether a volume or the snapshot names the content."""
        return self.snapshot or Volume.HOLDS in self.volumes


RULES: Final = (
    "a hit in a condemned pack is a miss",
    "what was found stored is waited for",
    "what an older epoch's view showed is not put",
    "what came meanwhile is marked too",
    "that is done after the waiting, not before",
    "all that was named since the condemnation counts, not the present alone",
    "what is live in a condemned pack is copied",
)
BEFORE: Final = {Writer.STORED: Writer.STORED_BEFORE, Writer.SAW: Writer.SAW_BEFORE}


def steps(state: State, rules: frozenset[str]) -> Iterator[State]:
    """Yield every state that can follow."""
    for after in (*_users(state), *_writers(state, rules), *_collector(state, rules)):
        yield after._replace(was_held=after.was_held or after.is_held)


def _users(state: State) -> Iterator[State]:
    """Somebody removes, deletes, makes a volume anew, or names the present as a snapshot."""
    for index in (0, 1):
        match state.volumes[index]:
            case Volume.HOLDS:
                yield _with_volume(state, index, Volume.EMPTY)
                yield _with_volume(state, index, Volume.DELETED)
                yield state._replace(snapshot=True)
            case Volume.EMPTY:
                yield _with_volume(state, index, Volume.DELETED)
            case Volume.DELETED:
                yield _with_volume(state, index, Volume.EMPTY)
    if state.snapshot:
        yield state._replace(snapshot=False)


def _writers(state: State, rules: frozenset[str]) -> Iterator[State]:
    is_miss = state.found is Found.NOWHERE or (
        state.found is Found.CONDEMNED and "a hit in a condemned pack is a miss" in rules
    )
    for index in (0, 1):
        writer = state.writers[index]
        if writer is Writer.IDLE:
            stored = state._replace(found=Found.SOUND) if is_miss else state
            yield _with_writer(stored, index, Writer.STORED)
            yield _with_writer(stored, index, Writer.STORED_BEFORE)  # has not heard of the epoch
            if state.is_held:
                yield _with_writer(state, index, Writer.SAW)
            continue
        yield _with_writer(state, index, Writer.IDLE)  # gives up, or dies
        is_old = writer is Writer.SAW_BEFORE
        if is_old and "what an older epoch's view showed is not put" in rules:
            continue
        for target in (0, 1):
            if state.volumes[target] is not Volume.DELETED:
                put = _with_volume(state, target, Volume.HOLDS)
                yield _with_writer(put, index, Writer.IDLE)


def _collector(state: State, rules: frozenset[str]) -> Iterator[State]:
    if state.step is not Step.NONE:
        yield state._replace(step=Step.NONE)  # dies; what is condemned stays so
    match state.step:
        case Step.NONE:
            yield state._replace(step=Step.MARKED, is_marked=state.is_held)
        case Step.MARKED:
            yield _condemned(state)
        case Step.CONDEMNED | Step.WAITED:
            marks_last = "that is done after the waiting, not before" in rules
            after = Step.WAITED if state.step is Step.CONDEMNED else Step.MARKED_AGAIN
            if marks_last is (state.step is Step.WAITED):
                yield state._replace(step=after, is_marked=_marked(state, rules))
            elif (
                Writer.STORED_BEFORE not in state.writers
                or "what was found stored is waited for" not in rules
            ):
                yield state._replace(step=after)
        case Step.MARKED_AGAIN:
            yield _swept(state, rules)._replace(step=Step.NONE)


def _condemned(state: State) -> State:
    """An epoch begins. The pack is condemned if it is dead, or was already."""
    found = state.found
    if found is Found.SOUND and not state.is_marked:
        found = Found.CONDEMNED
    first, second = (BEFORE.get(writer, writer) for writer in state.writers)
    return state._replace(
        found=found, writers=(first, second), step=Step.CONDEMNED, was_held=state.is_held
    )


def _marked(state: State, rules: frozenset[str]) -> bool:
    if "what came meanwhile is marked too" not in rules:
        return state.is_marked
    if "all that was named since the condemnation counts, not the present alone" not in rules:
        return state.is_marked or state.is_held
    return state.is_marked or state.was_held


def _swept(state: State, rules: frozenset[str]) -> State:
    if state.found is not Found.CONDEMNED:
        return state
    is_copied = state.is_marked and "what is live in a condemned pack is copied" in rules
    return state._replace(found=Found.SOUND if is_copied else Found.NOWHERE)


def _with_volume(state: State, index: int, volume: Volume) -> State:
    first, second = state.volumes
    return state._replace(volumes=(volume, second) if index == 0 else (first, volume))


def _with_writer(state: State, index: int, writer: Writer) -> State:
    first, second = state.writers
    return state._replace(writers=(writer, second) if index == 0 else (first, writer))


def lost(rules: frozenset[str]) -> tuple[State | None, int]:
    """Return a state in which what is named is nowhere, if one can be reached, and how many are."""
    seen = {State()}
    waiting = [State()]
    while waiting:
        state = waiting.pop()
        for after in steps(state, rules):
            if after.is_held and after.found is Found.NOWHERE:
                return after, len(seen)
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return None, len(seen)


def test_no_order_of_steps_loses_what_is_named() -> None:
    state, count = lost(frozenset(RULES))
    assert state is None
    assert count > 1000


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(rule: str) -> None:
    state, _ = lost(frozenset(RULES) - {rule})
    assert state is not None
