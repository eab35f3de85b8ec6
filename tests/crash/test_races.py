"""Requests at the same moment: one whole version wins, a condition lets exactly one through."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RIVALS: Final = 8
ROUNDS: Final = 10
LOCK_BODY: Final = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("races") / "store"
    with running_server(store, "--workers", str(request.param)) as running:
        yield running


def race(request: Callable[[int], int]) -> Counter[int]:
    """Send a request from each rival at the same moment; return how often each status came."""
    line = threading.Barrier(RIVALS)

    def run(number: int) -> int:
        line.wait(timeout=30)
        return request(number)

    with ThreadPoolExecutor(RIVALS) as pool:
        return Counter(pool.map(run, range(RIVALS)))


def send(
    server: Server,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> int:
    return server.request(method, path, body, headers)[0]


def test_of_parallel_uploads_one_whole_version_stays_and_readers_see_no_other(
    server: Server,
) -> None:
    content = random.Random(15)
    versions = [content.randbytes(1_500_000 + number) for number in range(RIVALS)]
    assert send(server, "PUT", "file", versions[0]) == 201
    is_over = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not is_over.is_set():
            seen.append(server.request("GET", "file")[2])

    with ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read)
        try:
            for _ in range(3):
                statuses = race(lambda number: send(server, "PUT", "file", versions[number]))
                assert statuses == {204: RIVALS}
                assert server.request("GET", "file")[2] in versions
        finally:
            is_over.set()
        reading.result()
    assert seen
    assert all(body in versions for body in seen)
    assert send(server, "DELETE", "file") == 204


def test_one_of_those_who_want_to_create_a_file_does(server: Server) -> None:
    for attempt in range(ROUNDS):
        path = f"new{attempt}"
        condition = {"If-None-Match": "*"}
        statuses = race(lambda number: send(server, "PUT", path, b"%d" % number, condition))  # noqa: B023
        assert statuses == {201: 1, 412: RIVALS - 1}


def test_one_of_those_who_changed_the_same_version_succeeds(server: Server) -> None:
    send(server, "PUT", "edited", b"first")
    for attempt in range(ROUNDS):
        condition = {"If-Match": server.request("HEAD", "edited")[1]["etag"]}
        bodies = [b"%d by %d" % (attempt, number) for number in range(RIVALS)]
        statuses = race(lambda number: send(server, "PUT", "edited", bodies[number], condition))  # noqa: B023
        assert statuses == {204: 1, 412: RIVALS - 1}
        assert server.request("GET", "edited")[2] in bodies


def test_one_of_those_who_make_a_folder_does(server: Server) -> None:
    for attempt in range(ROUNDS):
        statuses = race(lambda _: send(server, "MKCOL", f"folder{attempt}/"))  # noqa: B023
        assert statuses == {201: 1, 405: RIVALS - 1}


def test_one_of_those_who_move_a_file_gets_it(server: Server) -> None:
    for attempt in range(ROUNDS):
        send(server, "PUT", f"source{attempt}", b"moved")
        targets = [f"target{attempt}-{number}" for number in range(RIVALS)]

        def move(number: int) -> int:
            destination = {"Destination": server.url + targets[number]}  # noqa: B023
            return send(server, "MOVE", f"source{attempt}", headers=destination)  # noqa: B023

        assert race(move) == {201: 1, 404: RIVALS - 1}
        found = Counter(send(server, "GET", target) for target in targets)
        assert found == {200: 1, 404: RIVALS - 1}


def test_one_of_those_who_move_to_a_free_name_gets_it_and_nothing_is_lost(server: Server) -> None:
    for attempt in range(ROUNDS):
        sources = [f"mine{attempt}-{number}" for number in range(RIVALS)]
        for number, source in enumerate(sources):
            send(server, "PUT", source, b"%d" % number)
        target = {"Destination": f"{server.url}taken{attempt}", "Overwrite": "F"}
        statuses = race(lambda number: send(server, "MOVE", sources[number], headers=target))  # noqa: B023
        assert statuses == {201: 1, 412: RIVALS - 1}
        left = Counter(send(server, "GET", source) for source in sources)
        assert left == {200: RIVALS - 1, 404: 1}


def test_one_of_those_who_lock_a_file_gets_the_lock(server: Server) -> None:
    for attempt in range(ROUNDS):
        path = f"locked{attempt}"
        send(server, "PUT", path, b"x")
        statuses = race(lambda _: send(server, "LOCK", path, LOCK_BODY))  # noqa: B023
        assert statuses == {200: 1, 423: RIVALS - 1}
