"""A base, what each side made of it, and what both become: for tests of the planner's rules."""

from __future__ import annotations

from syncd.plan import Reason, Rules
from syncd.trees import FOLDER, find
from tests.support.drawn_trees import (
    NOON_NS,
    Drawing,
    Side,
    Sides,
    agree_all,
    drawn,
    text,
    walk_all,
)


class Case:
    """A base, what each side made of it, and what both become."""

    def __init__(self, **base: str) -> None:
        self.sides = Sides()
        side = Side(self.sides.remote, self.sides.ids)
        for path, content in base.items():
            add(side, path.replace("__", "/"), content)
        agree_all(self.sides)
        self.local = Side(self.sides.local, self.sides.ids)
        self.remote = Side(self.sides.remote, self.sides.ids)
        self.rules = Rules("here", NOON_NS)
        self.reasons: list[Reason] = []

    def result(self) -> dict[str, str]:
        """Return the files by their paths, and empty folders, when both sides agree on them."""
        plan = self.sides.plan(self.rules)
        self.steps = plan
        self.reasons = [notice.reason for notice in plan.merge.notices]
        result = drawn(plan.merge.tree)
        assert walk_all(self.sides.local, plan, is_local=True) == result
        assert walk_all(self.sides.remote, plan, is_local=False) == result
        return shown(result)


def add(side: Side, path: str, content: str) -> None:
    names = path.split("/")
    for count in range(1, len(names)):
        folder = "/".join(names[:count])
        if find(side.tree, folder) is None:
            side.make(folder)
    if content == "/":
        side.make(path)
    else:
        side.write(path, text(content))


def shown(drawing: Drawing) -> dict[str, str]:
    holding = {path.rpartition("/")[0] for path in drawing}
    return {
        path: "/" if item == FOLDER else item.content.decode()
        for path, item in drawing.items()
        if item != FOLDER or path not in holding
    }
