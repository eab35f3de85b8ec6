"""Bytes that requests share: who needs more than is left waits until others are done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Bounds the memory that the requests of one process take together. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self._given_back = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Have `size` bytes, or all that there are, until the context ends.

        Inside, nothing may be waited for that a client has to send.
        """
        size = min(size, self._size)
        with self._given_back:
            self._given_back.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._given_back:
                self._left += size
                self._given_back.notify_all()
