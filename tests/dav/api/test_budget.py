"""Small requests that unpack to much: their memory is bounded, and each gets its turn."""

from __future__ import annotations

import threading

import msgspec
import pytest

import cas
from cas import wire
from dav.api.budget import Budget


def test_no_more_is_taken_than_there_is() -> None:
    budget = Budget(100)
    begun = threading.Event()
    done = threading.Event()

    def take_rest() -> None:
        begun.set()
        with budget.take(60):
            done.set()

    with budget.take(50):
        thread = threading.Thread(target=take_rest)
        thread.start()
        begun.wait()
        with budget.take(50):
            assert not done.is_set()
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()


def test_what_asks_for_more_than_all_has_all() -> None:
    budget = Budget(100)
    with budget.take(1 << 60):
        pass
    with pytest.raises(KeyError), budget.take(100):
        raise KeyError
    with budget.take(100):
        pass


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (b"\x93", wire.MissingRequest),
        (b"\x93", wire.SendRequest),
        (b"\x94\xa1k\x00", wire.CommitRequest),
        (b"\x93\x00", wire.PartsRequest),
    ],
)
def test_of_long_lists_nothing_is_decoded(before: bytes, expected: type[msgspec.Struct]) -> None:
    place = msgspec.msgpack.encode(wire.Place(bytes(16)))
    # The list ends at once: who looks at its items finds that, and not how long it is.
    endless = b"\xdd\x00\xff\xff\xff"
    with pytest.raises(cas.InvalidError, match="length <= "):
        wire.decode_message(before[:1] + place + before[1:] + endless, expected)
