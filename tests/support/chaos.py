"""Clients that write, read and move while gateways die, and that remember what was acknowledged."""

from __future__ import annotations

import http.client
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support.fleet import send
from tests.support.network import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOG: Final = "shared.log"
"""A file that all clients append to, each on what it has read."""


@dataclass
class Client:
    """Works in a folder of its own, and on one file with all others, on random numbers of its own.

    A path whose last request was not answered is never touched again: it holds either what was
    there or what was sent, whole.
    """

    port: int
    name: str
    chance: random.Random
    sure: dict[str, bytes] = field(default_factory=dict)
    unsure: dict[str, set[bytes | None]] = field(default_factory=dict)
    moves: list[tuple[str, str]] = field(default_factory=list)
    appended: list[str] = field(default_factory=list)
    maybe_appended: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unanswered: int = 0
    _number: int = 0

    def work(self, stopping: threading.Event) -> None:
        """Work until it is told to stop."""
        while not stopping.is_set() and not self.faults:
            step = self.chance.choices(
                (self._put, self._overwrite, self._read, self._move, self._append),
                (4, 2, 4, 2, 2),
            )[0]
            try:
                step()
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                stopping.wait(0.05)

    @property
    def answered(self) -> int:
        """How many changes are acknowledged and stand."""
        return len(self.sure) + len(self.appended)

    def _send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        status, names, content = send(self.port, method, path, body, fields)
        if status >= 500:
            raise ConnectionError(status)
        return status, names, content

    def _new_path(self) -> str:
        self._number += 1
        return f"{self.name}/{self._number}"

    def _content(self) -> bytes:
        size = self.chance.choice((0, 100, 5_000, 100_000, 1_500_000))
        return f"{self.name} ".encode() + self.chance.randbytes(size)

    def _write(self, path: str, before: bytes | None) -> None:
        content = self._content()
        self.sure.pop(path, None)
        self.unsure[path] = {before, content}
        status, _, _ = self._send("PUT", path, content)
        if status not in {201, 204}:
            self.faults.append(f"PUT {path}: {status}")
            return
        del self.unsure[path]
        self.sure[path] = content

    def _put(self) -> None:
        self._write(self._new_path(), None)

    def _overwrite(self) -> None:
        if self.sure:
            path = self.chance.choice(sorted(self.sure))
            self._write(path, self.sure[path])

    def _read(self) -> None:
        if self.sure:
            path = self.chance.choice(sorted(self.sure))
            status, _, content = self._send("GET", path)
            if status != 200 or content != self.sure[path]:
                self.faults.append(f"GET {path}: {status}, {len(content)} bytes")

    def _move(self) -> None:
        if not self.sure:
            return
        source, target = self.chance.choice(sorted(self.sure)), self._new_path()
        content = self.sure.pop(source)
        self.unsure[source] = {None, content}
        self.unsure[target] = {None, content}
        self.moves.append((source, target))
        status, _, _ = self._send("MOVE", source, Destination=self._address(target))
        if status == 404:  # the proxy asked twice, and the first was done: nobody can tell
            return
        if status != 201:
            self.faults.append(f"MOVE {source}: {status}")
            return
        self.moves.pop()
        del self.unsure[source], self.unsure[target]
        self.sure[target] = content

    def _append(self) -> None:
        """Append a line to what was read, if it is still so: of two rivals one is refused."""
        status, headers, content = self._send("GET", LOG)
        if status != 200:
            self.faults.append(f"GET {LOG}: {status}")
            return
        self._number += 1
        line = f"{self.name}:{self._number}"
        self.maybe_appended.append(line)
        new = content + line.encode() + b"\n"
        status, _, _ = self._send("PUT", LOG, new, If_Match=headers["etag"])
        if status == 204:
            self.appended.append(self.maybe_appended.pop())
        elif status != 412:  # which may be our own write, that the proxy sent twice
            self.faults.append(f"PUT {LOG}: {status}")

    def _address(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.port}/dav/alice/{path}"


def faults_seen(clients: list[Client], port: int) -> Iterator[str]:
    """Compare what one gateway has with what its clients know; yield what is wrong."""
    _, _, log = send(port, "GET", LOG)
    lines = log.decode().splitlines()
    for client in clients:
        yield from (f"{line} was lost" for line in client.appended if lines.count(line) != 1)
        yield from (f"{line} came twice" for line in client.maybe_appended if lines.count(line) > 1)
        found: dict[str, bytes | None] = {}
        for path in (*client.sure, *client.unsure):
            status, _, content = send(port, "GET", path)
            found[path] = content if status == 200 else None
            if status not in {200, 404}:
                yield f"{path}: {status}"
        for path, expected in client.sure.items():
            if found[path] != expected:
                yield f"{path} was acknowledged and is not there"
        for path, possible in client.unsure.items():
            if found[path] not in possible:
                yield f"{path} is neither as before nor as sent"
        for source, target in client.moves:
            if (found[source] is None) == (found[target] is None):
                yield f"{source} was moved to {target} by half"


def working(clients: list[Client], stopping: threading.Event) -> list[threading.Thread]:
    """Start a thread for each client."""

    def loop(client: Client) -> Callable[[], None]:
        return lambda: client.work(stopping)

    threads = [threading.Thread(target=loop(client), name=client.name) for client in clients]
    for thread in threads:
        thread.start()
    return threads
