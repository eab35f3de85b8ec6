"""kill -9 under load: what was acknowledged is there, what was not is there whole or not at all.

Each writer owns a folder and sends one request at a time, so that after a kill its folder has
exactly two possible states: before and after the request that got no answer. The same holds when
the index is lost with the crash: it is rebuilt from the packs.
"""

from __future__ import annotations

import base64
import http.client
import random
import re
import shutil
import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import pytest

from tests.support import Server, running_server
from tests.support.network import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = [f"file {number}" for number in range(8)]
WRITERS: Final = 4
LONGEST_ROUND_SECONDS: Final = 1.5

Folder = dict[str, bytes]


class Writer:
    """Changes its folder at random until the server is gone, and knows what must be there."""

    def __init__(self, server: Server, name: str, seed: int) -> None:
        self.folder = name
        self.before: Folder = {}
        self.after: Folder = {}
        self.acknowledged = 0
        self.surprise: str | None = None
        self.is_killed = threading.Event()
        self._server = server
        self._random = random.Random(seed)
        credentials = f"{server.user}:{server.password}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}

    def run(self) -> None:
        """Send changes until one gets no answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self._server.port, timeout=30)
        try:
            while self.surprise is None:
                self._change(connection)
        except (OSError, http.client.HTTPException) as error:
            if not self.is_killed.is_set():
                self.surprise = f"no answer before the kill: {error!r}"
        finally:
            connection.close()

    def actual(self) -> Folder:
        """Return what the server has in the folder now."""
        found: Folder = {}
        for name in NAMES:
            status, _, body = self._server.request("GET", self._path(name))
            assert status in {200, 404}, (status, body)
            if status == 200:
                found[name] = body
        listing = self._server.request("PROPFIND", f"{self.folder}/", headers={"Depth": "1"})[2]
        listed = re.findall(rf"<D:href>[^<]*/{self.folder}/([^<]+)</D:href>", listing.decode())
        assert sorted(map(unquote, listed)) == sorted(found)
        return found

    def _change(self, connection: http.client.HTTPConnection) -> None:
        name, other = self._random.sample(NAMES, 2)
        operation = self._random.choice(["PUT", "PUT", "PUT", "DELETE", "MOVE"])
        after = dict(self.before)
        body = b""
        headers = dict(self._headers)
        if operation == "PUT":
            large = self._random.random() < 0.1
            body = self._random.randbytes(self._random.randrange(3_000_000 if large else 20_000))
            after[name] = body
        elif name not in after:
            return
        elif operation == "DELETE":
            del after[name]
        else:
            after[other] = after.pop(name)
            headers["Destination"] = f"{self._server.url}{self._path(other)}"
        self.after = after
        url = f"/dav/{self._server.user}/{self._path(name)}"
        connection.request(operation, url, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status not in {201, 204}:
            self.surprise = f"{operation} {url}: {response.status} {answer!r}"
            return
        self.before = after
        self.acknowledged += 1

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name.replace(' ', '%20')}"


def run_until_killed(server: Server, writers: list[Writer], delay_seconds: float) -> None:
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    # The moment of the kill is the test's input, so here time itself is what we wait for.
    time.sleep(delay_seconds)
    for writer in writers:
        writer.is_killed.set()
    server.kill()
    for thread in threads:
        thread.join()


def difference(actual: Folder, writer: Writer) -> str | None:
    """Return what is wrong with the folder after a restart; None if it is as it may be."""
    if actual in (writer.before, writer.after):
        return None
    wrong = [name for name in NAMES if actual.get(name) != writer.before.get(name)]
    return f"{writer.folder}: {wrong} are neither as acknowledged nor as last sent"


def start_writers(server: Server, seed: int) -> list[Writer]:
    seeds = range(seed * WRITERS, (seed + 1) * WRITERS)
    writers = [Writer(server, f"writer{number}", number) for number in seeds]
    for writer in writers:
        assert server.request("MKCOL", f"{writer.folder}/")[0] == 201
    return writers


def check_writers(writers: list[Writer]) -> None:
    """See that nothing was lost, and make the writers ready for the next round."""
    assert [writer.surprise for writer in writers if writer.surprise] == []
    for writer in writers:
        actual = writer.actual()
        assert difference(actual, writer) is None
        writer.before = writer.after = actual
        writer.is_killed.clear()


def kill_under_load(
    tmp_path: Path, rounds: int, workers: int, seed: int, *, is_index_lost: bool
) -> None:
    moments = random.Random(f"{workers} {seed}")
    with running_server(tmp_path / "store", "--workers", str(workers)) as server:
        writers = start_writers(server, seed)
        for _ in range(rounds):
            run_until_killed(server, writers, moments.uniform(0.02, LONGEST_ROUND_SECONDS))
            if is_index_lost:
                shutil.rmtree(server.store / "local" / "catalog")
            server.start()
            check_writers(writers)
    assert sum(writer.acknowledged for writer in writers) > rounds * WRITERS


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_after_every_kill(
    tmp_path: Path, rounds: int, workers: int
) -> None:
    kill_under_load(tmp_path, rounds, workers, 0, is_index_lost=False)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_after_a_kill_that_takes_the_index_with_it(
    tmp_path: Path, rounds: int, workers: int
) -> None:
    kill_under_load(tmp_path, rounds, workers, 0, is_index_lost=True)


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("is_index_lost", [False, True], ids=["index kept", "index lost"])
def test_what_was_acknowledged_is_there_whatever_the_seed(
    tmp_path: Path, workers: int, soak_seed: int, *, is_index_lost: bool
) -> None:
    kill_under_load(tmp_path, 25, workers, 1 + soak_seed, is_index_lost=is_index_lost)
