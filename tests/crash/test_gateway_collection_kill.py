"""kill -9 of gateways that collect garbage in a real bucket, while others serve and write."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

import cas
from cas.epochs import read_epoch
from cas.maintenance import claims
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.dying_collector import PRESENT_ONLY
from tests.support.gateways import content, put
from tests.support.network import free_port
from tests.support.processes import CHECKOUT, casdav_environment, run_casdav
from tests.support.server import PASSWORD, USER, Server
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.seaweed import Bucket

CONTENTS: Final = [seeded_bytes(number, 40_000 * (number + 1)) for number in range(6)]
STEPS: Final = {
    "replace epoch",  # claims, condemns, says what is removed
    "replace refs",  # fences, or keeps what retention has dropped
    "put_file packs",  # copies what is live
    "delete packs",
}
LAST: Final = (
    "put_file packs, delete packs",
    "delete packs, delete packs",
    "delete packs, replace epoch",
    "delete packs, replace epoch, replace epoch",  # which would say that it is at its end
)


def collect(location: str, where: str) -> str:
    """Run a gateway that collects and dies there; return what it was about to do, or `done`."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.dying_collector", location, where],
        cwd=CHECKOUT,
        env=casdav_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout.strip()
    assert ended.returncode == (0 if said == "done" else -9), ended.stderr
    return said


class Writer:
    """Puts and removes the same few contents without end, and knows what was acknowledged."""

    def __init__(self, repository: cas.Repository, name: str) -> None:
        self._repository = repository
        self._name = name
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: dict[str, bytes] = {}
        self.count = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        chance = random.Random(self._name)
        try:
            while not self._ends.is_set():
                self._write(chance)
        except BaseException as error:  # noqa: BLE001 - it is raised where the test ends
            self.error = error

    def _write(self, chance: random.Random) -> None:
        path, data = f"{self._name} {chance.randrange(8)}", chance.choice(CONTENTS)
        try:
            if path in self.acknowledged and chance.random() < 0.5:
                with self._repository.volume("v").edit() as edit:
                    edit.remove(path)
                del self.acknowledged[path]
            else:
                put(self._repository, path, data)
                self.acknowledged[path] = data
        except cas.StoreError as error:
            assert error.transient, error  # noqa: PT017 - what was deleted is sent again
        self.count += 1


def go_on(before: int, *writers: Writer) -> bool:
    """Whether writers have done more than so many things in all, or cannot any more."""
    return sum(each.count for each in writers) > before or any(each.error for each in writers)


@pytest.fixture
def at(bucket: Bucket, tmp_path: Path) -> Callable[[str], str]:
    """Return where a gateway of a name finds the repository, which has a volume `v`."""

    def location(name: str) -> str:
        return bucket.url(local=str(tmp_path / name), durability="remote")

    with cas.create(location("maker")) as repository:
        repository.create_volume("v")
    return location


@pytest.mark.parametrize(
    "places",
    [
        pytest.param((*sorted(STEPS), *LAST), marks=pytest.mark.long, id="each step"),
        pytest.param((*map(str, range(12)), *LAST), marks=pytest.mark.soak, id="each change"),
    ],
)
def test_gateways_killed_at_each_step_of_a_collection_lose_nothing(
    at: Callable[[str], str], places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "OVERTAKEN_SECONDS", 0)
    met: list[str] = []
    with ExitStack() as stack:
        served = [stack.enter_context(cas.open(at(name))) for name in ("one", "two")]
        with Writer(served[0], "one") as first, Writer(served[1], "two") as second:
            for number, where in enumerate(places):
                before = first.count + second.count
                met.append(collect(at(f"collector {number % 3}"), where))
                wait_until(partial(go_on, before, first, second), "a writer", timeout_seconds=120)
        assert set(met) >= STEPS, met
        shown = {**first.acknowledged, **second.acknowledged}
        assert shown
        fresh = stack.enter_context(cas.open(at("fresh")))
        for repository in (*served, fresh):
            assert content(repository) == shown
            assert_sound(repository)
        cas.collect_garbage(served[1], PRESENT_ONLY, grace_seconds=0)
        record, _ = read_epoch(fresh.engine.store, fresh.engine.chunks.identifier)
        assert not record.condemned
        for repository in (*served, fresh):
            assert content(repository) == shown
            assert_sound(repository)


def test_an_upload_through_a_server_goes_on_beside_a_collection_that_died(
    at: Callable[[str], str], tmp_path: Path
) -> None:
    location = at("server")
    data = seeded_bytes(7, 12 << 20)
    run_casdav("user", "add", USER, "--password-stdin", store=location, stdin=f"{PASSWORD}\n")
    server = Server(tmp_path, free_port(), (), tmp_path / "server.log", location=location)
    server.start()

    def body() -> Iterator[bytes]:
        yield data[: 9 << 20]  # all of it is found stored
        assert collect(at("collector"), "delete packs") == "delete packs"
        yield data[9 << 20 :]

    try:
        assert server.request("PUT", "before", data)[0] == 201
        assert server.request("DELETE", "before")[0] == 204
        assert server.request("PUT", "after", body())[0] == 201
        assert collect(at("collector"), "never") == "done"
        assert server.request("GET", "after")[2] == data
    finally:
        server.stop()
    run_casdav("check", "--read-data", store=at("elsewhere"))
    assert run_casdav("store", "gateways", store=location).stdout.startswith("no gateway")
