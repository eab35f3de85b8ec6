"""VOLUME@WHEN:/PATH: what WHEN may be, and which state it names."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import cas
from tools.parameters import PAST_LOCATION, Location
from tools.when import time_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tools.conftest import Casdav

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be two hours east of Greenwich."""
    monkeypatch.setenv("TZ", "XXX-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("word", "when", "path"),
    [
        ("alice@monday:/a", "monday", "a"),
        ("alice@#12:/a", "#12", "a"),
        ("alice@3h:", "3h", ""),
        ("alice@2026-11-22:/a", "2026-11-22", "a"),
        ("alice@2026-11-22T10:00:/a:b", "2026-11-22T10:00", "a:b"),
        ("alice@2026-11-22T10:00:05:/a", "2026-11-22T10:00:05", "a"),
        ("alice@2026-11-22T10:00:05.123456789Z:/a", "2026-11-22T10:00:05.123456789Z", "a"),
        ("alice@2026-11-22 10:00+01:00:/a", "2026-11-22 10:00+01:00", "a"),
        ("alice@2026-11-22T10:00-0130:", "2026-11-22T10:00-0130", ""),
        ("alice@monday:a:/b", "monday", "a:/b"),
        ("alice:/a@b", "", "a@b"),
    ],
)
def test_a_when_stands_between_the_volume_and_the_path(word: str, when: str, path: str) -> None:
    assert PAST_LOCATION.convert(word, None, None) == Location("alice", path, when)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1d", "2026-11-21T12:00:00"),
        ("yesterday", "2026-11-21T12:00:00"),
        ("90m", "2026-11-22T10:30:00"),
        ("2026-11-20", "2026-11-19T22:00:00"),
        ("2026-11-20T10:00", "2026-11-20T08:00:00"),
        ("2026-11-20 10:00:01", "2026-11-20T08:00:01"),
        ("2026-11-20T10:00Z", "2026-11-20T10:00:00"),
        ("2026-11-20T10:00+05:30", "2026-11-20T04:30:00"),
        ("2026-11-20T10:00:00.25+05", "2026-11-20T05:00:00.250000"),
    ],
)
def test_times_are_local_unless_they_say_otherwise(word: str, expected: str) -> None:
    found = time_of(word, NOW)
    assert found is not None
    assert datetime.fromtimestamp(found / 10**9, UTC).replace(tzinfo=None).isoformat() == expected


def test_a_time_is_exact_to_the_nanosecond() -> None:
    assert time_of("1970-01-01T00:00:01.123456789Z", NOW) == 1_123_456_789


@pytest.mark.parametrize(
    "word", ["", "monday", "#1", "20261122", "2026-13-01", "2026-11-22T25:00", "3", "h", "-3h"]
)
def test_what_is_no_time(word: str) -> None:
    assert time_of(word, NOW) is None


def put(casdav: Casdav, data: bytes) -> None:
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        with volume.edit() as edit:
            upload = volume.upload()
            upload.write(data)
            edit.put("file", upload)


def test_every_way_to_name_a_state(casdav: Casdav) -> None:
    put(casdav, b"old")
    casdav("snapshot", "create", "v", "3h")
    old = casdav("snapshot", "show", "--json", "v", "3h").document
    moment = datetime.now(UTC).isoformat()
    put(casdav, b"new")
    assert casdav("cat", "v@now:/file").out == "new"
    assert casdav("cat", "v@3h:/file").out == "old"  # the snapshot, not the time
    assert casdav("cat", f"v@{moment}:/file").out == "old"
    assert casdav("cat", f"v@{old['commit'][:8]}:/file").out == "old"
    assert casdav("cat", f"v@{old['commit']}:/file").out == "old"
    assert casdav("cat", "v@#2:/file").out == "old"
    assert casdav("cat", "v@2099-01-01:/file").out == "new"
    for command in ("ls", "stat", "du", "find"):
        assert "file" in casdav(command, "--json", "v@#2:/file").out


def test_the_help_of_what_reads_says_what_when_may_be(casdav: Casdav) -> None:
    for command in ("ls", "cat", "stat", "du", "find", "export"):
        assert "the change of this number" in casdav(command, "--help").out
    assert "the change of this number" not in casdav("import", "--help").out


def test_a_state_that_was_never_is_named(casdav: Casdav) -> None:
    put(casdav, b"old")
    assert "from #1 to #2" in casdav("ls", "v@#3:/", code=1).err
    assert "history begins at" in casdav("ls", "v@2d:/", code=1).err
    assert "history begins at" in casdav("ls", "v@1999-01-01T10:00:/", code=1).err
    assert "no commit begins" in casdav("ls", "v@deadbeef:/", code=1).err
    ended = casdav("ls", "v@2026-02-30:/", code=1)
    assert "2026-11-22T10:00" in ended.err
    assert "#123" in ended.err
