"""A bucket whose conditional writes cannot be counted on is refused before a gateway serves."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.fault_proxy import FaultProxy, Wrong, running_proxy
from tests.support.processes import run_casdav
from tests.support.seaweed import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.seaweed import Bucket


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultProxy]:
    with running_proxy(bucket.server.endpoint) as running:
        yield running


def url(proxy: FaultProxy, bucket: Bucket, local: Path) -> str:
    place = f"s3://{BUCKET}/{bucket.prefix}"
    return f"{place}?endpoint={proxy.endpoint}&local={local}&durability=remote"


def keys(bucket: Bucket, part: str) -> list[str]:
    client = bucket.server.client()
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{bucket.prefix}/{part}")
    client.close()
    return [each["Key"] for each in listed.get("Contents", [])]


@pytest.mark.long
def test_a_good_bucket_is_tried_once_a_day(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    location = url(proxy, bucket, tmp_path / "local")
    cas.create(location).close()
    assert cas.require_fit_for_gateways(location)
    assert keys(bucket, "validate/") == []
    proxy.requests.clear()
    assert not cas.require_fit_for_gateways(location)
    assert proxy.requests == []
    (mark,) = tmp_path.rglob("races.won")
    for age in (25 * 3600, -3600):  # longer ago than a day; by a clock that was ahead
        os.utime(mark, times=(time.time() - age,) * 2)
        assert cas.require_fit_for_gateways(location)


def test_one_where_two_win_a_race_is_refused(
    bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    location = url(proxy, bucket, tmp_path / "local")
    with cas.create(location) as repository:
        repository.create_volume("v")
    # Only what is raced: a name that is written once is another check.
    proxy.decide = lambda request: Wrong.FLATTERED if "/refs/" in request.path else None
    with pytest.raises(cas.StoreError, match="rivals") as refused:
        cas.require_fit_for_gateways(location)
    assert not refused.value.transient
    assert "several gateways" in str(refused.value)
    with pytest.raises(cas.StoreError):  # and it is tried again each time
        cas.require_fit_for_gateways(location)
    ended = run_casdav("serve", "--port", "0", store=location, check=False)
    assert ended.returncode == 16
    assert "one gateway" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert keys(bucket, "validate/") == []


def test_a_repository_of_one_gateway_needs_none_of_it(bucket: Bucket, tmp_path: Path) -> None:
    location = bucket.url(durability="local", local=str(tmp_path / "local"))
    cas.create(location).close()
    assert not cas.require_fit_for_gateways(location)
    assert not cas.require_fit_for_gateways(tmp_path)
