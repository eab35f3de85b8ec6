"""The protocol of a collection over several gateways, explored whole.

One content stands for all, since contents do not touch each other. It may lie in several packs;
two refs name it or not, of which one is yet to be made. Gateways know the epoch and the packs by
what they have learned, which may be long out of date; writers find the content stored, store it,
or copy it from what a view of the present or the past showed, and may stall anywhere. Collections
die at each step and begin again, or go on when another has overtaken them. Each rule of the
protocol has a name here, and can be left out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

REFS: Final = (0, 1)
LAST_EPOCH: Final = 2


class Pack(IntEnum):
    """What is in the bucket under one of the names of packs."""

    ABSENT = 0
    THERE = 1
    GONE = 2


class RefState(IntEnum):
    """A ref that was just made has no commit."""

    NONE = 0
    MADE = 1
    OPEN = 2


class Step(IntEnum):
    """How far a collection is."""

    NONE = 0
    MARKED = 1
    CONDEMNED = 2
    FENCING = 3
    MARKED_AGAIN = 4
    COPIED = 5
    DELETING = 6


class Ref(NamedTuple):
    """A ref, and whether the commit that it names has the content."""

    state: RefState = RefState.NONE
    holds: bool = False
    min_epoch: int = 0


class Gateway(NamedTuple):
    """What a gateway knows: an epoch, packs unfit to lean on, where the content lies."""

    epoch: int = 0
    unfit: frozenset[int] = frozenset()
    place: int = -1
    knows_dropped: bool = False


class Writer(NamedTuple):
    """A write: the pack that it found, or the epoch of the view that it saw; -1: none.

    `ref` is the one that it has read, at `epoch`; it is still that one while `is_current`.
    """

    pack: int = -1
    seen: int = -1
    ref: int = -1
    epoch: int = 0
    is_current: bool = False


class Collector(NamedTuple):
    """A collection. `listed` are the refs that it fences, `is_live` what it thinks."""

    step: Step = Step.NONE
    is_live: bool = False
    was_held: bool = False
    number: int = 0
    started: frozenset[int] = frozenset()
    chosen: frozenset[int] = frozenset()
    listed: tuple[int, ...] = ()


class State(NamedTuple):
    """Everything. In the past the content may be kept, or dropped by retention."""

    packs: tuple[Pack, ...] = ()
    number: int = 0
    condemned: frozenset[int] = frozenset()
    refs: tuple[Ref, ...] = (Ref(RefState.OPEN), Ref())
    past: bool = False
    dropped: bool = False
    gateways: tuple[Gateway, ...] = ()
    writers: tuple[Writer, ...] = ()
    collectors: tuple[Collector, ...] = ()

    @property
    def is_held(self) -> bool:
        return any(ref.holds for ref in self.refs)

    @property
    def is_lost(self) -> bool:
        return self.is_held and Pack.THERE not in self.packs


RULES: Final = (
    "a hit in a condemned pack is a miss",
    "removed packs are forgotten with the epoch",
    "whoever moves a ref knows its epoch",
    "what was found is looked at again in that epoch",
    "what an older epoch's view showed is not put",
    "refs are fenced",
    "a ref moves only from the state that was read",
    "the first commit to a ref knows the epoch after it was made",
    "a commit hands its epoch on",
    "who knows an epoch knows what retention had dropped before",
    "what came meanwhile is marked too",
    "that is done after the fences, not before",
    "all that was named since the first look counts",
    "what is live in a condemned pack is copied",
    "nothing is deleted where another collection has deleted",
    "nothing is condemned beside what another collection condemned meanwhile",
    "a condemned pack stays condemned until it is gone",
)
Rules = frozenset[str]
