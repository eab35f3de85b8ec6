"""Which nodes are the same: what a killed process has left is not taken for something new."""

from __future__ import annotations

from syncd.agreement import Agreement
from syncd.disk.signatures import Signature
from syncd.trees import ROOT, Node
from tests.support.conflicts import Case
from tests.support.drawn_trees import MARK, text


def test_a_file_that_came_under_its_new_name_before_a_kill_is_not_doubled() -> None:
    case = Case(a="0")
    case.local.remove("a")
    case.local.write("b", text("theirs"))
    case.remote.write("a", text("theirs"))
    assert case.result() == {"b": "theirs"}


def test_a_copy_that_came_before_a_kill_and_has_no_reason_any_more_is_not_doubled() -> None:
    case = Case()
    case.local.write(f"a{MARK}", text("theirs"))
    case.remote.write("a", text("theirs"))
    assert case.result() == {"a": "theirs"}


def test_a_copy_of_something_else_stays() -> None:
    case = Case()
    case.local.write(f"a{MARK}", text("mine"))
    case.remote.write("a", text("theirs"))
    assert case.result() == {"a": "theirs", f"a{MARK}": "mine"}


def test_what_both_have_at_different_places_is_known_by_its_looks_from_then_on() -> None:
    case = Case()
    sides = case.sides
    seen = Signature(1, 2, 3, 4)
    sides.remote.put(9, Node(ROOT, "a", text("theirs")))
    sides.local.put(9, Node(ROOT, f"a{MARK}", text("theirs")))
    rest = Agreement(sides.base).agree([9], sides.local, sides.remote, {9: seen})
    assert rest == {9}
    assert sides.base.get(9) == Node(ROOT, "a", text("theirs"))
    assert sides.base.signature(9) == seen
