"""Which past states of a volume are kept: a pure decision over its commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from cas.kept import EVERYTHING, Beginning, KeptStates
from cas.retention import CalendarSpan, Dated, Retention, retain


class VersionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of history, beside the present and the snapshots.

    Every state and version of the last span `every`, and of what is older the states that the
    rules `states` keep. With `versions`, in place of the span,
    so many versions of each path, the present one among them.

    Commits and their changes, which say who changed what, stay for the span `audit`, for ever
    where that is None; then they go, oldest first, and with them what only they lead to. Where
    states of before that are kept, so are the commits from the oldest of these on.
    """

    every: CalendarSpan = CalendarSpan(days=30)
    states: Retention = Retention(within_daily=CalendarSpan(years=1))
    versions: int | None = None
    audit: CalendarSpan | None = CalendarSpan(years=2)


DEFAULT_POLICY: Final = VersionPolicy()


class CommitMark(NamedTuple):
    """A commit, as far as retention looks at it."""

    time_ns: int
    last_sequence: int
    first_sequence: int
    id: bytes


def decide(commits: Sequence[CommitMark], policy: VersionPolicy, now_ns: int) -> KeptStates:
    """Return what is kept of a volume's commits, which come newest first.

    The newest is always kept.
    """
    if not commits:
        return EVERYTHING
    newest = commits[0].last_sequence
    dated = [Dated(mark.last_sequence, mark.time_ns) for mark in commits]
    verdicts = [] if policy.states.is_empty else retain(dated, policy.states, now_ns=now_ns)
    every_since = newest
    if policy.versions is None:
        every_since = _state_at(commits, policy.every.before(now_ns))
    old = sorted(v.key for v in verdicts if v.is_kept and v.key < every_since)
    begins = None
    if policy.audit is not None:
        audited = _state_at(commits, policy.audit.before(now_ns))
        begins = _beginning(commits, min([audited, every_since, *old]))
    return KeptStates(every_since, old, begins)


def _beginning(commits: Sequence[CommitMark], upto: int) -> Beginning | None:
    """Return the newest commit up to a number as the beginning; None where it is the first."""
    found = next((mark for mark in commits if mark.last_sequence <= upto), commits[-1])
    if found is commits[-1]:
        return None
    return Beginning(found.id, found.first_sequence, found.last_sequence, found.time_ns)


def _state_at(commits: Sequence[CommitMark], time_ns: int | None) -> int:
    """Return the last sequence number of the newest commit that is not after the time.

    It is the state on which the first change after that time was made; 0 where all are after it.
    """
    if time_ns is None:
        return 0
    return next((mark.last_sequence for mark in commits if mark.time_ns <= time_ns), 0)
