"""How the command talks to the daemon: one JSON question and one JSON answer on a Unix socket."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from syncd.client.exits import Exit, Failure
from syncd.client.status import LinkStatus
from syncd.remote.errors import RemoteError

_LINE_LIMIT: Final = 1 << 20
_ANSWER_SECONDS: Final = 60.0


class Question(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the daemon is asked: `status`, `reload`, `pause`, `resume`, `limit`, `token`, `stop`.

    `link` is the id of the link meant, empty for all. `accepts_deletes` goes with `resume`,
    `up` and `down`, in bytes per second, with `limit`.
    """

    do: str
    link: str = ""
    accepts_deletes: bool = False
    up: int | None = None
    down: int | None = None


class Reply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What it answers: the state of the links, an access token, or what went wrong."""

    links: list[LinkStatus] = []
    token: str = ""
    failure: str = ""


Handler = Callable[[Question], Reply]


class ControlServer:
    """Answers questions in threads of their own until it is closed.

    Args:
        path: the socket; its directory is made for the user alone.
        handle: answers a question. What it raises ends up in `failure`.

    Raises:
        OSError: the socket cannot be made.
    """

    def __init__(self, path: Path, handle: Handler) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)  # Left by a process that was killed; the lock is ours.

        class _Request(socketserver.StreamRequestHandler):
            timeout = _ANSWER_SECONDS

            def handle(self) -> None:
                with suppress(OSError):
                    self.wfile.write(_answer(self.rfile.readline(_LINE_LIMIT), handle) + b"\n")

        mask = os.umask(0o177)
        try:
            self._server = _Server(os.fspath(path), _Request)
        finally:
            os.umask(mask)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="syncd-control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer nothing any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def _answer(line: bytes, handle: Handler) -> bytes:
    try:
        reply = handle(msgspec.json.decode(line, type=Question))
    except (msgspec.DecodeError, Failure, RemoteError, OSError) as error:
        reply = Reply(failure=str(error))
    return msgspec.json.encode(reply)


def ask(path: Path, question: Question) -> Reply:
    """Ask the daemon.

    Raises:
        Failure: it does not run, or could not do it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(msgspec.json.encode(question) + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise Failure("syncd does not run: `syncd start`", Exit.RUNNING) from error
    if not line:
        raise Failure("syncd has just ended", Exit.RUNNING)
    reply = msgspec.json.decode(line, type=Reply)
    if reply.failure:
        raise Failure(reply.failure)
    return reply


def is_running(path: Path) -> bool:
    """Tell whether a daemon answers."""
    try:
        ask(path, Question(do="status"))
    except Failure:
        return False
    return True
