"""The threads that hash and compress: as many as cores, with a bound on what waits for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_WAITING_PER_WORKER: Final = 3
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Workers:
    """Runs tasks on all cores. Whoever submits one waits while too many are not done yet.

    So the memory of many uploads at once is bounded by the machine's cores, not by their number.
    """

    def __init__(self) -> None:
        count = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(count, "casdav-chunks")
        self._free = threading.Semaphore(count * _WAITING_PER_WORKER)

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

    def close(self) -> None:
        """Return once all tasks are done; none may be submitted afterwards."""
        self._pool.shutdown()
