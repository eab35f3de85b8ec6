"""The rules of conflicts, each by its name: what both sides become."""

from __future__ import annotations

import pytest

from syncd.names import is_conflict_name
from syncd.plan import Action, MergeKey, Reason, Rules
from syncd.trees import path_of
from tests.support.conflicts import Case
from tests.support.drawn_trees import (
    MARK,
    NOON_NS,
    drawn,
    text,
)


def test_two_edits_of_a_file_are_both_kept_and_the_first_commit_keeps_the_name() -> None:
    case = Case(a="0")
    case.local.write("a", text("mine"))
    case.remote.write("a", text("theirs"))
    assert case.result() == {"a": "theirs", f"a{MARK}": "mine"}
    assert case.reasons == [Reason.EDITED_TWICE]
    assert [step.action for step in case.steps.local] == [Action.MOVE, Action.PUT]


def test_the_same_edit_on_both_sides_is_no_conflict() -> None:
    case = Case(a="0")
    case.local.write("a", text("1", mtime_ns=5))
    case.remote.write("a", text("1", mtime_ns=7))
    assert case.result() == {"a": "1"}
    assert case.reasons == []


def test_the_same_new_file_on_both_sides_is_no_conflict() -> None:
    case = Case()
    case.local.write("a", text("1"))
    case.remote.write("a", text("1"))
    assert case.result() == {"a": "1"}
    assert not case.steps


def test_two_new_files_of_one_name_are_both_kept() -> None:
    case = Case()
    case.local.write("a.txt", text("mine"))
    case.remote.write("a.txt", text("theirs"))
    assert case.result() == {"a.txt": "theirs", f"a{MARK}.txt": "mine"}
    assert case.reasons == [Reason.ADDED_TWICE]


@pytest.mark.parametrize("who", ["local", "remote"])
def test_an_edit_beats_a_removal(who: str) -> None:
    case = Case(a="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("a", text("1"))
    theirs.remove("a")
    assert case.result() == {"a": "1"}


@pytest.mark.parametrize("who", ["local", "remote"])
def test_a_touch_or_an_exec_bit_does_not_beat_a_removal(who: str) -> None:
    case = Case(a="0", b="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("a", text("0", mtime_ns=9))
    mine.write("b", text("0", executable=True))
    theirs.remove("a")
    theirs.remove("b")
    assert case.result() == {}


@pytest.mark.parametrize("who", ["local", "remote"])
def test_an_edit_follows_a_rename(who: str) -> None:
    case = Case(a="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("a", text("1"))
    theirs.move("a", "b")
    assert case.result() == {"b": "1"}


def test_a_file_with_two_new_names_gets_that_of_the_first_commit() -> None:
    case = Case(a="0")
    case.local.move("a", "mine")
    case.remote.move("a", "theirs")
    assert case.result() == {"theirs": "0"}
    assert case.reasons == [Reason.RENAMED_TWICE]


@pytest.mark.parametrize("who", ["local", "remote"])
def test_changes_go_along_with_a_renamed_folder(who: str) -> None:
    case = Case(d__old="0", d__gone="0", d__edited="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.move("d", "e")
    theirs.write("d/edited", text("1"))
    theirs.write("d/new", text("2"))
    theirs.remove("d/gone")
    assert case.result() == {"e/old": "0", "e/edited": "1", "e/new": "2"}
    steps = case.steps.remote if who == "local" else case.steps.local
    assert [(step.action, step.source, step.path) for step in steps] == [(Action.MOVE, "d", "e")]


@pytest.mark.parametrize("who", ["local", "remote"])
def test_what_is_new_or_moved_into_a_removed_folder_stays_for_itself_alone(who: str) -> None:
    case = Case(d__e__old="0", d__other="0", a="1")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("d/e/new", text("2"))
    mine.move("a", "d/a")
    theirs.remove("d")
    assert case.result() == {"d/e/new": "2", "d/a": "1"}


@pytest.mark.parametrize("who", ["local", "remote"])
def test_what_was_moved_out_of_a_removed_folder_stays(who: str) -> None:
    case = Case(d__a="0", d__b="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.move("d/a", "a")
    theirs.remove("d")
    assert case.result() == {"a": "0"}


@pytest.mark.parametrize("who", ["local", "remote"])
def test_a_renamed_folder_beats_its_removal_with_all_that_is_in_it(who: str) -> None:
    case = Case(d__a="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.move("d", "e")
    theirs.remove("d")
    assert case.result() == {"e/a": "0"}


def test_what_both_sides_removed_is_gone() -> None:
    case = Case(a="0", d__b="0")
    for side in (case.local, case.remote):
        side.remove("a")
        side.remove("d")
    assert case.result() == {}
    assert not case.steps


def test_in_a_cycle_of_moves_the_committed_parent_stays() -> None:
    case = Case(a__x="0", b__y="0")
    case.local.move("a", "b/a")
    case.remote.move("b", "a/b")
    assert case.result() == {"a/x": "0", "a/b/y": "0"}
    assert case.reasons == [Reason.CYCLE]


@pytest.mark.parametrize("who", ["local", "remote"])
def test_a_folder_keeps_its_name_against_a_file(who: str) -> None:
    case = Case()
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("a", text("1"))
    theirs.make("a")
    theirs.write("a/b", text("2"))
    assert case.result() == {"a/b": "2", f"a{MARK}": "1"}
    assert case.reasons == [Reason.FILE_AND_FOLDER]


@pytest.mark.parametrize("who", ["local", "remote"])
def test_an_edited_file_against_a_folder_in_its_place(who: str) -> None:
    case = Case(a="0")
    mine, theirs = (case.local, case.remote) if who == "local" else (case.remote, case.local)
    mine.write("a", text("1"))
    theirs.remove("a")
    theirs.make("a")
    theirs.write("a/b", text("2"))
    assert case.result() == {"a/b": "2", f"a{MARK}": "1"}


def test_new_folders_of_one_name_merge() -> None:
    case = Case()
    for side, content in ((case.local, "mine"), (case.remote, "theirs")):
        side.make("d")
        side.write("d/same", text("0"))
        side.write("d/both", text(content))
        side.write(f"d/{content}", text("1"))
    assert case.result() == {
        "d/same": "0",
        "d/both": "theirs",
        f"d/both{MARK}": "mine",
        "d/mine": "1",
        "d/theirs": "1",
    }


def test_folders_that_were_moved_to_one_name_merge() -> None:
    case = Case(a__x="1", b__y="2")
    case.local.move("a", "c")
    case.remote.move("b", "c")
    assert case.result() == {"c/x": "1", "c/y": "2"}


def test_two_names_that_were_swapped_are_moves() -> None:
    case = Case(a="1", b="2", c__x="3", d__y="4")
    for one, other in (("a", "b"), ("c", "d")):
        case.remote.move(one, "parked")
        case.remote.move(other, one)
        case.remote.move("parked", other)
    case.local.write("a", text("edited"))
    case.local.write("c/x", text("edited too"))
    assert case.result() == {"b": "edited", "a": "2", "d/x": "edited too", "c/y": "4"}
    assert Action.PUT not in {step.action for step in case.steps.local}


def test_names_of_other_cases_and_forms_are_other_names() -> None:
    case = Case()
    case.local.write("Straße", text("1"))
    case.local.write("caf\u00e9", text("2"))
    case.remote.write("STRASSE", text("3"))
    case.remote.write("straße", text("4"))
    case.remote.write("cafe\u0301", text("5"))
    assert case.result() == {
        "Straße": "1", "caf\u00e9": "2", "STRASSE": "3", "straße": "4", "cafe\u0301": "5"
    }  # fmt: skip


def test_the_copy_of_a_name_of_255_bytes_fits() -> None:
    name = "\N{PILE OF POO}" * 62 + ".tar"
    case = Case()
    case.local.write(name, text("mine"))
    case.remote.write(name, text("theirs"))
    copies = case.result()
    assert copies.pop(name) == "theirs"
    assert [len(copy.encode()) <= 255 for copy in copies] == [True]


def test_time_and_exec_bit_merge_apart_from_content() -> None:
    case = Case(a="0", b="0", c="0")
    case.local.write("a", text("0", mtime_ns=9, executable=True))
    case.remote.write("a", text("1", mtime_ns=5))
    case.local.write("b", text("0", mtime_ns=3))
    case.remote.write("b", text("0", mtime_ns=4, executable=True))
    case.remote.write("c", text("0", mtime_ns=8))
    case.result()
    result = drawn(case.steps.merge.tree)
    assert result == {
        "a": text("1", mtime_ns=5, executable=True),
        "b": text("0", mtime_ns=3, executable=True),
        "c": text("0", mtime_ns=8),
    }
    assert case.reasons == []


def test_a_file_that_an_office_saved_by_renaming_is_an_edited_file() -> None:
    case = Case(doc="0")
    case.local.move("doc", "doc~")
    case.local.write("doc", text("1"))
    case.local.remove("doc~")
    case.remote.move("doc", "renamed")
    assert case.result() == {"renamed": "1"}


def test_a_backup_that_stays_is_a_new_file() -> None:
    case = Case(doc="0")
    case.local.move("doc", "doc~")
    case.local.write("doc", text("1"))
    assert case.result() == {"doc": "1", "doc~": "0"}
    assert {(step.action, step.path) for step in case.steps.remote} == {
        (Action.PUT, "doc~"),
        (Action.PUT, "doc"),
    }


def test_two_logs_that_were_appended_to_are_both_kept() -> None:
    case = Case(log="1\n")
    case.local.write("log", text("1\n2\n"))
    case.remote.write("log", text("1\n3\n"))
    assert case.result() == {"log": "1\n3\n", f"log{MARK}": "1\n2\n"}


def test_a_move_is_found_by_its_content_where_it_is_alone() -> None:
    case = Case(a="content", b="twice", c="twice")
    for path in ("a", "b", "c"):
        case.local.remove(path)
    for path, content in (("A", "content"), ("B", "twice"), ("C", "twice")):
        case.local.write(path, text(content))
    case.result()
    assert {(step.action, step.source, step.path) for step in case.steps.remote} == {
        (Action.MOVE, "a", "A"),
        (Action.PUT, "", "B"),
        (Action.PUT, "", "C"),
        (Action.REMOVE, "", "b"),
        (Action.REMOVE, "", "c"),
    }


def test_the_later_commit_keeps_the_name_where_the_policy_says_so() -> None:
    case = Case(a="0")
    case.rules = Rules("here", NOON_NS, later_wins=lambda path: path in {"a", "new"})
    case.local.write("a", text("mine"))
    case.remote.write("a", text("theirs"))
    case.local.write("new", text("mine"))
    case.remote.write("new", text("theirs"))
    assert case.result() == {"a": "mine", "new": "mine"}
    assert case.reasons == [Reason.OVERWRITTEN, Reason.OVERWRITTEN]


def test_a_folder_with_something_unseen_in_it_is_not_removed_with_what_was_seen() -> None:
    """It is skipped on this device: nobody here has decided that it is to go."""
    case = Case(removed__inner__file="1", replaced__file="2", renamed__file="3", gone__file="4")
    case.rules = Rules("here", NOON_NS, holders=["removed/inner", "replaced", "renamed"])
    for name in ("removed", "replaced", "gone"):
        case.local.remove(name)
    case.local.write("replaced", text("5"))
    case.local.move("renamed", "moved")
    result = case.result()
    (copy,) = [path for path in result if is_conflict_name(path)]
    assert result == {"removed/inner": "/", "replaced": "/", copy: "5", "moved/file": "3"}


def test_a_text_that_can_be_merged_is_asked_for_and_used() -> None:
    case = Case(a="0")
    case.local.write("a", text("mine"))
    case.remote.write("a", text("theirs"))
    case.rules = Rules("here", NOON_NS, may_merge=lambda _: True)
    case.result()
    (merge,) = case.steps.merge.texts
    assert (merge.path, merge.base.content) == ("a", b"0")
    key = MergeKey(merge.node, merge.local.content, merge.remote.content)
    case.rules = Rules("here", NOON_NS, may_merge=lambda _: True, merged={key: text("both")})
    assert case.result() == {"a": "both"}
    assert case.steps.merge.texts == []


def test_a_conflict_copy_gets_no_second_mark() -> None:
    case = Case()
    name = "a (conflicted copy there 2020-01-01 000000 2).txt"
    case.local.write(name, text("mine"))
    case.remote.write(name, text("theirs"))
    assert case.result() == {name: "theirs", f"a{MARK}.txt": "mine"}


def test_a_conflict_copy_takes_no_name_that_is_taken() -> None:
    case = Case(a="0")
    case.local.write("a", text("mine"))
    case.local.write(f"a{MARK}", text("in the way"))
    case.remote.write("a", text("theirs"))
    second = MARK.replace("221320", "221320 2")
    assert case.result() == {"a": "theirs", f"a{MARK}": "in the way", f"a{second}": "mine"}


def test_planning_a_renamed_folder_costs_nothing_for_what_is_in_it() -> None:
    case = Case(**{f"d__{number}": str(number) for number in range(100)})
    case.local.move("d", "e")
    case.remote.write("d/7", text("edited"))
    case.sides.base.listed.clear()
    plan = case.sides.plan()
    assert case.sides.base.listed == []
    assert [step.path for step in plan.local] == ["e/7"]
    assert path_of(plan.merge.tree, case.remote.node("d/7")) == "e/7"
