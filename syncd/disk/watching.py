"""Hints that something has changed in a linked folder. Never the truth: a walk tells what there is.

Linux has a reader of its own for inotify, because watchdog tells nobody when the kernel's queue
was full and events are lost. On other systems watchdog's observers give the hints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol

from syncd.disk.folder import STATE_NAME, Folder

_SYSTEM: Final[str] = sys.platform

OWN: Final = (STATE_NAME, f"{STATE_NAME}/")
"""syncd's own folder, and how paths in it begin."""


class Listener(Protocol):
    """Who is told. Called from another thread, and has to be quick."""

    def changed(self, path: str, *, deep: bool) -> None:
        """Something happened at a path; with `deep` perhaps anywhere below it."""

    def lost(self, reason: str) -> None:
        """Hints were lost: all has to be looked at."""

    def incomplete(self, reason: str) -> None:
        """From now on there will be no hints for some folders: walk often."""


class Watcher(Protocol):
    """Watches one linked folder."""

    def start(self) -> None:
        """Begin. When this returns, whatever happens from now on is told."""

    def stop(self) -> None:
        """End; the listener is not called any more."""


def watch(folder: Folder, listener: Listener, wants: Callable[[str], bool] = bool) -> Watcher:
    """Return the watcher of this system, not started. Folders that `wants` says no to have none."""
    if _SYSTEM == "linux":
        from syncd.disk.inotify import InotifyWatcher  # noqa: PLC0415 - of this system alone

        return InotifyWatcher(folder, listener, wants)
    from syncd.disk.observers import ObserverWatcher  # noqa: PLC0415 - as above

    return ObserverWatcher(folder, listener)


def is_own(path: str) -> bool:
    """Tell whether a path is syncd's own folder or in it."""
    return path == OWN[0] or path.startswith(OWN[1])
