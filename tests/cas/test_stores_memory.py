"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from cas.stores.base import BlobStore
from cas.stores.memory import MemoryStore
from tests.contracts.blob_store import PACK, BlobStoreContract


class TestMemoryStore(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return MemoryStore()

    def raw_read(self, store: BlobStore, name: str) -> bytes | None:
        assert isinstance(store, MemoryStore)
        return store.objects.get(name)

    def raw_write(self, store: BlobStore, name: str, content: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store.objects[name] = content

    def test_there_are_no_local_files(self, store: BlobStore) -> None:
        assert store.local_path(PACK) is None
