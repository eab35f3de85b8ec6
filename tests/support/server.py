"""A real server for tests: `casdav serve` as a process, on a real repository and a free port."""

from __future__ import annotations

import base64
import http.client
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support.network import LOOPBACK, free_port
from tests.support.processes import casdav_command, casdav_environment, end_group, run_casdav
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

USER: Final = "alice"
PASSWORD: Final = "correct horse battery staple"


@dataclass
class Server:
    """A running server. One thread at a time may start and end it; anybody may talk to it."""

    store: Path
    port: int
    arguments: tuple[str, ...]
    log_path: Path
    user: str = USER
    password: str = PASSWORD
    process: subprocess.Popen[bytes] | None = None
    location: str = ""
    """Where the repository is, if it is not in the directory `store`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of this process."""

    @property
    def url(self) -> str:
        """The user's home volume, with a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}/dav/{self.user}/"

    @property
    def root_url(self) -> str:
        """The listing of all volumes, with a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}/dav/"

    @property
    def log(self) -> str:
        """All that the server has printed since it was first started."""
        return self.log_path.read_text(errors="replace")

    def start(self, timeout_seconds: float = 30.0) -> None:
        """Start the process and return when it answers requests."""
        command = [*casdav_command(), "serve", "--host", LOOPBACK, "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                env=casdav_environment(
                    {"CASDAV_STORE": self.location or str(self.store), **self.environment}
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, "the server to answer", timeout_seconds=timeout_seconds)

    def kill(self) -> None:
        """End the server and its workers with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the server to end with SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request as the user; return status, headers (names in lower case) and body.

        `path` is relative to the user's home and already percent-encoded. A body that is no bytes
        object is sent in chunks, without a length.
        """
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        try:
            connection.request(
                method,
                f"/dav/{self.user}/{path}",
                body=body,
                headers={"Authorization": f"Basic {credentials}", **(headers or {})},
            )
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()
        finally:
            connection.close()

    def _end(self, signal_number: int) -> int:
        assert self.process is not None, "the server is not running"
        code = end_group(self.process, signal_number)
        self.process = None
        return code

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended at start-up:\n{self.log}"
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("OPTIONS", "/dav/")
            connection.getresponse().read()
        except (ConnectionError, TimeoutError):
            return False
        finally:
            connection.close()
        return True


@contextmanager
def running_server(store: Path, *arguments: str, location: str = "") -> Iterator[Server]:
    """Serve the repository in `store`, made with an admin user if there is none, until the end.

    Args:
        store: directory of the repository.
        *arguments: more words for `casdav serve`, such as `"--workers", "2"`.
        location: of a new repository that is elsewhere, such as in a bucket.

    The server may be killed and started again inside. Whatever still runs is killed at the end,
    its whole process group with it; if the test failed, the server's output is part of the report.
    """
    if not store.exists():
        where = location or store
        run_casdav("init", where)
        run_casdav("user", "add", USER, "--admin", "--password-stdin", store=where, stdin=PASSWORD)
    log_path = store.with_name(f"{store.name}.log")
    log_path.touch()
    server = Server(store, free_port(), arguments, log_path, location=location)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            end_group(server.process)
        print(server.log)
