"""Hints are collected until it is quiet, but not for ever; files being written wait longer."""

from __future__ import annotations

from syncd.disk.dirty import FIRST_BACK_OFF_S, LAST_BACK_OFF_S, LONGEST_S, QUIET_S, Dirty


def test_hints_are_due_when_it_has_been_quiet() -> None:
    dirty = Dirty()
    assert dirty.due_s() is None
    assert not dirty.take(0)
    dirty.add(["a"], 10.0)
    dirty.add(["b"], 10.1)
    dirty.add(["folder"], 10.15, deep=True)
    assert dirty.due_s() == 10.15 + QUIET_S
    assert not dirty.take(10.3)
    looks = dirty.take(10.4)
    assert (looks.paths, looks.deep) == ({"a", "b"}, {"folder"})
    assert dirty.due_s() is None


def test_it_need_not_be_quiet_for_long() -> None:
    dirty = Dirty()
    for tenth in range(40):
        dirty.add([f"{tenth}"], tenth / 10)
    assert dirty.due_s() == LONGEST_S
    assert len(dirty.take(4).paths) == 40


def test_what_is_due_at_once_waits_for_no_hints_around_it() -> None:
    dirty = Dirty()
    dirty.add(["a"], 100.0)
    dirty.add([""], 100.0 - 3600.0, deep=True)
    dirty.add(["b"], 100.0)
    assert dirty.take(100.0).deep == {""}


def test_a_file_that_is_being_written_is_left_alone_longer_each_time() -> None:
    dirty = Dirty()
    now = 100.0
    waits = []
    for _ in range(9):
        dirty.back_off("film", now)
        due = dirty.due_s()
        assert due is not None
        dirty.add(["film", "other"], now)
        assert dirty.take(now + QUIET_S).paths == {"other"}
        waits.append(due - now)
        now = due
        assert dirty.take(now).paths == {"film"}
    assert waits[:3] == [FIRST_BACK_OFF_S, 2 * FIRST_BACK_OFF_S, 4 * FIRST_BACK_OFF_S]
    assert waits[-1] == LAST_BACK_OFF_S
    dirty.settle("film")
    assert dirty.due_s() is None
    dirty.back_off("film", now)
    assert dirty.due_s() == now + FIRST_BACK_OFF_S


def test_a_file_that_was_being_written_and_is_gone_is_looked_at_once_more() -> None:
    dirty = Dirty()
    dirty.back_off("temporary", 100.0)
    assert dirty.take(100.0 + FIRST_BACK_OFF_S).paths == {"temporary"}
    assert dirty.due_s() is None
    assert not dirty.take(101.0)
