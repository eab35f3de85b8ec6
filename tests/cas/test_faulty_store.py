"""The faulty store keeps the contract while it has no faults, and fails exactly as told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cas.errors import AlreadyExistsError, StoreError, StoreFullError
from cas.stores.base import BlobStore
from cas.stores.memory import MemoryStore
from tests.contracts.blob_store import PACK, REF, BlobStoreContract
from tests.support.faulty_store import CrashedError, Fault, FaultyStore


class TestFaultyStoreWithoutFaults(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return FaultyStore(MemoryStore())

    def raw_read(self, store: BlobStore, name: str) -> bytes | None:
        assert isinstance(store, FaultyStore)
        assert isinstance(store.inner, MemoryStore)
        return store.inner.objects.get(name)

    def raw_write(self, store: BlobStore, name: str, content: bytes) -> None:
        assert isinstance(store, FaultyStore)
        assert isinstance(store.inner, MemoryStore)
        store.inner.objects[name] = content


def test_the_operation_of_that_index_is_refused() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, {1: Fault.REFUSED}, lambda: StoreFullError("full"))
    store.put(PACK, b"content")
    with pytest.raises(StoreFullError):
        store.replace(REF, b"one", None)
    store.replace(REF, b"two", None)
    assert inner.objects == {PACK: b"content", REF: b"two"}
    assert store.operations == [("put", PACK), ("replace", REF), ("replace", REF)]


def test_an_operation_whose_answer_is_lost_took_effect() -> None:
    store = FaultyStore(MemoryStore(), {0: Fault.LOST_ANSWER})
    with pytest.raises(StoreError):
        store.put(PACK, b"content")
    with pytest.raises(AlreadyExistsError):
        store.put(PACK, b"content")


def test_a_torn_write_reports_success(tmp_path: Path) -> None:
    path = tmp_path / "open pack"
    path.write_bytes(b"012345")
    inner = MemoryStore()
    store = FaultyStore(inner, {0: Fault.TORN, 1: Fault.TORN, 2: Fault.TORN})
    store.put(PACK, [b"0123", b"4567"])
    store.put_file("packs/00/00", path)
    assert inner.objects == {PACK: b"0123", "packs/00/00": b"012"}
    assert not path.exists()
    with pytest.raises(ValueError, match="cannot be torn"):
        store.get(PACK)


def test_nothing_follows_a_crash() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, {1: Fault.CRASH})
    store.put(PACK, b"content")
    with pytest.raises(CrashedError):
        store.delete(PACK)
    with pytest.raises(CrashedError):
        store.get(PACK)
    assert inner.objects == {PACK: b"content"}
