"""How a link is kept in sync, and what that means where changes go one way only. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from syncd.disk.items import Item
from syncd.plan import MergeKey, Plan, Rules, Step

BLOCKED = "the server has something else of that name, and nothing is taken from it"


@dataclass(frozen=True)
class Manner:
    """How a link is kept in sync.

    Attributes:
        device: this device's name.
        sends: whether changes go to the server.
        takes: whether changes come from it.
        later_wins: of a path, as in `Rules`.
        may_merge: of a path, as in `Rules`.
        holders: returns those of `Rules`, as they are called now.
    """

    device: str
    sends: bool = True
    takes: bool = True
    later_wins: Callable[[str], bool] = lambda _: False
    may_merge: Callable[[str], bool] = lambda _: False
    holders: Callable[[], Collection[str]] = tuple

    def merges(self, path: str) -> bool:
        """Whether a text is merged: what comes of it has to be on both sides."""
        return self.sends and self.takes and self.may_merge(path)

    def rules(self, time_ns: int, merged: Mapping[MergeKey, Item | None]) -> Rules:
        """Return what the planner has to know.

        Where nothing is taken, what is here keeps its name: nobody could make a copy of it here.
        """
        later_wins = self.later_wins if self.takes else lambda _: True
        return Rules(self.device, time_ns, later_wins, self.merges, merged, self.holders())

    def steps(self, plan: Plan) -> tuple[list[Step], list[Step]]:
        """Return the steps for the disk and those for the server that are to be done at all."""
        return plan.local if self.takes else [], plan.remote if self.sends else []

    def waiting(self, plan: Plan) -> set[int]:
        """Return the nodes that are not yet here as they are to be.

        They are not committed: the base takes for granted that this device had what it committed,
        and a copy must not get its name there alone. Where nothing is taken a node may have another
        place there than here, if it has it already.
        """
        return {step.node for step in plan.remote if not self._is_ready(step, plan)}

    def _is_ready(self, step: Step, plan: Plan) -> bool:
        mine, new = plan.merge.local.get(step.node), plan.merge.tree.get(step.node)
        if mine == new:
            return True
        if self.takes or mine is None or new is None or mine.item != new.item:
            return False
        return step.old is not None and not step.source
