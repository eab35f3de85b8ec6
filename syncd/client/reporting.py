"""What the engine tells, kept for those who ask: counters in memory, lists in the link's state."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Sequence

from syncd.client.links import Link
from syncd.client.status import LinkStatus, Phase
from syncd.disk.state import LinkState
from syncd.plan import Notice


class LinkReport:
    """The report of one link. Told by the engine's thread, asked by any."""

    def __init__(self, link: Link, state: LinkState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._status = LinkStatus(id=link.id, root=link.root, place=link.place, server=link.server)
        self._status.problems = len(state.problems())
        self._status.conflicts = len(state.conflicts())

    def notices(self, notices: Sequence[Notice]) -> None:
        """See `Report`."""
        copies = [(notice.copy, notice.path) for notice in notices if notice.copy]
        told = {noted.path for noted in self._state.conflicts()}
        self._state.add_conflicts(copy for copy in copies if copy[0] not in told)
        new = [notice for notice in notices if notice.copy not in told]
        self._state.log((notice.path, notice.reason.value) for notice in new)
        conflicts = len(self._state.conflicts())
        with self._lock:
            self._status.conflicts = conflicts

    def problems(self, problems: dict[str, str]) -> None:
        """See `Report`."""
        self._state.set_problems(problems)
        with self._lock:
            self._status.problems = len(problems)

    def left(self, files: int, upload: int, download: int) -> None:
        """See `Report`."""
        with self._lock:
            self._status.files_left = files
            self._status.to_upload, self._status.to_download = upload, download

    def moved(self, *, up: int = 0, down: int = 0) -> None:
        """So many bytes of content have gone up, or come down."""
        with self._lock:
            self._status.uploaded += up
            self._status.downloaded += down

    def enter(self, phase: Phase, detail: str = "", *, sequence: int | None = None) -> None:
        """The link does something else now."""
        with self._lock:
            self._status.phase, self._status.detail = phase, detail
            if sequence is not None:
                self._status.sequence = sequence
            if phase is not Phase.IN_SYNC:
                self._status.in_sync_since = None
            elif self._status.in_sync_since is None:
                self._status.in_sync_since = time.time()

    def status(self) -> LinkStatus:
        """Return the state as it is now."""
        with self._lock:
            return LinkStatus(
                **{name: getattr(self._status, name) for name in LinkStatus.__struct_fields__}
            )


def is_in(path: str, folders: Sequence[str]) -> bool:
    """Tell whether a path is one of the folders or in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def is_like(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a path's name is like one of the patterns (`*.md`)."""
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
