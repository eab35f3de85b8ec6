"""The threads that run requests: started as they are needed, up to a fixed number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Task = TypeVar("Task")


class WorkerPool(Generic[Task]):
    """Hands tasks to at most `size` daemon threads. `handle` must not raise."""

    def __init__(self, handle: Callable[[Task], None], size: int) -> None:
        self._handle = handle
        self._size = size
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._waiting = 0

    @property
    def has_spare(self) -> bool:
        """Whether a task that came now would find a thread."""
        return not self._waiting and (self._idle > 0 or len(self._threads) < self._size)

    @property
    def is_pressed(self) -> bool:
        """Whether tasks wait because all threads are busy."""
        return self._waiting > 0 and not self._idle and len(self._threads) >= self._size

    def put(self, task: Task) -> None:
        """Queue a task, and start a thread for it if none is idle."""
        with self._lock:
            self._waiting += 1
            if self._waiting > self._idle and len(self._threads) < self._size:
                name = f"http-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(task)

    def stop(self, seconds: float) -> bool:
        """End the threads when they are done. Whether they all ended within `seconds`."""
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            task = self._queue.get()
            with self._lock:
                self._idle -= 1
                if task is None:
                    return
                self._waiting -= 1
            self._handle(task)
