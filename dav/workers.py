"""Several server processes on one port: a supervisor starts them and starts dead ones again.

Each worker is a fresh interpreter: nothing that must not cross a fork (LMDB, threads, locks) is
open in it. It is told what to serve as a picklable `WorkerJob`: the settings, and the name of a
function that makes the application from picklable arguments. All workers bind the port with
SO_REUSEPORT, so the kernel spreads the connections; the supervisor holds the port.

A worker ends by itself when its supervisor is gone: its standard input ends.
"""

from __future__ import annotations

import logging
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import FrameType
from typing import Final

from dav.http.access import AccessLog
from dav.http.errors import ListenError
from dav.http.gateway import WsgiApplication
from dav.http.listener import open_listeners
from dav.http.settings import ServerSettings
from dav.server import Server

_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_SOUND_SECONDS: Final = 60.0
_KILL_MARGIN: Final = 15.0
_READY: Final = b"R"
_FAILED: Final = b"E"


@dataclass(frozen=True, slots=True)
class ServedApplication:
    """What a worker serves.

    Attributes:
        app: The WSGI application.
        access_log: Called after each request.
        close: Called when the worker has stopped serving.
        stopping: Called when it is told to stop, so that what waits for news ends.
        opened: Called with the server's settings once it listens.
    """

    app: WsgiApplication
    access_log: AccessLog | None = None
    close: Callable[[], None] | None = None
    stopping: Callable[[], None] | None = None
    opened: Callable[[ServerSettings], None] | None = None


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What a worker is told. Picklable.

    Attributes:
        factory: `"module:function"`: takes `arguments`, gives a `ServedApplication`.
        arguments: Whatever the function takes; it crosses to the worker by pickle.
        settings: Where and how to serve.
    """

    factory: str
    arguments: object
    settings: ServerSettings


class WorkerStartError(Exception):
    """A worker ended before it served, and could not say why."""


@dataclass(eq=False)
class _Worker:
    """A running worker: its process, and the pipe on which it says that it is ready."""

    process: subprocess.Popen[bytes]
    channel: int
    started: float = field(default_factory=time.monotonic)
    ready: bool = False


class Supervisor:
    """Runs `count` workers of a job until SIGTERM or SIGINT. In the main thread alone.

    Args:
        job: What the workers serve.
        count: How many workers.
        on_ready: Called with the port once all workers serve.
    """

    def __init__(
        self,
        job: WorkerJob,
        count: int,
        on_ready: Callable[[int], None] | None = None,
    ) -> None:
        self._job = job
        self._count = count
        self._on_ready = on_ready
        self._workers: set[_Worker] = set()
        self._restarts: list[float] = []
        self._pause = _FIRST_PAUSE
        self._announced = False
        self._stop_until: float | None = None

    def run(self) -> None:
        """Serve until told to stop, then wait for running requests.

        Raises ListenError when the port cannot be had; what the factory raised, or
        WorkerStartError, when a worker fails before all have served once.
        """
        with self._reserved_port(), self._wake_up(), self._signals():
            try:
                for _ in range(self._count):
                    self._start_worker()
                while self._workers or self._restarts:
                    self._turn()
            finally:
                self._kill_all()

    def stop(self) -> None:
        """Let the workers finish what runs, then end. Any thread or signal handler."""
        if self._stop_until is None:
            shutdown = self._job.settings.timeouts.shutdown
            self._stop_until = time.monotonic() + shutdown + _KILL_MARGIN
            self._forward(signal.SIGTERM)
        with suppress(OSError):
            self._wake_sender.send(b"\0")

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._wait_seconds()):
            if isinstance(key.data, _Worker):
                self._listen_to(key.data)
            else:
                self._wake_receiver.recv(4096)
        now = time.monotonic()
        if self._stop_until is not None:
            self._restarts.clear()
            if now >= self._stop_until:
                self._kill_all()
            return
        due = [moment for moment in self._restarts if moment <= now]
        self._restarts = [moment for moment in self._restarts if moment > now]
        for _ in due:
            self._start_worker()

    def _wait_seconds(self) -> float | None:
        moments = list(self._restarts)
        if self._stop_until is not None:
            moments.append(self._stop_until)
        return max(min(moments) - time.monotonic(), 0.0) if moments else None

    def _start_worker(self) -> None:
        channel, its_channel = os.pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        program = "import sys; from dav.workers import work; sys.exit(work())"
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program, str(its_channel)],
            stdin=subprocess.PIPE,
            pass_fds=[its_channel],
            env=environment,
        )
        os.close(its_channel)
        worker = _Worker(process, channel)
        self._workers.add(worker)
        self._selector.register(channel, selectors.EVENT_READ, worker)
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # it died at once; its channel will say so
                process.stdin.write(pickle.dumps(self._job))
                process.stdin.flush()

    def _listen_to(self, worker: _Worker) -> None:
        """A worker is ready, or has ended."""
        message = os.read(worker.channel, 65536)
        if message == _READY:
            worker.ready = True
            if not self._announced and len(self._workers) == self._count:
                self._announced = all(other.ready for other in self._workers)
                if self._announced and self._on_ready is not None:
                    self._on_ready(self._job.settings.port)
            return
        self._bury(worker)
        if self._stop_until is not None:
            return
        if not self._announced:
            raise _understand(message, worker.process.returncode)
        if time.monotonic() - worker.started > _SOUND_SECONDS:
            self._pause = _FIRST_PAUSE
        _log.error(
            "Worker %d ended with code %s; another one starts in %.1f s.",
            worker.process.pid,
            worker.process.returncode,
            self._pause,
        )
        self._restarts.append(time.monotonic() + self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _bury(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        self._selector.unregister(worker.channel)
        os.close(worker.channel)
        if worker.process.stdin is not None:
            with suppress(OSError):
                worker.process.stdin.close()
        worker.process.wait()

    def _kill_all(self) -> None:
        for worker in list(self._workers):
            worker.process.kill()
            self._bury(worker)

    def _forward(self, number: signal.Signals) -> None:
        for worker in list(self._workers):
            worker.process.send_signal(number)

    @contextmanager
    def _reserved_port(self) -> Iterator[None]:
        """Hold the port, so that nobody else gets it while no worker runs."""
        settings = self._job.settings
        # SO_REUSEPORT would share it with another server of this user: ask for it alone first.
        alone = open_listeners(replace(settings, reuse_port=False))
        settings = replace(settings, port=alone[0].getsockname()[1], reuse_port=True)
        for listener in alone:
            listener.close()
        self._job = replace(self._job, settings=settings)
        holders = open_listeners(settings, listen=False)
        try:
            yield
        finally:
            for holder in holders:
                holder.close()

    @contextmanager
    def _wake_up(self) -> Iterator[None]:
        """A selector that a signal handler can wake."""
        receiver, sender = socket.socketpair()
        with selectors.DefaultSelector() as self._selector, receiver, sender:
            receiver.setblocking(False)
            sender.setblocking(False)
            self._wake_receiver, self._wake_sender = receiver, sender
            self._selector.register(receiver, selectors.EVENT_READ)
            yield

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, _frame: FrameType | None) -> None:
            again = self._stop_until is not None
            self.stop()
            if again and number == signal.SIGINT:
                self._stop_until = time.monotonic()  # do not wait for what runs

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._forward(signal.SIGHUP)

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def work() -> int:
    """The worker's program: take a job from standard input and serve it. The exit code."""
    channel = int(sys.argv[1])
    # A terminal's Ctrl-C reaches the workers too; the supervisor tells them what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own supervisor
    try:
        served = _make(job)
        server = Server(
            served.app,
            job.settings,
            access_log=served.access_log,
            on_ready=lambda _: _tell(channel, _READY),
            on_stop=served.stopping,
        )
        server.bind()
        if served.opened is not None:
            served.opened(job.settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor raises it
        _tell(channel, _FAILED + _pickle_error(error))
        return 1
    threading.Thread(target=_follow_supervisor, args=(server,), daemon=True).start()
    try:
        server.serve(handle_signals=True)
    finally:
        if served.close is not None:
            served.close()
    return 0


def _make(job: WorkerJob) -> ServedApplication:
    module, _, name = job.factory.partition(":")
    served = getattr(import_module(module), name)(job.arguments)
    if not isinstance(served, ServedApplication):
        raise TypeError(f"{job.factory} did not make a ServedApplication.")
    return served


def _tell(channel: int, message: bytes) -> None:
    with suppress(OSError):  # the supervisor is gone, and so are we soon
        os.write(channel, message)


def _pickle_error(error: Exception) -> bytes:
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # noqa: S301 - some exceptions pickle and do not come back
    except Exception:  # noqa: BLE001 - any such exception is told as text
        return pickle.dumps(WorkerStartError(str(error)))
    return packed


def _understand(message: bytes, code: int | None) -> BaseException:
    if message.startswith(_FAILED):
        error = pickle.loads(message[1:])  # noqa: S301 - from our own worker
        if isinstance(error, Exception):
            return error
    return WorkerStartError(f"A worker ended with code {code} before it served.")


def _follow_supervisor(server: Server) -> None:
    """Stop serving when standard input ends: the supervisor is gone."""
    while os.read(0, 4096):  # not sys.stdin: its lock would be in the way of the exit
        pass
    server.stop()


def serve_workers(
    job: WorkerJob,
    count: int,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serve a job with `count` processes until SIGTERM or SIGINT. Raises as `Supervisor.run`."""
    if count < 1:
        raise ListenError("There has to be at least one worker.")
    Supervisor(job, count, on_ready).run()
