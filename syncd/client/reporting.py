"""What the engine tells, kept for those who ask: counters in memory, lists in the link's state."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Sequence

from syncd.client.links import Link
from syncd.client.rates import Rate, seconds_for
from syncd.client.status import LinkStatus, Phase
from syncd.disk.state import LinkState
from syncd.plan import Notice


class LinkReport:
    """The report of one link. Told by the engine's thread, asked by any."""

    def __init__(
        self, link: Link, state: LinkState, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._clock = clock
        self._sent, self._received = Rate(), Rate()
        self._done_up, self._done_down = Rate(), Rate()
        self._told_up = self._told_down = (0, 0)
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
            self._told_up = upload, self._done_up.total
            self._told_down = download, self._done_down.total

    def did(self, steps: int) -> None:
        """See `Report`."""
        with self._lock:
            self._status.files_left = max(self._status.files_left - steps, 0)

    def moved(self, *, up: int = 0, down: int = 0) -> None:
        """See `Progress`."""
        now_s = self._clock()
        with self._lock:
            for rate, size in ((self._sent, up), (self._received, down)):
                if size:
                    rate.add(size, now_s)
        self.spared(up=up, down=down)

    def spared(self, *, up: int = 0, down: int = 0) -> None:
        """See `Progress`."""
        now_s = self._clock()
        with self._lock:
            for rate, size in ((self._done_up, up), (self._done_down, down)):
                if size:
                    rate.add(size, now_s)

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
        now_s = self._clock()
        with self._lock:
            self._count(now_s)
            return LinkStatus(
                **{name: getattr(self._status, name) for name in LinkStatus.__struct_fields__}
            )

    def _count(self, now_s: float) -> None:
        """Bring the numbers of bytes up to date: those that are left are told once in a turn."""
        status = self._status
        status.uploaded, status.downloaded = self._sent.total, self._received.total
        status.upload_rate = round(self._sent.per_second(now_s))
        status.download_rate = round(self._received.per_second(now_s))
        status.to_upload = _left(self._told_up, self._done_up)
        status.to_download = _left(self._told_down, self._done_down)
        seconds = [
            seconds_for(status.to_upload, self._done_up.per_second(now_s)),
            seconds_for(status.to_download, self._done_down.per_second(now_s)),
        ]
        known = [one for one in seconds if one is not None]
        status.seconds_left = round(max(known)) if len(known) == len(seconds) else None


def _left(told: tuple[int, int], done: Rate) -> int:
    left, before = told
    return max(left - (done.total - before), 0)


def is_in(path: str, folders: Sequence[str]) -> bool:
    """Tell whether a path is one of the folders or in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def is_like(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a path's name is like one of the patterns (`*.md`)."""
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
