"""Three gateways behind nginx, with what they share: a bucket, and locks in Valkey."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.chaos import LOG, Client, faults_seen, working
from tests.support.fleet import Fleet, running_balancer, running_fleet, send
from tests.support.programs import needs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.debian, pytest.mark.long]

LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
COLLECT = ("gc", "--keep-versions", "1", "--grace", "0s")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path, 2) as running:
        yield running


def test_locks_hold_at_all_gateways_and_without_redis_nothing_is_written(fleet: Fleet) -> None:
    one, other = (gateway.port for gateway in fleet.gateways)
    assert send(one, "PUT", "file", b"1")[0] == 201
    status, headers, _ = send(one, "LOCK", "file", LOCK, {"Timeout": "Second-600"})
    assert status == 200
    token = headers["lock-token"]
    status, _, answer = send(other, "PUT", "file", b"2")
    assert status == 423
    assert b"lock-token-submitted" in answer
    assert token.strip("<>").encode() in send(other, "PROPFIND", "file", None, {"Depth": "0"})[2]
    assert send(other, "PUT", "file", b"2", {"If": f"({token})"})[0] == 204
    [listed] = json.loads(fleet.run("lock", "list", "--json"))
    assert listed["path"] == "file"

    fleet.valkey.end(signal.SIGKILL)
    for port in (one, other):
        status, headers, _ = send(port, "PUT", "other", b"3")
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert send(port, "LOCK", "other", LOCK)[0] == 503
        assert send(port, "GET", "file")[::2] == (200, b"2")
        assert send(port, "PROPFIND", "", None, {"Depth": "1"})[0] == 207
    fleet.valkey.start()
    for port in (one, other):
        put = lambda port=port: send(port, "PUT", "other", b"3")[0] in {201, 204}  # noqa: E731
        wait_until(put, "Redis to be asked again")
        assert send(port, "PUT", "file", b"4")[0] == 423, "Valkey kept it on its disk"
    fleet.run("lock", "break", "--at", "alice:/file", "--yes")
    assert send(one, "PUT", "file", b"4")[0] == 204


@pytest.mark.parametrize("password", ["", "what only this house knows"], ids=["plain", "encrypted"])
def test_a_machine_with_an_empty_disk_and_a_copied_bucket_serve_the_same(
    tmp_path: Path, password: str
) -> None:
    environment = {"CASDAV_PASSWORD": password} if password else {}
    contents = {
        str(number): random.Random(number).randbytes(number * 99_991) for number in range(5)
    }
    with running_fleet(tmp_path, 1, environment) as fleet:
        [gateway] = fleet.gateways
        for name, content in contents.items():
            assert send(gateway.port, "PUT", name, content)[0] == 201
        gateway.kill()
        shutil.rmtree(gateway.store)  # its machine's whole disk
        gateway.store.mkdir()
        gateway.start()
        fresh = fleet.add("new")
        copied = f"{fleet.bucket.prefix}-copy"
        with_client = fleet.seaweed.client()
        try:
            pages = with_client.get_paginator("list_objects_v2").paginate(
                Bucket="casdav-test", Prefix=f"{fleet.bucket.prefix}/"
            )
            for key in [item["Key"] for page in pages for item in page.get("Contents", ())]:
                with_client.copy_object(
                    Bucket="casdav-test",
                    Key=copied + key.removeprefix(fleet.bucket.prefix),
                    CopySource={"Bucket": "casdav-test", "Key": key},
                )
        finally:
            with_client.close()
        fleet.bucket = type(fleet.bucket)(fleet.seaweed, copied)
        elsewhere = fleet.add("elsewhere")
        for server in (gateway, fresh, elsewhere):
            for name, content in contents.items():
                assert send(server.port, "GET", name)[::2] == (200, content)
        assert send(elsewhere.port, "PUT", "more", b"x")[0] == 201
        assert send(fresh.port, "GET", "more")[0] == 404, "the copy is a repository of its own"
        fleet.run("check", "--read-data")


def chaos(directory: Path, seed: int, seconds: float) -> None:
    """Let clients work while gateways and the bucket die; see that nothing acknowledged is lost."""
    chance = random.Random(seed)
    with (
        running_fleet(directory, 3) as fleet,
        running_balancer(directory / "nginx", [each.port for each in fleet.gateways]) as port,
    ):
        assert send(port, "PUT", LOG, b"")[0] == 201
        clients = [Client(port, f"client-{n}", random.Random(f"{seed}/{n}")) for n in range(8)]
        for client in clients:
            assert send(port, "MKCOL", f"{client.name}/")[0] == 201
        stopping = threading.Event()
        collected: list[int] = []
        collector = threading.Thread(target=lambda: collect(fleet, stopping, collected))
        threads = [*working(clients, stopping), collector]
        collector.start()
        try:
            disturb(fleet, chance, seconds)
        finally:
            stopping.set()
            for thread in threads:
                thread.join(90)
        print(
            f"{sum(c.answered for c in clients)} stand, {sum(c.unanswered for c in clients)} lost"
        )
        assert [fault for client in clients for fault in client.faults] == []
        for gateway in fleet.gateways:
            assert list(faults_seen(clients, gateway.port)) == []
        assert all(client.answered for client in clients)
        assert 0 in collected, "no collection came to its end"
        fleet.run("check", "--read-data")
        fleet.run(*COLLECT)
        assert list(faults_seen(clients, port)) == []


def collect(fleet: Fleet, stopping: threading.Event, codes: list[int]) -> None:
    """Collect garbage again and again from a machine of its own; note how each run ended."""
    while not stopping.is_set():
        ended = fleet.try_run(*COLLECT, machine="collector")
        codes.append(ended.returncode)
        print(f"gc: {ended.returncode} {ended.stdout[-200:]} {ended.stderr[-400:]}")


def disturb(fleet: Fleet, chance: random.Random, seconds: float) -> None:
    """Kill a gateway every few seconds, and the bucket's server twice."""
    began = time.monotonic()
    outages = [seconds / 3, seconds * 2 / 3]
    while (passed := time.monotonic() - began) < seconds:
        if outages and passed >= outages[0]:
            outages.pop(0)
            fleet.seaweed.end(signal.SIGKILL)
            fleet.seaweed.start()
        time.sleep(chance.uniform(0.5, 3))  # so that something is under way
        victim = chance.choice(fleet.gateways)
        victim.kill()
        victim.start(60)


@needs("nginx")
def test_what_is_acknowledged_outlives_gateways_and_outages(tmp_path: Path) -> None:
    chaos(tmp_path, 1, 12)


@needs("nginx")
@pytest.mark.soak
def test_what_is_acknowledged_outlives_gateways_for_long(tmp_path: Path, soak_seed: int) -> None:
    chaos(tmp_path, soak_seed, 300)
