"""Collecting garbage: one collection at a time on this machine, of whatever kind it has to be."""

from __future__ import annotations

import time
from typing import Final

from cas.disk import file_lock
from cas.errors import LockedError
from cas.formats import COLLECTION_LOCK
from cas.maintenance.collecting import Collection, CollectionReport
from cas.maintenance.policy import DEFAULT_POLICY, VersionPolicy
from cas.maintenance.shared_collection import SharedCollection
from cas.maintenance.watching import Watcher
from cas.repository import Repository

GRACE_SECONDS: Final = 3600.0
"""Age up to which a pack is left alone: what is in it may belong to an upload that goes on."""


def collect_garbage(
    repository: Repository,
    policy: VersionPolicy = DEFAULT_POLICY,
    *,
    grace_seconds: float = GRACE_SECONDS,
    budget_seconds: float | None = None,
    now_ns: int | None = None,
    is_dry_run: bool = False,
    watcher: Watcher | None = None,
) -> CollectionReport:
    """Delete what nothing refers to any more, and return what came of it.

    Volumes with rules of their own (`set_volume_policy`) keep what these say, not the policy.
    With a budget, packs are emptied until so much time has passed; the rest is for the next time.
    `now_ns` is the time that ages are counted back from, where the clock is not to be believed.

    Raises:
        LockedError: another collection is at work, or a check, repair or replication.
        ConflictError: another has decided meanwhile what is kept, or what the rules are.
        MissingObjectError, IntegrityError: something that is kept is missing or damaged; nothing
            was deleted.
        StoreError, StoreFullError: the disk failed or is full; the next collection goes on.
    """
    path = repository.engine.local / COLLECTION_LOCK
    with file_lock(path, wait=False) as is_mine:
        if not is_mine:
            raise LockedError("another gc, check, repair or replicate is at work: wait for its end")
        deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
        now_ns = repository.engine.clock.now_ns() if now_ns is None else now_ns
        kind = SharedCollection if repository.is_shared else Collection
        collection = kind(repository, policy, now_ns, watcher or Watcher(), deadline)
        return collection.run(grace_seconds, is_dry_run=is_dry_run)
