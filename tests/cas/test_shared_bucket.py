"""Several gateways over one bucket of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.gateways import content, put

if TYPE_CHECKING:
    from tests.support.seaweed import Bucket


def url(bucket: Bucket, directory: Path) -> str:
    return bucket.url(local=str(directory), durability="remote")


def test_two_gateways_and_one_that_begins_with_nothing(bucket: Bucket, tmp_path: Path) -> None:
    with (
        cas.create(url(bucket, tmp_path / "one")) as one,
        cas.open(url(bucket, tmp_path / "two")) as two,
    ):
        one.create_volume("v")
        put(one, "a", b"of one")
        assert content(two) == {"a": b"of one"}
        put(two, "b", b"of two")
        assert content(one) == {"a": b"of one", "b": b"of two"}
        with cas.open(url(bucket, tmp_path / "three")) as three:
            assert content(three) == {"a": b"of one", "b": b"of two"}
            assert_sound(three)


def test_a_location_that_forgets_the_others_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    cas.create(url(bucket, tmp_path / "one")).close()
    with pytest.raises(cas.InvalidError, match="leave durability=local out"):
        cas.open(bucket.url(local=str(tmp_path / "two"), durability="local"))


def test_a_bucket_of_one_gateway_is_not_shared(bucket: Bucket, tmp_path: Path) -> None:
    cas.create(bucket.url(local=str(tmp_path / "one"), durability="local")).close()
    with pytest.raises(cas.InvalidError, match="put durability=local into"):
        cas.open(url(bucket, tmp_path / "two"))


def test_a_new_repository_is_for_several_gateways_unless_it_is_said(
    bucket: Bucket, tmp_path: Path
) -> None:
    with cas.create(bucket.url(local=str(tmp_path / "one"))) as repository:
        assert repository.is_shared
    with cas.open(bucket.url(local=str(tmp_path / "two"))) as repository:
        assert repository.is_shared


def test_a_location_need_not_say_it_again(bucket: Bucket, tmp_path: Path) -> None:
    cas.create(bucket.url(local=str(tmp_path / "one"), durability="local")).close()
    with cas.open(bucket.url(local=str(tmp_path / "one"))) as repository:
        assert not repository.is_shared
        assert repository.waiting is not None
    with pytest.raises(cas.LockedError, match="casdav store takeover"):
        cas.open(bucket.url(local=str(tmp_path / "two")))
