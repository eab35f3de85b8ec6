"""Rates over the last seconds, what is left at them, and who waits for whom at a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncd.client.links import Link
from syncd.client.rates import Rate, seconds_for
from syncd.client.reporting import LinkReport
from syncd.disk.state import LinkState
from syncd.remote.pace import PatientBucket, TokenBucket

if TYPE_CHECKING:
    from pathlib import Path

MiB = 1024 * 1024


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    for second in range(100):
        rate.add(10 if second < 50 else 1000, float(second))
    assert rate.total == 50 * 10 + 50 * 1000
    assert rate.per_second(100.0) == pytest.approx(1000, rel=0.15)
    assert rate.per_second(200.0) == 0.0
    assert seconds_for(0, 0.0) == 0.0
    assert seconds_for(10, 0.0) is None
    assert seconds_for(10, 5.0) == 2.0


def test_what_is_left_goes_down_between_two_turns(tmp_path: Path) -> None:
    now = 0.0
    link = Link(id="1", root="/", server="s", volume="v", volume_id="")
    state = LinkState(tmp_path / "state")
    report = LinkReport(link, state, lambda: now)
    report.left(2, 10 * MiB, 4 * MiB)
    for _ in range(4):
        now += 1.0
        report.moved(up=MiB)
    report.spared(up=2 * MiB)
    status = report.status()
    assert (status.to_upload, status.to_download) == (4 * MiB, 4 * MiB)
    assert (status.uploaded, status.downloaded) == (4 * MiB, 0)
    assert status.upload_rate > MiB / 2
    assert status.seconds_left is None, "nobody knows how fast things come down"
    report.moved(down=2 * MiB)
    assert report.status().seconds_left is not None
    report.left(1, 0, 0)
    assert report.status().to_upload == 0
    state.close()


def test_the_patient_wait_until_all_is_paid_for() -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    bucket = TokenBucket(1000.0, lambda: now, sleep)
    patient = PatientBucket(bucket)
    assert patient.rate == 1000.0
    patient.take(2000)
    assert now == 100.0, "what was never in debt may go at once"
    bucket.take(10)
    assert now <= 102.0, "the others wait for one of the patient"
    bucket.take(2000)
    patient.take(1)
    assert now == pytest.approx(103.76, abs=0.3)
    bucket.take(10_000)
    patient.take(1, lambda _: True)
    assert now == pytest.approx(103.76, abs=0.3), "who is closed does not wait"
