"""Scratch values: kept until they expire, changed in one step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cas.catalog import Catalog
from cas.scratch import Scratch
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scratch(tmp_path: Path, clock: FakeClock) -> Iterator[Scratch]:
    catalog = Catalog(tmp_path / "catalog")
    yield Scratch(catalog, clock)
    catalog.close()


def test_a_value_is_kept_until_it_is_deleted(scratch: Scratch) -> None:
    assert scratch.get(b"key") is None
    scratch.put(b"key", b"")
    assert scratch.get(b"key") == b""
    scratch.put(b"key", b"value")
    assert scratch.get(b"key") == b"value"
    scratch.delete(b"key")
    scratch.delete(b"key")
    assert scratch.get(b"key") is None


def test_a_value_ends_with_its_time(scratch: Scratch, clock: FakeClock) -> None:
    scratch.put(b"short", b"1", clock.now_ns() + 1_000_000_000)
    scratch.put(b"long", b"2", clock.now_ns() + 9_000_000_000)
    scratch.put(b"for ever", b"3")
    clock.advance(1)
    assert scratch.get(b"short") is None
    assert scratch.get(b"long") == b"2"
    assert scratch.remove_expired() == 1
    assert scratch.remove_expired() == 0
    assert (scratch.get(b"long"), scratch.get(b"for ever")) == (b"2", b"3")


def test_an_update_sees_no_expired_value(scratch: Scratch, clock: FakeClock) -> None:
    scratch.put(b"key", b"old", clock.now_ns() + 1)
    clock.advance(1)
    assert scratch.update(b"key", lambda value: b"%r" % value) == b"None"
    assert scratch.update(b"key", lambda _: None) is None
    assert scratch.get(b"key") is None


def test_a_function_that_raises_changes_nothing(scratch: Scratch) -> None:
    scratch.put(b"key", b"value")

    def fail(_value: bytes | None) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scratch.update(b"key", fail)
    assert scratch.get(b"key") == b"value"


def test_updates_of_several_threads_lose_none(scratch: Scratch) -> None:
    def count() -> None:
        for _ in range(50):
            scratch.update(b"count", lambda value: b"%d" % (int(value or b"0") + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scratch.get(b"count") == b"200"
