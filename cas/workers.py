"""The threads that hash, compress and decompress: as many as cores, with bounds on their work."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, ParamSpec, TypeAlias, TypeVar

_WAITING_PER_WORKER: Final = 3
WAITING_CALLS = 16
"""Calls of `waiting_map` that are under way at once; 1 where a simulation runs threads by turns."""
_AHEAD: Final = 2
"""Items that are made ahead of one reader."""
_AHEAD_PER_WORKER: Final = 2
"""Items that are made ahead of all readers together."""
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")
_Made: TypeAlias = tuple[list[_Result], Exception | None]
"""What came of an item, and the error that ended it."""


def waiting_map(call: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return what the call returns for each item, in order; for calls that wait for an answer.

    Several are under way at once. The first error is raised once all of those are done.
    """
    count = min(WAITING_CALLS, len(items))
    if count <= 1:
        return [call(item) for item in items]
    with ThreadPoolExecutor(count, "casdav-waiting") as pool:
        return list(pool.map(call, items))


class Workers:
    """Runs tasks on all cores. Whoever submits one waits while too many are not done yet.

    So the memory of many uploads at once is bounded by the machine's cores, not by their number.
    Nor does it grow with the number of readers: what is made ahead of all has a bound too.
    """

    def __init__(self) -> None:
        count = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(count, "casdav-chunks")
        self._free = threading.Semaphore(count * _WAITING_PER_WORKER)
        self._ahead = threading.Semaphore(count * _AHEAD_PER_WORKER)

    def submit(
        self,
        task: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Future[_Result]:
        """Have the task run; return its future."""
        self._free.acquire()
        try:
            future = self._pool.submit(task, *args, **kwargs)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future

    def chained(
        self,
        make: Callable[[_Item], Iterable[_Result]],
        items: Iterator[_Item],
        is_long: Callable[[_Item], bool],
    ) -> Iterator[_Result]:
        """Yield what `make` yields for each item, in order, errors too.

        Who comes back for a second item gets the next ones that take long made meanwhile by
        other threads, as long as there is room: what waits for all readers together is bounded,
        however slowly they take it. Without room an item is made lazily when its turn comes.
        """
        for item in islice(items, 1):
            yield from make(item)
        ahead: deque[tuple[_Item, Future[_Made[_Result]] | None]] = deque()
        try:
            while True:
                for item in islice(items, 1 + _AHEAD - len(ahead)):
                    ahead.append((item, self._begin(make, item) if is_long(item) else None))
                if not ahead:
                    return
                yield from _taken(make, *ahead[0])
                self._give_back(ahead.popleft()[1])
        finally:
            for _, future in ahead:
                self._give_back(future)

    def close(self) -> None:
        """Return once all tasks are done; none may be submitted afterwards."""
        self._pool.shutdown()

    def _begin(
        self, make: Callable[[_Item], Iterable[_Result]], item: _Item
    ) -> Future[_Made[_Result]] | None:
        """Have another thread make the item if there is room."""
        if not self._ahead.acquire(blocking=False):
            return None
        try:
            return self._pool.submit(_made, make, item)
        except BaseException:
            self._ahead.release()
            raise

    def _give_back(self, future: Future[_Made[_Result]] | None) -> None:
        """Free the room of what is not wanted any more, once it is not being made any more."""
        if future is not None:
            future.cancel()
            future.add_done_callback(lambda _: self._ahead.release())


def _made(make: Callable[[_Item], Iterable[_Result]], item: _Item) -> _Made[_Result]:
    results: list[_Result] = []
    try:
        results.extend(make(item))
    except Exception as error:  # noqa: BLE001 - it is raised where the item's turn comes
        return results, error
    return results, None


def _taken(
    make: Callable[[_Item], Iterable[_Result]], item: _Item, future: Future[_Made[_Result]] | None
) -> Iterator[_Result]:
    if future is None or future.cancel():  # no thread has come to it: we are first
        yield from make(item)
        return
    results, error = future.result()
    yield from results
    if error is not None:
        raise error
