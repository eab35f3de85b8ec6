"""Requests that wait are committed together, by whoever comes first, and then answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from cas.errors import StoreError
from cas.group import Request

GROUP_OPERATIONS: Final = 2000


class GroupQueue:
    """Hands over, one after the other, groups of requests that came together."""

    def __init__(self, commit_group: Callable[[list[Request]], None]) -> None:
        """`commit_group` answers each request of the group it is given."""
        self._commit_group = commit_group
        self._waiting: list[Request] = []
        self._queue_lock = threading.Lock()
        self.turn = threading.Lock()
        """Held by whoever commits a group."""

    def __len__(self) -> int:
        """Return how many requests wait for their turn."""
        return len(self._waiting)

    def commit(self, request: Request) -> None:
        """Return once the request's operations are durable and visible.

        Raises:
            CasError: they were not carried out; none of them is visible.
        """
        with self._queue_lock:
            self._waiting.append(request)
        with self.turn:
            while not request.is_done:
                self._commit_group(self._take_group())
        if request.error is not None:
            raise request.error

    def _take_group(self) -> list[Request]:
        """Take what waits, as far as one commit should hold it."""
        with self._queue_lock:
            size = count = 0
            while count < len(self._waiting) and (not count or size < GROUP_OPERATIONS):
                size += len(self._waiting[count].operations)
                count += 1
            group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not group:
            raise StoreError("a commit was interrupted; it may have happened", transient=True)
        return group


class Commits(Protocol):
    """What edits are handed to."""

    queue: GroupQueue

    @property
    def has_committed(self) -> bool:
        """Whether this process has changed anything."""

    def commit(self, request: Request) -> None:
        """Return once the request's operations are durable and visible.

        Raises:
            CasError: they were not carried out; none of them is visible.
        """
