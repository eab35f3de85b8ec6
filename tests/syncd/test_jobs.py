"""Jobs in the background: their order, their end, and what is known of them afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncd.jobs import Check, Job, Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_SECONDS = 30.0


class Bench:
    """Jobs, and a count of those that are over."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._over = threading.Semaphore(0)
        self.jobs = Jobs[str, str]("test", self._over.release)

    def job(self, name: str, size: int, work: Callable[[Check], None] = lambda _: None) -> Job[str]:
        def whole(check: Check) -> str:
            self.order.append(name)
            work(check)
            return f"{name} made"

        return Job(size, whole)

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._over.acquire(timeout=WAIT_SECONDS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.jobs.close()


def test_the_smallest_is_first_and_results_stay_while_they_are_wanted(bench: Bench) -> None:
    begun, go = threading.Event(), threading.Event()

    def block(_: Check) -> None:
        begun.set()
        assert go.wait(WAIT_SECONDS)

    first = {"first": bench.job("first", 50, block)}
    bench.jobs.want(first)
    assert begun.wait(WAIT_SECONDS)
    wanted = {**first, "large": bench.job("large", 9), "small": bench.job("small", 1)}
    bench.jobs.want(wanted)
    assert all(map(bench.jobs.is_under_way, wanted))
    assert bench.jobs.result("small") is None
    go.set()
    bench.wait(3)
    assert bench.order == ["first", "small", "large"]
    bench.jobs.want(wanted)
    assert [bench.jobs.result(name) for name in wanted] == [
        "first made", "large made", "small made",
    ]  # fmt: skip
    bench.jobs.want({})
    assert bench.jobs.result("small") is None


def test_what_is_not_wanted_any_more_ends(bench: Bench) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(check: Check) -> None:
        begun.set()
        try:
            while True:
                check()
        finally:
            ended.set()

    bench.jobs.want({"endless": bench.job("endless", 1, endless)})
    assert begun.wait(WAIT_SECONDS)
    bench.jobs.want({"next": bench.job("next", 2)})
    bench.wait()
    assert ended.is_set()
    assert bench.jobs.result("next") == "next made"


def test_a_failure_is_raised_once_and_may_be_tried_again(bench: Bench) -> None:
    def fail(_: Check) -> None:
        raise OSError("no")

    bench.jobs.add("job", bench.job("failing", 1, fail))
    bench.wait()
    assert not bench.jobs.is_under_way("job")
    with pytest.raises(OSError, match="no"):
        bench.jobs.result("job")
    bench.jobs.add("job", bench.job("better", 1))
    bench.wait()
    assert bench.jobs.result("job") == "better made"
