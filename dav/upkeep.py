"""What a serving process does beside requests: jobs that come again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

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


class JobWatch(Protocol):
    """Told of each run of a job that is over, in the job's thread."""

    def __call__(self, words: str, seconds: float, *, is_done: bool) -> None:
        """The job of these words has run for so long; without `is_done` it failed."""


class Upkeep:
    """Runs jobs, each in a thread of its own, at once and then now and then, until closed."""

    def __init__(self, *jobs: Job, watch: JobWatch | None = None) -> None:
        self._jobs = jobs
        self._watch = watch
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
            begun, is_done = time.monotonic(), True
            try:
                job.run()
            except Exception:
                is_done = False
                _logger.exception("%s failed; it is tried again", job.words)
            if self._watch is not None:
                self._watch(job.words, time.monotonic() - begun, is_done=is_done)
            self._stopping.wait(job.interval_seconds)
