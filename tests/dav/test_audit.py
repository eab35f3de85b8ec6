"""Sign-ins are recorded, each record bound to the one before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

import cas
from dav import audit, records
from dav.audit import AuditLog, append, attempts_backward, verify
from dav.challenge import Reason
from dav.identity import Method
from dav.records import Attempt, AuditRecord
from tests.support.clock import FakeClock
from tests.support.waiting import wait_until

HOUR_NS = 3600 * 1_000_000_000
DAY_NS = 24 * HOUR_NS


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        yield made


def attempts(repository: cas.Repository) -> list[Attempt]:
    with repository.registry.view() as view:
        return list(attempts_backward(view))


def held(repository: cas.Repository, known: tuple[int, bytes] | None = None) -> audit.Verified:
    with repository.registry.view() as view:
        return verify(view, known)


def some(number: int, count: int = 1) -> list[Attempt]:
    return [Attempt(number * 1000 + i, "alice", "192.0.2.1", "password") for i in range(count)]


def test_who_comes_in_is_noted_once_an_hour_and_who_is_refused_is_counted(
    repository: cas.Repository,
) -> None:
    clock = FakeClock()
    log = AuditLog(repository, clock.now_ns)
    for _ in range(5):
        log.enter("alice", "192.0.2.1", Method.APP_PASSWORD, "t1")
        log.refuse("bob", "192.0.2.2", "password", Reason.REFUSED)
    log.enter("alice", "192.0.2.9", Method.APP_PASSWORD, "t1")
    wait_until(lambda: attempts(repository), "the record of who came in")
    clock.advance(3599)
    log.enter("alice", "192.0.2.1", Method.APP_PASSWORD, "t1")
    clock.advance(2)
    log.enter("alice", "192.0.2.1", Method.APP_PASSWORD, "t1")
    log.close()
    found = attempts(repository)
    assert [each.address for each in found if not each.reason] == [
        "192.0.2.1",
        "192.0.2.9",
        "192.0.2.1",
    ]
    assert sum(each.count for each in found if each.reason) == 5
    assert {each.user for each in found if each.reason} == {"bob"}


def test_a_flood_of_refused_attempts_is_counted_in_few_lines(repository: cas.Repository) -> None:
    log = AuditLog(repository)
    for number in range(5000):
        log.refuse(f"user{number}", f"192.0.2.{number % 250}", "password", Reason.REFUSED)
    log.close()
    found = attempts(repository)
    assert len(found) < 80
    assert sum(each.count for each in found) == 5000


def test_records_of_several_writers_make_one_chain(repository: cas.Repository) -> None:
    def write() -> None:
        for number in range(5):
            append(repository, some(number), 0)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verified = held(repository)
    assert (verified.first, verified.last, verified.attempts, verified.broken) == (1, 15, 15, "")


def tampered(repository: cas.Repository, number: int, record: bytes | None) -> None:
    path = f"{records.AUDIT}/{0:09d}/{number:012d}"
    with repository.registry.edit() as edit:
        if record is None:
            edit.remove(path)
        else:
            edit.put_record(path, record)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_record_that_was_changed_or_left_out_is_noticed(
    repository: cas.Repository, number: int
) -> None:
    for each in range(1, 4):
        append(repository, some(each), 0)
    whole = held(repository)
    assert whole.broken == ""
    known = whole.last, whole.newest
    with repository.registry.view() as view:
        entry = view.entry(f"{records.AUDIT}/{0:09d}/{number:012d}")
    before = records.decode(entry.content, AuditRecord)
    forged = AuditRecord(before.number, before.before, some(77))
    for change in (records.encode(forged), b"no record", None):
        tampered(repository, number, change)
        if number == 3 and change != b"no record":
            assert held(repository).broken == ""  # the newest: nothing names it
            assert held(repository, known).broken != ""
        else:
            assert held(repository).broken != ""
        tampered(repository, number, entry.content)
        assert held(repository, known).broken == ""


def test_what_is_a_year_old_goes_by_the_thousand(repository: cas.Repository) -> None:
    before, now_ns = b"", 2_000 * DAY_NS
    with repository.registry.edit() as edit:
        for number in range(1, 2000):
            folder, name = f"{records.AUDIT}/{number // 1000:09d}", f"{number:012d}"
            if number in {1, 1000}:
                edit.make_directory(folder, parents=True)
            time_ns = DAY_NS if number < 1000 else now_ns
            attempt = Attempt(time_ns, "alice", "", "password")
            record = records.encode(AuditRecord(number, before, [attempt]))
            edit.put_record(f"{folder}/{name}", record)
            before = blake3(record).digest()
    assert (held(repository).first, held(repository).broken) == (1, "")
    append(repository, some(1), now_ns)
    verified = held(repository)
    assert (verified.first, verified.last, verified.broken) == (1000, 2000, "")


def test_what_waits_is_written_at_the_end(repository: cas.Repository) -> None:
    log = AuditLog(repository)
    log.refuse("bob", "192.0.2.1", "jwt", Reason.REFUSED)
    log.close()
    assert [each.user for each in attempts(repository)] == ["bob"]
