"""The daemon: one process that keeps all linked folders of a user in sync."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Protocol

import cas
from syncd.client import links, places
from syncd.client.control import ControlServer, Question, Reply
from syncd.client.exits import Exit, Failure
from syncd.client.links import Link, Settings
from syncd.client.status import LinkStatus, Phase
from syncd.remote.pace import TokenBucket

LOG: Final = logging.getLogger("syncd")
_RETRY_SECONDS: Final = 30.0


class Worker(Protocol):
    """Keeps one linked folder in sync, in a thread of its own."""

    def run(self) -> None:
        """Work until `stop`. What it raises is shown as the link's failure; it is started again."""

    def stop(self) -> None:
        """End soon, whatever is in flight."""

    def pause(self) -> None:
        """Leave the folder and the server alone until `resume`."""

    def resume(self, *, accepts_deletes: bool) -> None:
        """Go on; with `accepts_deletes` also where most of the files are gone."""

    def status(self) -> LinkStatus:
        """Return what it is doing."""

    def token(self) -> str:
        """Return an access token for the server. Raises RemoteError where there is none."""


MakeWorker = Callable[[Link, TokenBucket, TokenBucket], Worker]
"""Makes the worker of a link, given the limits for what goes up and down."""


class Supervisor:
    """The workers of all links, each in its thread. Thread-safe."""

    def __init__(self, make: MakeWorker) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self.up, self.down = TokenBucket(), TokenBucket()
        self.stopped = threading.Event()

    def reload(self) -> None:
        """Do what the list of links says now: begin with new ones, end with those that are gone."""
        settings = links.load()
        with self._lock:
            self._set_limits(settings)
            wanted = {link.id: link for link in settings.links}
            for link_id, running in list(self._running.items()):
                if wanted.get(link_id) != running.link:
                    running.end()
                    del self._running[link_id]
            for link_id, link in wanted.items():
                if link_id not in self._running:
                    self._running[link_id] = _Running(link, self._make, self.up, self.down)

    def _set_limits(self, settings: Settings) -> None:
        self.up.set_rate(settings.up)
        self.down.set_rate(settings.down)

    def handle(self, question: Question) -> Reply:
        """Answer a question of the command.

        Raises:
            Failure: it asks for something unknown.
        """
        if question.do == "token":
            return Reply(token=self._token(question.link))  # It may take time: not in the lock.
        with self._lock:
            chosen = [one for one in self._running.values() if question.link in {"", one.link.id}]
            match question.do:
                case "status":
                    pass
                case "reload" | "limit":
                    self.reload()
                case "pause":
                    for running in chosen:
                        running.worker.pause()
                case "resume":
                    for running in chosen:
                        running.worker.resume(accepts_deletes=question.accepts_deletes)
                case "stop":
                    self.stopped.set()
                case _:
                    raise Failure(f"the daemon does not know {question.do!r}")
            return Reply(links=[running.status() for running in chosen])

    def _token(self, link_id: str) -> str:
        with self._lock:
            running = self._running.get(link_id)
        if running is None:
            raise Failure("the daemon does not know this link")
        return running.worker.token()

    def end(self) -> None:
        """End all workers."""
        with self._lock:
            for running in self._running.values():
                running.worker.stop()
            for running in self._running.values():
                running.end()
            self._running.clear()


class _Running:
    """A worker in its thread; after a failure it is made anew."""

    def __init__(self, link: Link, make: MakeWorker, up: TokenBucket, down: TokenBucket) -> None:
        self.link = link
        self.worker = make(link, up, down)
        self._failure = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"syncd-{link.id}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.worker.run()
            except Exception as error:
                # Whatever it was, the other links go on, and the user sees why this one does not.
                LOG.exception("%s: failed", self.link.root)
                self._failure = f"{type(error).__name__}: {error}"
                self._ended.wait(_RETRY_SECONDS)
                self._failure = ""
            else:
                return

    def status(self) -> LinkStatus:
        """Return the worker's state, or its failure."""
        status = self.worker.status()
        if self._failure:
            status.phase, status.detail = Phase.FAILED, self._failure
        return status

    def end(self) -> None:
        """Stop the worker and wait for it."""
        self._ended.set()
        self.worker.stop()
        self._thread.join()


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the daemon's lock for the block.

    Raises:
        Failure: a daemon runs already.
    """
    path = places.lock_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure("syncd runs already", Exit.RUNNING) from error
        yield
    finally:
        os.close(descriptor)


def run(make: MakeWorker) -> None:
    """Be the daemon until SIGTERM, SIGINT or `syncd stop`.

    Raises:
        Failure: a daemon runs already.
    """
    cas.make_structs_ready()
    with only_one():
        supervisor = Supervisor(make)

        def end(number: int, frame: FrameType | None) -> None:
            del number, frame
            supervisor.stopped.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        supervisor.reload()
        control = ControlServer(places.control_socket(), supervisor.handle)
        try:
            LOG.info("syncd runs, process %d", os.getpid())
            supervisor.stopped.wait()
        finally:
            control.close()
            supervisor.end()
            LOG.info("syncd has ended")
