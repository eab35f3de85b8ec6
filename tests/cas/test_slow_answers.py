"""That somebody waits is said once, and not of what is answered in time."""

from __future__ import annotations

import threading
from functools import partial

from cas.stores.slow_answers import SlowAnswers
from tests.support.waiting import wait_until


def test_what_takes_long_is_told_once_and_what_does_not_never() -> None:
    told: list[str] = []
    answers = SlowAnswers("s3://bucket", 60.0, 0.0, told.append)
    patient = SlowAnswers("s3://other", 60.0, 3600.0, told.append)
    for _ in range(3):
        with patient.watching():
            pass
    with patient.watching(), answers.watching(3600):
        assert not told
        with answers.watching():
            wait_until(lambda: told, "a word")
        with answers.watching():
            pass
    answers.close()
    patient.close()
    (message,) = told
    assert "s3://bucket" in message
    assert "60 s" in message


def test_what_may_take_long_hides_nothing_that_may_not() -> None:
    for _ in range(20):
        told: list[str] = []
        answers = SlowAnswers("s3://bucket", 60.0, 0.0, told.append)
        with answers.watching(3600):
            # By then its thread mostly waits for the hour that this one has.
            wait_until(partial(next, iter([False, False, True])), "a few milliseconds to pass")
            with answers.watching():
                wait_until(partial(any, told), "a word")
        answers.close()


def test_closing_ends_the_thread_and_calls_go_on() -> None:
    before = threading.active_count()
    answers = SlowAnswers("s3://bucket", 60.0)
    with answers.watching():
        assert threading.active_count() == before + 1
    answers.close()
    assert threading.active_count() == before
    with answers.watching():
        assert threading.active_count() == before
