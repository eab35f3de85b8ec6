"""Tells waiting threads that something was written, by this process or any other one.

One thread asks LMDB for its last transaction id twenty times a second while anybody waits, a
matter of microseconds, and sleeps when nobody does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import cas

INTERVAL_SECONDS: Final = 0.04
"""Between two looks; news are this old at most."""


class News:
    """For one repository. Shared by threads; `close` ends all waiting."""

    def __init__(self, repository: cas.Repository) -> None:
        self._repository = repository
        self._changed = threading.Condition()
        self._transaction = 0
        self._waiting = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the server is stopping."""
        return self._is_closed

    @property
    def waiting_count(self) -> int:
        """How many wait."""
        return self._waiting

    def wait_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds, asked again after each write by anybody; return whether.

        It ends early when the server stops.
        """
        until = time.monotonic() + seconds
        with self._waiter():
            while True:
                seen = self._transaction
                if holds():
                    return True
                with self._changed:
                    left = until - time.monotonic()
                    if self._is_closed or left <= 0:
                        return False
                    if self._transaction == seen:
                        self._changed.wait(left)

    def stop(self) -> None:
        """End all waiting, now and for good; in a signal handler too."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """End all waiting, and the thread."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _waiter(self) -> _Waiter:
        return _Waiter(self)

    def begin(self) -> None:
        """Count somebody who waits."""
        with self._changed:
            self._waiting += 1
            self._transaction = self._repository.last_transaction()
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._watch, name="news", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def end(self) -> None:
        """Count somebody off."""
        with self._changed:
            self._waiting -= 1

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                transaction = self._repository.last_transaction()
                if transaction != self._transaction:
                    self._transaction = transaction
                    self._changed.notify_all()
                self._changed.wait(INTERVAL_SECONDS)


class _Waiter:
    def __init__(self, news: News) -> None:
        self._news = news

    def __enter__(self) -> None:
        self._news.begin()

    def __exit__(self, *_: object) -> None:
        self._news.end()
