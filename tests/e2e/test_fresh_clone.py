"""What a newcomer does: clone, `make serve`, use the drive, end it, and `make serve` again."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import free_port, wait_until
from tests.support.network import LOOPBACK, accepts_connections
from tests.support.processes import CHECKOUT, end_group

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.clone

SET_UP_SECONDS: Final = 280.0
SECOND_START_SECONDS: Final = 15.0
SYSTEM_PYTHON: Final = Path("/usr/bin/python3")
NOBODY: Final = "nobody"


class Newcomer:
    """Somebody with a fresh clone, who starts and ends `make serve` in it."""

    def __init__(self, directory: Path, user: str | None) -> None:
        self.checkout = directory / "a clone"
        self.port = free_port()
        self._user = user
        self._python = str(SYSTEM_PYTHON) if user else "python3"
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            "HOME": str(directory),
            "PATH": os.environ["PATH"],
            # Where packages come from, and how, is the machine's business.
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            **{name: value for name, value in os.environ.items() if name.startswith("SSL_")},
        }
        subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(self.checkout)], check=True)
        if user:
            shutil.chown(directory, user)
            for path in [self.checkout, *self.checkout.rglob("*")]:
                shutil.chown(path, user)

    def serve(self, timeout_seconds: float) -> str:
        """Type `make serve`, wait until the drive listens, and return what was printed."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["make", "serve", f"PYTHON={self._python}", f"ARGS=--port {self.port}"],
                cwd=self.checkout,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
            )
        wait_until(self._listens, "make serve to listen", timeout_seconds=timeout_seconds)
        return self._output.read_text()

    def end(self) -> None:
        """Press Ctrl-C: the interrupt goes to the whole process group."""
        if self._process is not None:
            end_group(self._process, signal.SIGINT)
            self._process = None

    def request(self, method: str, path: str, credentials: str, body: bytes = b"") -> bytes:
        """Send a request that must succeed, and return the body of the answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        authorization = base64.b64encode(credentials.encode()).decode()
        headers = {"Authorization": f"Basic {authorization}"}
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert response.status < 300, (response.status, answer)
        return answer

    def changed_files(self) -> str:
        """Return what git would call changed or new in the clone: one line a file."""
        status = ["git", "-c", "safe.directory=*", "status", "--porcelain"]
        return subprocess.check_output(status, cwd=self.checkout, text=True)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._output.read_text()
        return accepts_connections(LOOPBACK, self.port)


# Only root can become somebody else, with a Python that all may run.
CAN_BE_NOBODY: Final = os.geteuid() == 0 and SYSTEM_PYTHON.exists()


@pytest.fixture(params=["oneself", NOBODY] if CAN_BE_NOBODY else ["oneself"])
def newcomer(request: pytest.FixtureRequest) -> Iterator[Newcomer]:
    user = NOBODY if request.param == NOBODY else None
    # Not below pytest's own directories: any other run of pytest closes those to other users.
    with tempfile.TemporaryDirectory(prefix="casdav-newcomer-") as directory:
        Path(directory).chmod(0o755)
        person = Newcomer(Path(directory), user)
        yield person
        person.end()


def printed_password(output: str) -> str:
    found = re.search(r"(?im)^\W*(?:app )?password\W+(\S+)", output)
    assert found, output
    return found[1]


def test_make_serve_gives_a_drive_that_is_still_there_the_second_time(newcomer: Newcomer) -> None:
    first_output = newcomer.serve(SET_UP_SECONDS)
    credentials = f"admin:{printed_password(first_output)}"
    newcomer.request("PUT", "/dav/admin/letter.txt", credentials, b"dear diary")
    newcomer.end()

    started = time.monotonic()
    second_output = newcomer.serve(SECOND_START_SECONDS)
    assert time.monotonic() - started < SECOND_START_SECONDS
    assert credentials.partition(":")[2] not in second_output
    assert newcomer.request("GET", "/dav/admin/letter.txt", credentials) == b"dear diary"
    assert newcomer.changed_files() == ""
