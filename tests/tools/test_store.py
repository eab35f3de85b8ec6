"""`casdav store`: what a bucket can do, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.seaweed import BUCKET
from tests.tools.conftest import Casdav

if TYPE_CHECKING:
    from tests.support.seaweed import Bucket


@pytest.fixture
def in_bucket(bucket: Bucket, tmp_path: Path) -> Casdav:
    """`casdav` on a new repository in a bucket, used from the directory `one`."""
    return at(bucket, tmp_path / "one", is_new=True)


def at(bucket: Bucket, local: Path, *, is_new: bool = False) -> Casdav:
    url = bucket.url(durability="local", local=str(local))
    if is_new:
        cas.create(url).close()
    return Casdav(url)  # type: ignore[arg-type]


@pytest.mark.long
def test_a_good_bucket_is_called_fit(bucket: Bucket, casdav: Casdav) -> None:
    ended = casdav("store", "validate", bucket.url(), "--json")
    assert ended.document["fit"]
    assert ended.document["fit_for_several_gateways"]
    assert len(ended.document["checks"]) == 9
    assert all(check["good"] for check in ended.document["checks"])
    client = bucket.server.client()
    left = client.list_objects_v2(Bucket=BUCKET, Prefix=bucket.prefix)
    client.close()
    assert left.get("Contents", []) == []


def test_what_is_no_bucket_is_refused(casdav: Casdav, bucket: Bucket) -> None:
    assert "names no bucket" in casdav("store", "validate", "s3:///x", code=2).err
    missing = f"s3://not-there/x?endpoint={bucket.server.endpoint}"
    assert "there is no such bucket" in casdav("store", "validate", missing, code=16).err
    assert "is no bucket" in casdav("store", "takeover", code=2).err


def test_a_bucket_is_taken_over_by_another_machine(
    in_bucket: Casdav, bucket: Bucket, tmp_path: Path
) -> None:
    in_bucket("user", "add", "alice", "--password-stdin", stdin="correct horse battery\n")
    other = at(bucket, tmp_path / "two")
    assert "casdav store takeover" in other("ls", code=11).err
    looked = other("store", "takeover", "--dry-run", "--json").document
    assert (looked["taken"], looked["volumes"]) == (False, 1)
    assert looked["newest"] is not None
    assert "--yes" in other("store", "takeover", code=2).err
    assert "may be lost" in other("store", "takeover", "--yes").out
    assert "alice" in other("ls").out
    assert "already" in other("store", "takeover", "--yes").out
    assert "casdav store takeover" in in_bucket("ls", code=11).err
    back = in_bucket("store", "takeover", "--yes", "--json").document
    assert Path(back["aside"]).is_dir()
    assert "alice" in in_bucket("ls").out


def test_gateways_are_shown_as_they_say_of_themselves(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.url(durability="remote", local=str(tmp_path / "one"))
    casdav = Casdav(url)  # type: ignore[arg-type]
    with cas.create(url) as repository:
        cas.announce_gateway(repository, "1.2.3", 0)
        document = casdav("store", "gateways", "--json").document
        (shown,) = document["gateways"]
        assert document["shared"]
        assert (shown["version"], shown["started"]) == ("1.2.3", "1970-01-01T00:00:00.000000000Z")
        assert (shown["own"], shown["stale"]) == (True, False)
        assert "1.2.3" in casdav("store", "gateways").out
        cas.withdraw_gateway(repository)
    assert "no gateway" in casdav("store", "gateways").out
    assert "is for several gateways" in casdav("store", "takeover", code=2).err


def test_one_machine_alone_has_no_gateways(casdav: Casdav) -> None:
    assert casdav("store", "gateways", "--json").document == {"shared": False, "gateways": []}
    assert "alone" in casdav("store", "gateways").out


def test_stats_tell_what_the_bucket_does_not_have_yet(in_bucket: Casdav) -> None:
    document = in_bucket("stats", "--json").document
    assert document["waiting"] == {"packs": 0, "size": 0, "changes": 0, "error": ""}
    assert "not in the bucket yet" in in_bucket("stats").out
