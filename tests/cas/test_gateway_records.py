"""Gateways say in the bucket that they serve; nothing but words for people rests on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas.opening import create_in
from cas.stores.memory import MemoryStore
from dav.presence import Presence
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.encrypted import KEY
from tests.support.gateways import Gateways, MachineStore, gateways, put
from tests.support.waiting import wait_until

DAY: int = 24 * 3600


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as bucket:
        yield bucket


def records(made: Gateways) -> list[str]:
    return [name for name, _ in made.bucket.list("gateways")]


def test_a_gateway_knows_that_it_is_not_alone_until_the_other_ends(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    assert cas.announce_gateway(one, "1.0", 5) == []
    (other,) = cas.announce_gateway(two, "2.0", 6)
    assert (other.record.host, other.record.version) == (socket.gethostname(), "1.0")
    assert (other.record.started_ns, other.is_own, other.is_stale) == (5, False, False)
    (other,) = cas.announce_gateway(one, "1.0", 5)
    assert other.record.version == "2.0"
    assert sorted(each.is_own for each in cas.list_gateways(one)) == [False, True]
    cas.withdraw_gateway(two)
    assert cas.announce_gateway(one, "1.0", 5) == []
    assert len(records(made)) == 1


def test_one_that_died_is_gone_after_a_while_and_forgotten_after_a_month(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    cas.announce_gateway(two, "2.0", 6)
    made.clock.advance(1700)  # type: ignore[attr-defined]
    assert len(cas.announce_gateway(one, "1.0", 5)) == 1
    made.clock.advance(200)  # type: ignore[attr-defined]
    assert cas.announce_gateway(one, "1.0", 5) == []
    assert [each.is_stale for each in cas.list_gateways(one)] == [False, True]
    made.clock.advance(31 * DAY)  # type: ignore[attr-defined]
    cas.announce_gateway(one, "1.0", 5)
    assert len(records(made)) == 1


def test_a_damaged_record_is_left_out_and_written_anew(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    cas.announce_gateway(one, "1.0", 5)
    (name,) = records(made)
    _, token = made.bucket.read(name)
    made.bucket.replace(name, b"x" * 50, token)
    assert cas.announce_gateway(two, "2.0", 6) == []
    cas.announce_gateway(one, "1.0", 5)
    assert len(cas.list_gateways(two)) == 2


def test_of_an_encrypted_repository_nothing_can_be_read_there(tmp_path: Path) -> None:
    made = Gateways(tmp_path, MemoryStore(), FakeClock())
    store = MachineStore(made.bucket, tmp_path / "maker")
    create_in(store, made.clock, key=KEY, is_shared=True).close()
    one = made.open("one", unlock=lambda: KEY)
    cas.announce_gateway(one, "1.0", 5)
    (name,) = records(made)
    stored, _ = made.bucket.read(name)
    assert socket.gethostname().encode() not in stored
    assert [each.is_own for each in cas.list_gateways(one)] == [True]
    made.close()


def test_locks_that_are_not_shared_are_warned_of_once_when_another_comes(
    made: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    presence = Presence(made.open("one"), has_shared_locks=False)
    presence.announce()
    assert not caplog.records
    Presence(made.open("two"), has_shared_locks=True).announce()
    assert not caplog.records
    presence.announce()
    presence.announce()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--locks" in caplog.text


def test_who_ends_does_not_wait_for_a_bucket_that_is_silent(
    made: Gateways, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.maintenance.gateways._WITHDRAWN_SECONDS", 0.0)
    answers = threading.Event()

    class Silent(MachineStore):
        def delete(self, name: str) -> None:
            answers.wait()
            super().delete(name)

    one = made.open("one", wrap=lambda store: Silent(store.bucket, store.machine_directory))
    cas.announce_gateway(one, "1.0", 5)
    cas.withdraw_gateway(one)
    assert "does not answer" in caplog.text
    assert records(made)
    answers.set()
    wait_until(lambda: not records(made), "the answer to come")


def test_a_repository_of_one_machine_says_nothing(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        assert cas.announce_gateway(repository, "1.0", 5) == []
        assert cas.list_gateways(repository) == []
        cas.withdraw_gateway(repository)
        assert not (tmp_path / "store" / "gateways").exists()


def test_gateways_go_on_beside_a_collection_and_a_check(made: Gateways) -> None:
    one = made.open("one")
    cas.announce_gateway(one, "1.0", 5)
    put(one, "a", b"1")
    cas.collect_garbage(one, grace_seconds=0)
    assert_sound(one)
    assert len(records(made)) == 1
