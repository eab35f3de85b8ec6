from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import cas
from tools.stat_cache import COARSE_MARGIN_NS, FINE_MARGIN_NS, StatCache, is_racy

CONTENT = cas.Content(cas.EntryKind.CHUNK_FILE, 5, bytes(range(32)))


def later(status: os.stat_result) -> int:
    return max(status.st_mtime_ns, status.st_ctime_ns) + COARSE_MARGIN_NS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("hello")
    return path


def test_an_unchanged_file_is_known_in_the_next_run(tmp_path: Path, file: Path) -> None:
    with StatCache(tmp_path / "cache") as cache:
        assert cache.get(file.stat()) is None
        cache.put(file.stat(), CONTENT, later(file.stat()))
    with StatCache(tmp_path / "cache") as cache:
        assert cache.get(file.stat()) == CONTENT


@pytest.mark.parametrize("change", ["size", "time", "inode", "mode"])
def test_a_file_that_changed_in_any_way_is_unknown(tmp_path: Path, file: Path, change: str) -> None:
    with StatCache(tmp_path / "cache") as cache:
        cache.put(file.stat(), CONTENT, later(file.stat()))
        cache.flush()
        before = file.stat()
        if change == "size":
            file.write_text("hello!")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif change == "time":
            os.utime(file, ns=(1, 1))
        elif change == "mode":
            file.chmod(0o600)
        else:
            other = tmp_path / "other"
            other.write_text("world")
            os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
            other.replace(file)
        assert cache.get(file.stat()) is None


def test_a_file_as_young_as_its_reading_is_not_remembered(tmp_path: Path, file: Path) -> None:
    with StatCache(tmp_path / "cache") as cache:
        status = file.stat()
        cache.put(status, CONTENT, status.st_mtime_ns + 1)
        cache.flush()
        assert cache.get(status) is None


def test_a_file_of_a_far_time_is_not_remembered(tmp_path: Path, file: Path) -> None:
    os.utime(file, (14_000_000_000, 14_000_000_000))
    with StatCache(tmp_path / "cache") as cache:
        cache.put(file.stat(), CONTENT, later(file.stat()))
        cache.flush()
        assert cache.get(file.stat()) is None


def test_whole_seconds_are_taken_for_a_coarse_clock() -> None:
    def stamped(time_ns: int) -> os.stat_result:
        return os.stat_result((0,) * 10, {"st_mtime_ns": time_ns, "st_ctime_ns": time_ns})

    second = 1_000_000_000
    assert is_racy(stamped(10 * second), 10 * second + COARSE_MARGIN_NS - 1)
    assert not is_racy(stamped(10 * second), 10 * second + COARSE_MARGIN_NS)
    assert is_racy(stamped(10 * second + 1), 10 * second + FINE_MARGIN_NS)
    assert not is_racy(stamped(10 * second + 1), 10 * second + 1 + FINE_MARGIN_NS)
    # A time far in the future is no sign of a change now.
    assert not is_racy(stamped(1000 * second), 10 * second)


@pytest.mark.parametrize(
    "damage", [b"not a database at all" * 99, b"SQLite format 3\0" + bytes(99)]
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, file: Path, damage: bytes) -> None:
    path = tmp_path / "cache"
    path.write_bytes(damage)
    with StatCache(path) as cache:
        assert cache.failure is None
        cache.put(file.stat(), CONTENT, later(file.stat()))
        cache.flush()
        assert cache.get(file.stat()) == CONTENT


@pytest.mark.parametrize("stamp", [None, 5, "text", b""])
def test_a_damaged_row_is_not_believed(tmp_path: Path, file: Path, stamp: object) -> None:
    path = tmp_path / "cache"
    with StatCache(path) as cache:
        cache.put(file.stat(), CONTENT, later(file.stat()))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE files SET stamp = ?", (stamp,))
    with StatCache(path) as cache:
        assert cache.get(file.stat()) is None


def test_a_cache_that_cannot_be_made_stays_empty_and_says_why(tmp_path: Path, file: Path) -> None:
    (tmp_path / "in the way").write_text("")
    with StatCache(tmp_path / "in the way" / "cache") as cache:
        assert cache.failure
        cache.put(file.stat(), CONTENT, later(file.stat()))
        assert cache.get(file.stat()) is None
