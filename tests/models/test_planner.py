"""Three trees that come from one: what the planner makes of them, whatever they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.pairing import content_of
from syncd.plan import Plan
from syncd.trees import FOLDER, Node, is_inside
from tests.support.drawn_trees import (
    Drawing,
    Side,
    Sides,
    agree_all,
    drawn,
    link,
    text,
    walk_all,
)

NAMES = ("a", "b", "c", "d.txt")
CONTENTS = ("", "1", "2", "3", "4")

edits = st.lists(
    st.tuples(
        st.sampled_from(("write", "make", "move", "move", "remove", "touch", "link")),
        st.integers(0, 30),
        st.integers(0, 30),
        st.sampled_from(NAMES),
        st.sampled_from(CONTENTS),
    ),
    max_size=12,
)


def edit(side: Side, steps: list[tuple[str, int, int, str, str]]) -> None:
    """Do what is possible of random steps."""
    for action, which, where, name, content in steps:
        drawing = drawn(side.tree)
        paths = sorted(drawing)
        folders = ["", *(path for path in paths if drawing[path] == FOLDER)]
        folder = folders[where % len(folders)]
        new_path = f"{folder}/{name}" if folder else name
        chosen = paths[which % len(paths)] if paths else ""
        if action == "write":
            item = drawing.get(new_path)
            if item is None or item != FOLDER:
                side.write(new_path, text(content))
        elif action == "link" and new_path not in drawing:
            side.write(new_path, link(content))
        elif action == "make" and new_path not in drawing:
            side.make(new_path)
        elif action == "touch" and chosen and drawing[chosen] != FOLDER:
            old = drawing[chosen]
            time_ns = old.mtime_ns + 1 + where
            side.write(chosen, replace(old, mtime_ns=time_ns, is_executable=where % 2 > 0))
        elif action == "remove" and chosen:
            side.remove(chosen)
        elif action == "move" and chosen and new_path not in drawing:
            goal = side.node(folder)
            if not is_inside(side.tree, goal, side.node(chosen)):
                side.move(chosen, new_path)


def sides_of(
    first: list[tuple[str, int, int, str, str]],
    mine: list[tuple[str, int, int, str, str]],
    theirs: list[tuple[str, int, int, str, str]],
) -> Sides:
    sides = Sides()
    edit(Side(sides.remote, sides.ids), first)
    agree_all(sides)
    edit(Side(sides.local, sides.ids), mine)
    edit(Side(sides.remote, sides.ids), theirs)
    return sides


def contents(drawing: Drawing) -> set[tuple[bool, int, bytes]]:
    return {content_of(item) for item in drawing.values() if item != FOLDER}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits, edits, edits)
def test_both_sides_become_the_same_and_nothing_is_lost(
    first: list[tuple[str, int, int, str, str]],
    mine: list[tuple[str, int, int, str, str]],
    theirs: list[tuple[str, int, int, str, str]],
) -> None:
    check(sides_of(first, mine, theirs))


@pytest.mark.soak
@settings(max_examples=50_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits, edits, edits)
def test_both_sides_become_the_same_and_nothing_is_lost_soak(
    first: list[tuple[str, int, int, str, str]],
    mine: list[tuple[str, int, int, str, str]],
    theirs: list[tuple[str, int, int, str, str]],
) -> None:
    check(sides_of(first, mine, theirs))


def check(sides: Sides) -> None:
    before, local, remote = drawn(sides.base), drawn(sides.local), drawn(sides.remote)
    plan = sides.plan()
    result = drawn(plan.merge.tree)
    assert walk_all(sides.local, plan, is_local=True) == result
    assert walk_all(sides.remote, plan, is_local=False) == result

    # What only one side has ever had is in the result; the rest is in the history.
    kept = contents(result)
    assert contents(local) - contents(before) <= kept | contents(remote)
    assert contents(remote) - contents(before) <= kept
    assert contents(local) - contents(before) - contents(remote) <= kept

    check_removals(sides, plan)
    check_copies(plan, before, local, remote, result)
    check_rest(sides, plan)


def check_removals(sides: Sides, plan: Plan) -> None:
    """Only what one side removed and the other left alone is gone."""
    for node in plan.merge.tree.changed():
        base = sides.base.get(node)
        if base is None or plan.merge.tree.get(node) is not None:
            continue
        local, remote = plan.merge.local.get(node), sides.remote.get(node)
        for stays in (local, remote):
            if stays is not None and not base.is_folder:
                is_same = content_of(stays.item) == content_of(base.item)
                assert is_same or is_there(plan, stays), (node, base, local, remote)
        if not base.is_folder and local is not None and remote is not None:
            assert any(is_there(plan, stays) for stays in (local, remote))


def is_there(plan: Plan, node: Node) -> bool:
    return content_of(node.item) in contents(drawn(plan.merge.tree))


def check_copies(
    plan: Plan, before: Drawing, local: Drawing, remote: Drawing, result: Drawing
) -> None:
    """No content is there more often than the sides had it together."""
    counts = [
        Counter(content_of(item) for item in drawing.values() if item != FOLDER)
        for drawing in (before, local, remote, result)
    ]
    for content, count in counts[3].items():
        assert count <= counts[1][content] + counts[2][content], (content, plan)


def check_rest(sides: Sides, plan: Plan) -> None:
    """When both sides have become the result there is nothing left to do."""
    again = Sides(sides.ids)
    side = Side(again.remote, again.ids)
    for path, item in sorted(drawn(plan.merge.tree).items()):
        side.write(path, item)
    agree_all(again)
    assert not again.plan()
    for tree in (again.local, again.remote):
        assert drawn(tree) == drawn(plan.merge.tree)
