"""A volume's past below `.snapshots`: how a snapshot looks, and what is refused there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Final

import cas
from dav.locations import SNAPSHOTS_NAME, Location
from dav.status import HttpError

LISTED: Final = cas.Entry(cas.EntryKind.DIRECTORY, 0, 0, 0o755, b"")
"""Stands for the collections that no volume holds, such as the list of snapshots."""

_logger = logging.getLogger(__name__)


def snapshot_entry(snapshot: cas.Snapshot) -> cas.Entry:
    """Return what stands for a snapshot's root in listings, made without loading anything.

    Its times are those of the state, and what it holds is named by the commit.
    """
    return cas.Entry(
        cas.EntryKind.DIRECTORY,
        0,
        snapshot.time_ns,
        0o755,
        snapshot.commit,
        created_ns=snapshot.time_ns,
    )


def read_only() -> HttpError:
    """Return the refusal of every change of the past.

    Its condition is that of DeltaV for changes of a version (RFC 3253, section 3.10).
    """
    return HttpError(
        403,
        f"what is below {SNAPSHOTS_NAME} is read-only; COPY out of it to bring something back",
        condition="cannot-modify-version",
    )


def without_shadowed(
    volume: cas.Volume, location: Location, members: Iterable[tuple[str, cas.Entry]]
) -> Iterable[tuple[str, cas.Entry]]:
    """Return members of a folder, or all below it, but for a real `.snapshots` of the root."""
    return _visible(volume, members) if location.is_volume_root else members


def warn_of_shadowed(volume: cas.Volume) -> None:
    """Say in the log, once for each volume, that an entry of its root is not served."""
    if _warned.is_first(volume.id):
        _logger.warning(
            "the volume %r holds an entry %r, which is not served: its snapshots have the name. "
            "`casdav export` reaches it",
            volume.name,
            SNAPSHOTS_NAME,
        )


def _visible(
    volume: cas.Volume, members: Iterable[tuple[str, cas.Entry]]
) -> Iterator[tuple[str, cas.Entry]]:
    below = SNAPSHOTS_NAME + "/"
    for path, entry in members:
        if path == SNAPSHOTS_NAME:
            warn_of_shadowed(volume)
        elif not path.startswith(below):
            yield path, entry


class _Warned:
    """The volumes that were warned of, by id."""

    def __init__(self) -> None:
        self._ids: set[bytes] = set()
        self._lock = Lock()

    def is_first(self, volume_id: bytes) -> bool:
        with self._lock:
            is_first = volume_id not in self._ids
            self._ids.add(volume_id)
            return is_first


_warned: Final = _Warned()
