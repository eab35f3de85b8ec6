"""What a serving process does beside requests: jobs that come again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Something to do now and then.

    `words` say what failed, if it does; `interval_seconds` pass between its end and the next time.
    `stop` asks a job that takes long to end soon.
    """

    words: str
    interval_seconds: float
    run: Callable[[], object]
    stop: Callable[[], object] | None = None


class Upkeep:
    """Runs jobs, each in a thread of its own, at once and then now and then, until closed."""

    def __init__(self, *jobs: Job) -> None:
        self._jobs = jobs
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(job,), name="drive-upkeep", daemon=True)
            for job in jobs
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, once what is under way is done."""
        self._stopping.set()
        for job in self._jobs:
            if job.stop is not None:
                job.stop()
        for thread in self._threads:
            thread.join()

    def _run(self, job: Job) -> None:
        while not self._stopping.is_set():
            try:
                job.run()
            except Exception:
                _logger.exception("%s failed; it is tried again", job.words)
            self._stopping.wait(job.interval_seconds)
