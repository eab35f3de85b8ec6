"""Several processes on one port."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dav.server import ListenError, Server, ServerSettings
from dav.workers import WorkerJob, WorkerStartError, serve_workers
from tests.dav.http.test_server import connect, program
from tests.dav.http.wire import HOST, echo
from tests.support import wait_until

FACTORY = "tests.dav.http.serving:make_application"


def ask(port: int) -> int:
    with connect(port) as wire:
        return int(wire.get().body)


def two_workers(port: int) -> set[int]:
    """The process ids of both workers; nothing while only one answers."""
    found = {ask(port) for _ in range(12)}
    return found if len(found) == 2 else set()


def test_workers_share_a_port_a_dead_one_comes_back_and_a_signal_ends_all() -> None:
    with program("2", "hello") as (process, port):
        seen = wait_until(lambda: two_workers(port), "answers of both workers")
        assert process.pid not in seen
        victim = seen.pop()
        os.kill(victim, signal.SIGKILL)
        # Not `_is_gone`: the threads of a zombie may still hold its sockets.
        wait_until(lambda: not Path(f"/proc/{victim}").exists(), "the worker's end")
        later = wait_until(lambda: two_workers(port), "answers of a new worker")
        assert victim not in later
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == "ended\n"
        assert process.wait(20) == 0
        for worker in later:
            with pytest.raises(ProcessLookupError):
                os.kill(worker, 0)


def test_a_signal_lets_the_workers_finish_what_runs() -> None:
    with program("2", "hello") as (process, port), connect(port) as busy, connect(port) as idle:
        assert idle.get().status == 200
        busy.send(b"PUT /slow HTTP/1.1\r\n", HOST, b"Content-Length: 5\r\n\r\n")
        while b"begun" not in busy.early:
            busy.early += busy.more()
        process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        busy.send(b"hello")
        assert busy.answer().whole
        assert process.wait(20) == 0


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with program("2", "hello") as (process, port):
        worker = ask(port)
        process.kill()
        wait_until(lambda: _is_gone(worker), "the worker's end")


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        return state.rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_what_the_factory_raises_reaches_the_caller() -> None:
    with pytest.raises(ListenError, match="The factory failed"):
        serve_workers(WorkerJob(FACTORY, "fail", ServerSettings(port=0)), 2)


def test_a_worker_that_dies_before_it_serves_is_said() -> None:
    with pytest.raises(WorkerStartError, match="code 3"):
        serve_workers(WorkerJob(FACTORY, "die", ServerSettings(port=0)), 2)


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_in_use_is_said_even_if_it_could_be_shared(reuse_port: bool) -> None:  # noqa: FBT001
    settings = ServerSettings(port=0, reuse_port=reuse_port)
    with Server(echo, settings) as server:
        job = WorkerJob(FACTORY, "hello", ServerSettings(port=server.port))
        with pytest.raises(ListenError, match="in use"):
            serve_workers(job, 2)
