"""Work that takes long, off the engine's thread: one job at a time, the smallest first.

The engine says in each of its turns which jobs are wanted. One that is not wanted any more ends;
what came of the others stays known until they are not wanted any more either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Made = TypeVar("_Made")
_END_SECONDS: Final = 10.0


class CancelledError(Exception):
    """The job is not wanted any more."""


class Check:
    """Says whether a job is wanted still; given to it, to be called between its steps."""

    def __init__(self) -> None:
        self._is_over = False

    def __call__(self) -> None:
        """Go on, or end here.

        Raises:
            CancelledError: the job is not wanted any more.
        """
        if self._is_over:
            raise CancelledError

    def cancel(self) -> None:
        """Have the job end at its next step."""
        self._is_over = True


class Job(NamedTuple, Generic[_Made]):
    """What is to be done: how much it is, to order by, and the work itself."""

    size: int
    work: Callable[[Check], _Made]


class _Record(Generic[_Made]):
    def __init__(self, job: Job[_Made]) -> None:
        self.job = job
        self.check = Check()
        self.is_over = False
        self.made: _Made | None = None
        self.error: Exception | None = None


class Jobs(Generic[_Key, _Made]):
    """Jobs by key, and a thread that does them. All methods may be called by any thread.

    Args:
        name: of the thread.
        tell: called when a job is over, whatever came of it.
    """

    def __init__(self, name: str, tell: Callable[[], None]) -> None:
        self._name = name
        self._tell = tell
        self._changed = threading.Condition()
        self._records: dict[_Key, _Record[_Made]] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def want(self, jobs: Mapping[_Key, Job[_Made]]) -> None:
        """Have these jobs done, and no others."""
        with self._changed:
            for key in [key for key in self._records if key not in jobs]:
                self._records.pop(key).check.cancel()
            for key, job in jobs.items():
                if key not in self._records:
                    self._records[key] = _Record(job)
            if self._thread is None and jobs and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def add(self, key: _Key, job: Job[_Made]) -> None:
        """Have one more job done, unless it is known already."""
        with self._changed:
            jobs = {key: record.job for key, record in self._records.items()}
            self.want({**jobs, key: jobs.get(key, job)})

    def is_under_way(self, key: _Key) -> bool:
        """Whether a job is wanted and not over."""
        with self._changed:
            record = self._records.get(key)
            return record is not None and not record.is_over

    def result(self, key: _Key) -> _Made | None:
        """Return what a job that is over has made, None where it is not over, or not known.

        Raises:
            Exception: what the job has raised. It is forgotten then, and may be wanted again.
        """
        with self._changed:
            record = self._records.get(key)
            if record is None or not record.is_over:
                return None
            if record.error is not None:
                del self._records[key]
                raise record.error
            return record.made

    def forget(self, key: _Key) -> None:
        """End a job, and forget what came of it."""
        with self._changed:
            record = self._records.pop(key, None)
            if record is not None:
                record.check.cancel()

    def close(self) -> None:
        """End all jobs, and the thread."""
        with self._changed:
            self._is_closed = True
            for record in self._records.values():
                record.check.cancel()
            self._records.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                record = self._next()
                while record is None and not self._is_closed:
                    self._changed.wait()
                    record = self._next()
                if record is None or self._is_closed:
                    return
            try:
                record.made = record.job.work(record.check)
            except CancelledError:
                continue
            except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
                record.error = error
            with self._changed:
                record.is_over = True
            self._tell()

    def _next(self) -> _Record[_Made] | None:
        waiting = [record for record in self._records.values() if not record.is_over]
        return min(waiting, key=lambda record: record.job.size, default=None)
