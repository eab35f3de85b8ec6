"""The store in a bucket keeps the contract, against a real S3 server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from botocore.exceptions import ClientError

from cas.errors import StoreError
from cas.stores import bucket as bucket_module
from cas.stores.base import ByteRange
from cas.stores.bucket import BucketStore
from cas.stores.bucket_location import BucketLocation, parse_bucket_location
from cas.stores.s3 import S3
from tests.contracts.blob_store import PACK, REF, BlobStoreContract
from tests.support.network import LOOPBACK, free_port
from tests.support.seaweed import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cas.stores.base import BlobStore
    from tests.support.seaweed import Bucket, Seaweed


Client: TypeAlias = Any
"""A client of boto3, which makes its classes as it runs."""


@pytest.fixture(scope="module")
def client(seaweed: Seaweed) -> Iterator[Client]:
    made = seaweed.client()
    yield made
    made.close()


@pytest.fixture
def store(bucket: Bucket) -> Iterator[BucketStore]:
    made = BucketStore(parse_bucket_location(bucket.url()))
    yield made
    made.close()


class TestBucketStore(BlobStoreContract):
    @pytest.fixture
    def store(self, bucket: Bucket, client: Client) -> Iterator[BlobStore]:
        self.client = client
        made = BucketStore(parse_bucket_location(bucket.url()))
        yield made
        made.close()

    def key(self, store: BlobStore, name: str) -> dict[str, str]:
        assert isinstance(store, BucketStore)
        return {"Bucket": BUCKET, "Key": store.bucket_location.key(name)}

    def raw_read(self, store: BlobStore, name: str) -> bytes | None:
        try:
            return bytes(self.client.get_object(**self.key(store, name))["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None

    def raw_write(self, store: BlobStore, name: str, content: bytes) -> None:
        self.client.put_object(**self.key(store, name), Body=content)

    def test_there_are_no_local_files(self, store: BlobStore) -> None:
        assert store.local_path(PACK) is None


def test_what_is_large_goes_in_parts(
    store: BucketStore, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "PART_SIZE", 5 << 20)
    content = bytes(range(256)) * (12 << 12)
    for attempt in range(2):
        path = tmp_path / f"pack {attempt}"
        path.write_bytes(content)
        store.put_file(PACK, path)  # the second time it is there, as after a crash
        assert not path.exists()
    assert store.size(PACK) == len(content)
    assert store.get(PACK, ByteRange(6 << 20, 7 << 20)) == content[6 << 20 : 7 << 20]
    uploads = client.list_multipart_uploads(Bucket=BUCKET)
    assert [u for u in uploads.get("Uploads", ()) if PACK in u["Key"]] == []


def test_a_listing_goes_on_over_its_pages(store: BucketStore, client: Client) -> None:
    names = {f"packs/{number % 256:02x}/{number:032x}" for number in range(1005)}
    for name in names:
        client.put_object(Bucket=BUCKET, Key=store.bucket_location.key(name), Body=b"1")
    assert {name for name, _ in store.list("packs")} == names


def test_what_is_not_ours_in_the_bucket_is_not_listed(store: BucketStore, client: Client) -> None:
    for name in ("packs/readme.txt", "packs/3f/UPPER", "other/3f/3f00", "packs-old/3f/3f00"):
        client.put_object(Bucket=BUCKET, Key=store.bucket_location.key(name), Body=b"1")
    store.put(PACK, b"content")
    assert list(store.list("packs")) == [(PACK, 7)]


def located(place: Bucket, **changed: str) -> BucketStore:
    location = BucketLocation(
        **{"bucket": BUCKET, "prefix": place.prefix, "endpoint": place.server.endpoint, **changed}  # type: ignore[arg-type]
    )
    return BucketStore(location, S3(location, patience_seconds=0.2))


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AWS_ACCESS_KEY_ID", "somebody", "the access key is unknown there"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret key is wrong"),
        ("AWS_PROFILE", "nobody", "nobody"),
    ],
)
def test_wrong_credentials_are_said_in_one_line(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StoreError, match=says) as caught:
        located(bucket).read(REF)
    assert not caught.value.transient
    assert "\n" not in str(caught.value)


def test_missing_credentials_are_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        located(bucket).read(REF)


def test_a_missing_bucket_is_said(bucket: Bucket) -> None:
    store = located(bucket, bucket="not-there")
    for call in (lambda: store.read(REF), lambda: [*store.list("packs")]):
        with pytest.raises(StoreError, match="there is no such bucket: make it"):
            call()


def test_a_server_that_is_away_is_tried_again_and_then_said(bucket: Bucket) -> None:
    store = located(bucket, endpoint=f"http://{LOOPBACK}:{free_port()}")
    with pytest.raises(StoreError, match="no sound answer, is the server there") as caught:
        store.read(REF)
    assert caught.value.transient


def test_a_server_that_knows_no_new_checksums_can_be_used(bucket: Bucket) -> None:
    store = located(bucket, checksums="required")
    store.put(PACK, b"content")
    assert store.get(PACK) == b"content"
