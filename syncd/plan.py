"""What the planner decides: steps that make one tree another, and what the user is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from syncd.disk.items import Item
from syncd.trees import Overlay


class Action(Enum):
    """What a step does."""

    MAKE_FOLDER = "make folder"
    MOVE = "move"
    PUT = "put"
    SET = "set"
    REMOVE = "remove"


class Step(NamedTuple):
    """One change of a tree, of the disk's or the server's; steps are carried out in their order.

    Attributes:
        action: what is done.
        node: to which node.
        path: where it is after the step, or was until it, if it is removed.
        item: what it is then; of a removal, what it was.
        source: where it was before, of a move.
        old: what it was before: None of what is new.
        is_parked: a move to a name that nobody chose, because its own is still taken. A later
            step of the plan moves it on, and no commit may end in between.
    """

    action: Action
    node: int
    path: str
    item: Item
    source: str = ""
    old: Item | None = None
    is_parked: bool = False


class Reason(Enum):
    """Why the user is told of something."""

    EDITED_TWICE = "both sides changed it"
    ADDED_TWICE = "both sides made something of that name"
    FILE_AND_FOLDER = "one side made a file, the other a folder of that name"
    MERGED = "both sides changed it; the changes were put together"
    OVERWRITTEN = "the later version was kept, the other is in the history"
    RENAMED_TWICE = "both sides renamed it; the first name stays"
    CYCLE = "each side moved one folder into the other; the first move stays"


class Notice(NamedTuple):
    """Something that was decided and that the user may want to know; paths are of the result."""

    reason: Reason
    path: str
    copy: str = ""


class TextMerge(NamedTuple):
    """Two changes of one text that may go together. `base` is what both were made from."""

    node: int
    path: str
    base: Item
    local: Item
    remote: Item


class MergeKey(NamedTuple):
    """Of which two contents a merged text was made."""

    node: int
    local: bytes
    remote: bytes


@dataclass(frozen=True)
class Rules:
    """What the planner has to know beside the trees.

    Attributes:
        device: this device's name, for conflict copies.
        time_ns: now, for the names of conflict copies.
        later_wins: whether a path lies in a folder whose policy is last-write-wins.
        may_merge: whether a text at a path is to be merged by lines, where that is possible.
        merged: texts that were merged; None for one where it was not possible.
        holders: paths of folders on the server that hold something which is not in its tree here.
    """

    device: str
    time_ns: int = 0
    later_wins: Callable[[str], bool] = lambda _: False
    may_merge: Callable[[str], bool] = lambda _: False
    merged: Mapping[MergeKey, Item | None] = field(default_factory=dict)
    holders: Collection[str] = ()


@dataclass
class Merge:
    """What both sides are to become.

    Attributes:
        tree: the merged tree, over the base.
        local: the local tree, in which files that become conflict copies are nodes of their own.
        notices: what the user is told once it is done.
        texts: texts to be merged first, whereupon a new plan is made with what came of it.
        kept: what one side has removed with a folder that the other has moved, and is to stay.
    """

    tree: Overlay
    local: Overlay
    notices: list[Notice] = field(default_factory=list)
    texts: list[TextMerge] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)


@dataclass
class Plan:
    """A merge as steps.

    Attributes:
        merge: what both sides are to become.
        local: steps for the disk.
        remote: steps for the server.
    """

    merge: Merge
    local: list[Step]
    remote: list[Step]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.local or self.remote or self.merge.texts)
