"""Locations of buckets as people write them."""

from __future__ import annotations

import pytest

from cas.errors import InvalidError
from cas.stores.bucket_location import BucketLocation, parse_bucket_location


def test_a_bucket_is_named_with_its_server_and_settings() -> None:
    location = parse_bucket_location(
        "s3://bucket/a/b/?endpoint=https://host:9000&region=eu-1&checksums=required&cache=10GiB"
    )
    assert location == BucketLocation(
        "bucket", "a/b", "https://host:9000", "eu-1", checksums="required", cache=10 << 30
    )
    assert str(location) == "s3://bucket/a/b?endpoint=https://host:9000"
    assert location.key("packs/00/00") == "a/b/packs/00/00"
    assert str(parse_bucket_location("s3://bucket")) == "s3://bucket"
    assert parse_bucket_location("s3://bucket?timeout=10s").timeout == 10
    assert str(parse_bucket_location("s3://bucket?timeout=10")) == "s3://bucket"
    assert parse_bucket_location("s3://bucket").key("config") == "config"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("s3:///prefix", "names no bucket"),
        ("s3:bucket/prefix", "names no bucket"),
        ("s3://bucket/a b", "a prefix is made of"),
        ("s3://bucket/../other", "a prefix is made of"),
        ("s3://bucket/prefix#part", "has a '#'"),
        ("s3://bucket/prefix?colour=red", "colour=red is not known"),
        ("s3://bucket/prefix?checksums=none", "checksums=none is not known"),
        ("s3://bucket/prefix?cache=much", "cache=much is not known"),
        ("s3://bucket/prefix?timeout=0", "timeout=0 is not known"),
        ("s3://bucket/prefix?timeout=soon", "timeout=soon is not known"),
    ],
)
def test_what_is_not_understood_is_refused_and_said_why(location: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        parse_bucket_location(location)
