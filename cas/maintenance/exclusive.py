"""One at a time: what must not find that packs go, or makes them go, holds one lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cas.disk import file_lock
from cas.engine import Engine
from cas.formats import COLLECTION_LOCK
from cas.maintenance.claims import Claim
from cas.maintenance.watching import Watcher


@contextmanager
def exclusive(engine: Engine, watcher: Watcher) -> Iterator[None]:
    """Hold the lock; who has it is waited for, and the watcher is told so.

    Raises:
        LockedError: another gateway has it.
        StoreError: the disk failed.
    """
    with one_at_a_time(engine, COLLECTION_LOCK, watcher):
        yield


@contextmanager
def one_at_a_time(engine: Engine, lock: str, watcher: Watcher) -> Iterator[None]:
    """Hold the lock of this name; who has it is waited for, and the watcher is told so.

    Raises:
        StoreError: the disk failed.
    """
    path = engine.local / lock
    with file_lock(path, wait=False) as is_mine:
        if is_mine:
            with Claim(engine):
                yield
            return
    watcher.queued()
    with file_lock(path, wait=True), Claim(engine):
        yield
