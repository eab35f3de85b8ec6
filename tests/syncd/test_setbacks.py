"""What goes on while something else has to wait."""

from __future__ import annotations

from syncd.plan import Action, Step
from syncd.setbacks import Setbacks
from syncd.trees import FOLDER
from tests.support.drawn_trees import text


def test_nothing_is_parked_that_cannot_go_on() -> None:
    park = Step(Action.MOVE, 1, "parked", text("1"), "a", is_parked=True)
    other = Step(Action.MOVE, 2, "a", text("2"), "b")
    leave = Step(Action.MOVE, 1, "b", text("1"), "parked")
    away = Step(Action.PUT, 3, "c", text("3"))
    steps = [park, other, leave, away]
    setbacks = Setbacks(lambda: 0.0)
    assert setbacks.possible(steps, set()) == steps
    assert setbacks.possible(steps, {2}) == [away]


def test_what_is_removed_at_the_end_may_be_parked() -> None:
    park = Step(Action.MOVE, 1, "parked", text("1"), "a", is_parked=True)
    remove = Step(Action.REMOVE, 1, "parked", text("1"))
    setbacks = Setbacks(lambda: 0.0)
    assert setbacks.possible([park, remove], set()) == [park, remove]


def test_a_folder_is_not_removed_before_what_waits_in_it_has_left() -> None:
    move = Step(Action.MOVE, 1, "new/inner/a", text("1"), "old/inner/a")
    remove = Step(Action.REMOVE, 2, "old", FOLDER)
    other = Step(Action.REMOVE, 3, "other", FOLDER)
    setbacks = Setbacks(lambda: 0.0)
    assert setbacks.possible([move, remove, other], set()) == [move, remove, other]
    assert setbacks.possible([move, remove, other], {1}) == [other]
