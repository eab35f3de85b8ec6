"""A bucket over a bad network: answers get lost, bodies are cut and changed, servers are busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from cas.errors import AlreadyExistsError, ConflictError, StoreError
from cas.stores.base import ByteRange
from cas.stores.bucket import BucketStore
from cas.stores.bucket_location import parse_bucket_location
from cas.stores.s3 import S3
from tests.contracts.blob_store import PACK, REF
from tests.support.fault_proxy import FaultProxy, Request, Wrong, running_proxy
from tests.support.seaweed import BUCKET, Bucket
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultProxy]:
    with running_proxy(bucket.server.endpoint) as running:
        yield running


def url(proxy: FaultProxy, bucket: Bucket, **options: str) -> str:
    further = "".join(f"&{name}={value}" for name, value in options.items())
    return f"s3://{BUCKET}/{bucket.prefix}?endpoint={proxy.endpoint}{further}"


@pytest.fixture
def store(proxy: FaultProxy, bucket: Bucket) -> Iterator[BucketStore]:
    made = BucketStore(parse_bucket_location(url(proxy, bucket)))
    yield made
    made.close()


UNCERTAIN = [Wrong.BUSY, Wrong.LATE_ERROR, Wrong.LOST, Wrong.CUT_SENDING]


@pytest.mark.parametrize("wrong", UNCERTAIN)
def test_a_write_whose_answer_is_lost_is_done_once(
    store: BucketStore, proxy: FaultProxy, wrong: Wrong, tmp_path: Path
) -> None:
    proxy.once(wrong, "PUT")
    store.put(PACK, CONTENT)
    assert store.get(PACK) == CONTENT
    with pytest.raises(AlreadyExistsError):
        store.put(PACK, b"other")
    path = tmp_path / "pack"
    path.write_bytes(CONTENT)
    proxy.once(wrong, "PUT")
    store.put_file("packs/00/00", path)
    assert not path.exists()
    assert store.get("packs/00/00") == CONTENT


@pytest.mark.parametrize("wrong", UNCERTAIN)
def test_a_move_whose_answer_is_lost_is_not_taken_for_anothers(
    store: BucketStore, proxy: FaultProxy, wrong: Wrong
) -> None:
    proxy.once(wrong, "PUT")
    first = store.replace(REF, b"one", None)
    assert store.read(REF) == (b"one", first)
    proxy.once(wrong, "PUT")
    second = store.replace(REF, b"two", first)
    assert store.read(REF) == (b"two", second)
    proxy.once(wrong, "PUT")
    with pytest.raises(ConflictError):
        store.replace(REF, b"three", first)
    assert store.read(REF) == (b"two", second)


@pytest.mark.parametrize("wrong", [Wrong.BUSY, Wrong.LOST, Wrong.TRUNCATED, Wrong.LATE_ERROR])
def test_reads_are_tried_again(store: BucketStore, proxy: FaultProxy, wrong: Wrong) -> None:
    store.put(PACK, CONTENT)
    proxy.once(wrong, "GET")
    assert store.get(PACK) == CONTENT
    proxy.once(wrong, "GET")
    assert store.get(PACK, ByteRange(1000, 300_000)) == CONTENT[1000:300_000]
    proxy.once(wrong, "GET")
    assert list(store.list("packs")) == [(PACK, len(CONTENT))]
    proxy.once(wrong, "HEAD")
    assert store.size(PACK) == len(CONTENT)
    proxy.once(wrong, "DELETE")
    store.delete(PACK)
    assert list(store.list("packs")) == []


def test_a_body_that_was_changed_on_the_way_is_noticed_by_its_checksum(
    store: BucketStore, proxy: FaultProxy
) -> None:
    store.put(PACK, CONTENT)
    proxy.once(Wrong.FLIPPED, "GET")
    assert store.get(PACK) == CONTENT


def test_a_server_that_stays_busy_is_given_up(proxy: FaultProxy, bucket: Bucket) -> None:
    location = parse_bucket_location(url(proxy, bucket))
    store = BucketStore(location, S3(location, patience_seconds=0.5))
    proxy.decide = lambda _: Wrong.BUSY
    for call in (lambda: store.put(PACK, b"content"), lambda: store.replace(REF, b"", None)):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.transient
    proxy.decide = lambda _: None
    assert list(store.list("packs")) == []
    store.close()


def test_what_is_read_is_right_though_every_third_answer_is_not(
    proxy: FaultProxy, bucket: Bucket, tmp_path: Path
) -> None:
    where = url(proxy, bucket, local=str(tmp_path / "one"))
    with cas.create(where) as repository:
        put(repository.create_volume("v"), "file", CONTENT * 12)
    [root] = (tmp_path / "one").iterdir()
    for block in (root / "cache").glob("*/*"):
        block.unlink()

    def decide(request: Request) -> Wrong | None:
        if request.method != "GET" or "/packs/" not in request.path:
            return None
        return [Wrong.FLIPPED, Wrong.TRUNCATED, None][len(proxy.requests) % 3]

    proxy.decide = decide
    with cas.open(where) as repository:
        assert read(repository.volume("v"), "file") == CONTENT * 12
