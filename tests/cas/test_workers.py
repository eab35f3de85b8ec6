"""Work that is done ahead: results in order, in bounded memory, nothing kept when given up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from itertools import count, islice

import pytest

from cas.workers import Workers

MANY_READERS = 100


class Source:
    """Makes ten numbers of each item and knows how many items were begun, and by which thread."""

    def __init__(self) -> None:
        self.begun = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def make(self, item: int) -> Iterator[int]:
        with self._lock:
            self.begun += 1
            self.threads.add(threading.get_ident())
        yield from range(item * 10, item * 10 + 10)


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


def always(_: int) -> bool:
    return True


def never(_: int) -> bool:
    return False


@pytest.mark.parametrize("is_long", [always, never, lambda item: item % 3 == 0])
def test_results_come_in_the_order_of_the_items(
    workers: Workers, is_long: Callable[[int], bool]
) -> None:
    assert list(workers.chained(Source().make, iter(range(50)), is_long)) == list(range(500))
    assert list(workers.chained(Source().make, iter([]), is_long)) == []


def test_short_items_and_the_first_of_all_are_made_by_the_caller(workers: Workers) -> None:
    source = Source()
    assert list(workers.chained(source.make, iter(range(20)), never)) == list(range(200))
    first = workers.chained(source.make, count(), always)
    assert list(islice(first, 10)) == list(range(10))
    assert source.begun == 21
    assert source.threads == {threading.get_ident()}


def test_an_error_comes_behind_all_that_was_made_before_it(workers: Workers) -> None:
    def make(item: int) -> Iterator[int]:
        yield item
        if item == 7:
            raise ValueError("seven")

    results = workers.chained(make, iter(range(20)), always)
    assert list(islice(results, 8)) == list(range(8))
    with pytest.raises(ValueError, match="seven"):
        next(results)


def test_however_many_readers_stop_half_way_little_waits_for_them(workers: Workers) -> None:
    source = Source()
    readers = [workers.chained(source.make, count(), always) for _ in range(MANY_READERS)]
    for reader in readers:
        assert list(islice(reader, 11)) == list(range(11))
    assert workers.submit(int).result() == 0  # so all before it is done
    ahead = source.begun - 2 * MANY_READERS  # each has one item behind it and holds another
    bound = 2 * _cores()
    assert ahead <= bound
    for reader in readers:  # and all of them can go on
        assert list(islice(reader, 100)) == list(range(11, 111))


def test_what_was_made_for_a_reader_that_gave_up_is_let_go(workers: Workers) -> None:
    """More readers than there is room for give up; the next one still gets work done ahead."""
    for _ in range(MANY_READERS):
        given_up = workers.chained(Source().make, count(), always)
        list(islice(given_up, 15))
        given_up.close()  # type: ignore[attr-defined]

    helped = threading.Event()
    caller = threading.get_ident()

    def make(item: int) -> Iterator[int]:
        if threading.get_ident() != caller:
            helped.set()
        elif item:
            helped.wait(10)
        yield item

    assert list(islice(workers.chained(make, count(), always), 2)) == [0, 1]
    assert helped.is_set()


def _cores() -> int:
    return os.cpu_count() or 1
