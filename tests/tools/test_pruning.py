"""`casdav snapshot prune`: what stays and why, what goes, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import cas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tools.conftest import Casdav

DAYS = 40


@pytest.fixture(autouse=True)
def _local_time_is_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(autouse=True)
def _one_a_day(casdav: Casdav) -> None:
    """Make 40 snapshots, one each noon; the one of the 3rd of October is pinned."""
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        commit = volume.create_snapshot("now").commit
        with volume.edit() as edit:
            edit.remove_snapshot("now")
            for day in range(DAYS):
                noon = datetime(2026, 10, 1, 12, tzinfo=UTC) + timedelta(days=day)
                time_ns = int(noon.timestamp()) * 10**9
                record = cas.SnapshotRecord(commit, time_ns, day == 2)
                edit.put_snapshot(f"{noon:%m-%d}", record, epoch=0, created_ns=time_ns)


def names(casdav: Casdav) -> list[str]:
    return [each["name"] for each in casdav("snapshot", "list", "--json", "v").document]


def test_the_table_says_what_stays_and_why_and_a_dry_run_changes_nothing(casdav: Casdav) -> None:
    ended = casdav("snapshot", "prune", "v", "--keep-daily", "2", "--keep-monthly", "9", "-n")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["NAME", "CREATED", "WHY"]
    by_name = {line[0]: " ".join(line[3:]) for line in lines[1:-1]}
    assert by_name["10-01"] == "keep oldest monthly"
    assert by_name["10-02"] == "delete"
    assert by_name["10-03"] == "keep pinned"
    assert by_name["10-31"] == "keep monthly"
    assert by_name["11-09"] == "keep daily, monthly"
    assert ended.out.endswith("would delete 35 of 40 snapshots of v\n")
    assert len(names(casdav)) == DAYS


def test_it_is_one_commit_and_pinned_ones_stay(casdav: Casdav) -> None:
    ended = casdav("snapshot", "prune", "v", "--keep-last", "2", "--yes", "--json").document
    assert (ended["kept"], ended["removed"], ended["dry_run"]) == (3, 37, False)
    assert [each["name"] for each in ended["snapshots"] if each["kept"]] == names(casdav)
    assert names(casdav) == ["10-03", "11-08", "11-09"]
    assert ended["snapshots"][-1]["reasons"] == ["last"]


def test_spans_and_unlimited(casdav: Casdav) -> None:
    prune = ("snapshot", "prune", "v", "--yes")
    casdav(*prune, "--keep-within", "1m", "--keep-weekly", "unlimited")
    assert names(casdav)[:4] == ["10-01", "10-03", "10-04", "10-10"]
    casdav(*prune, "--keep-within-weekly", "3m")
    assert names(casdav)[-3:] == ["11-01", "11-08", "11-09"]


@pytest.mark.parametrize(
    "rules",
    [
        (),
        ("--keep-last", "0"),
        ("--keep-last", "-1"),
        ("--keep-daily", "many"),
        ("--keep-within", "3 weeks"),
    ],
)
def test_a_prune_that_would_keep_nothing_or_is_unclear_is_refused(
    casdav: Casdav, rules: tuple[str, ...]
) -> None:
    ended = casdav("snapshot", "prune", "v", "--yes", *rules, code=2)
    assert ended.err
    assert len(names(casdav)) == DAYS


def test_it_asks_and_does_nothing_where_nobody_answers(casdav: Casdav) -> None:
    ended = casdav("snapshot", "prune", "v", "--keep-last", "1", code=2)
    assert "Delete 38 of 40 snapshots?" in ended.err
    assert len(names(casdav)) == DAYS


def test_where_all_stay_nobody_is_asked(casdav: Casdav) -> None:
    assert "deleted 0 of 40" in casdav("snapshot", "prune", "v", "--keep-daily", "99").out
