"""What every blob store must do. A store's tests subclass `BlobStoreContract`.

The subclass supplies raw access beside the store, so that no store is tested by itself alone.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cas.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from cas.stores.base import BlobStore, ByteRange, Payload, Token

PACK = "packs/3f/3fa9"
REF = "refs/00ff"


class BlobStoreContract(ABC):
    """The tests; `store` is a fixture of the subclass that gives an empty store."""

    @abstractmethod
    def raw_read(self, store: BlobStore, name: str) -> bytes | None:
        """Return an object's bytes, read past the store; None where there is none."""

    @abstractmethod
    def raw_write(self, store: BlobStore, name: str, content: bytes) -> None:
        """Make an object past the store."""

    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (b"bytes", b"bytes"),
            (b"", b""),
            (bytearray(b"array"), b"array"),
            (memoryview(b"a view")[2:], b"view"),
            ([b"some ", memoryview(b"buffers"), bytearray(b"!")], b"some buffers!"),
            ([], b""),
            ([b"x" * 1000] * 3000, b"x" * 3_000_000),
        ],
    )
    def test_what_is_put_is_stored_and_read_back(
        self, store: BlobStore, payload: Payload, expected: bytes
    ) -> None:
        store.put(PACK, payload)
        assert self.raw_read(store, PACK) == expected
        assert store.get(PACK) == expected
        assert store.size(PACK) == len(expected)

    def test_objects_made_by_others_are_seen(self, store: BlobStore) -> None:
        self.raw_write(store, PACK, b"from elsewhere")
        self.raw_write(store, REF, b"a ref")
        assert store.get(PACK) == b"from elsewhere"
        assert store.read(REF)[0] == b"a ref"
        assert list(store.list("packs")) == [(PACK, 14)]

    def test_a_payload_is_not_kept(self, store: BlobStore) -> None:
        buffer = bytearray(b"before")
        store.put(PACK, buffer)
        buffer[:] = b"after"
        assert store.get(PACK) == b"before"

    def test_an_object_is_written_once(self, store: BlobStore) -> None:
        store.put(PACK, b"first")
        with pytest.raises(AlreadyExistsError):
            store.put(PACK, b"other")
        assert self.raw_read(store, PACK) == b"first"

    def test_of_many_that_put_at_once_one_wins(self, store: BlobStore) -> None:
        barrier = threading.Barrier(8)

        def put(number: int) -> bool:
            barrier.wait()
            try:
                store.put(PACK, bytes([number]) * 100_000)
            except AlreadyExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(put, range(8)))
        assert won.count(True) == 1
        assert self.raw_read(store, PACK) == bytes([won.index(True)]) * 100_000

    @pytest.mark.parametrize(
        ("byte_range", "expected"),
        [
            ((0, 10), b"0123456789"),
            ((3, 7), b"3456"),
            ((9, 10), b"9"),
            ((5, 5), b""),
            ((0, 0), b""),
            ((8, 20), b"89"),
            ((10, 20), b""),
            ((100, 200), b""),
            ((1, 1 << 60), b"123456789"),
            ((1 << 59, 1 << 60), b""),
        ],
    )
    def test_a_range_gives_what_lies_within_the_object(
        self, store: BlobStore, byte_range: tuple[int, int], expected: bytes
    ) -> None:
        store.put(PACK, b"0123456789")
        assert store.get(PACK, ByteRange(*byte_range)) == expected

    @pytest.mark.parametrize("byte_range", [(-1, 5), (5, 4), (-2, -1)])
    def test_a_range_that_is_none_is_refused(
        self, store: BlobStore, byte_range: tuple[int, int]
    ) -> None:
        store.put(PACK, b"0123456789")
        with pytest.raises(InvalidError):
            store.get(PACK, ByteRange(*byte_range))

    def test_what_is_missing_is_not_found(self, store: BlobStore) -> None:
        with pytest.raises(NotFoundError):
            store.get(PACK)
        with pytest.raises(NotFoundError):
            store.get(PACK, ByteRange(0, 1))
        with pytest.raises(NotFoundError):
            store.size(PACK)
        with pytest.raises(NotFoundError):
            store.read(REF)

    def test_a_file_is_taken_in_and_away(self, store: BlobStore, tmp_path: Path) -> None:
        path = tmp_path / "open pack"
        path.write_bytes(b"content")
        store.put_file(PACK, path)
        assert not path.exists()
        assert self.raw_read(store, PACK) == b"content"
        assert store.get(PACK) == b"content"

    def test_a_file_for_a_taken_name_is_left_alone(self, store: BlobStore, tmp_path: Path) -> None:
        path = tmp_path / "open pack"
        path.write_bytes(b"new bytes")
        self.raw_write(store, PACK, b"old bytes")
        with pytest.raises(AlreadyExistsError):
            store.put_file(PACK, path)
        assert path.read_bytes() == b"new bytes"
        assert self.raw_read(store, PACK) == b"old bytes"

    def test_taking_a_file_again_ends_the_call_that_was_cut_off(
        self, store: BlobStore, tmp_path: Path
    ) -> None:
        path = tmp_path / "open pack"
        path.write_bytes(b"content")
        self.raw_write(store, PACK, b"content")
        store.put_file(PACK, path)
        assert not path.exists()
        assert self.raw_read(store, PACK) == b"content"

    def test_a_file_that_is_missing_is_not_found(self, store: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            store.put_file(PACK, tmp_path / "missing")
        assert self.raw_read(store, PACK) is None

    def test_what_is_deleted_is_gone_and_may_be_deleted_again(self, store: BlobStore) -> None:
        store.put(PACK, b"content")
        store.delete(PACK)
        assert self.raw_read(store, PACK) is None
        assert list(store.list("packs")) == []
        store.delete(PACK)

    def test_a_listing_has_names_and_sizes_below_its_prefix(self, store: BlobStore) -> None:
        for number in range(20):
            store.put(f"packs/{number % 3:02x}/{number:032x}", bytes(number))
        store.replace(REF, b"a ref", None)
        store.replace("config", b"a config", None)
        everything = {(f"packs/{n % 3:02x}/{n:032x}", n) for n in range(20)}
        assert sorted(store.list("packs")) == sorted(everything)
        assert sorted(store.list("packs/01")) == sorted(
            each for each in everything if each[0].startswith("packs/01/")
        )
        assert list(store.list("packs/0f")) == []
        assert list(store.list("refs")) == [(REF, 5)]
        assert list(store.list("config")) == [("config", 8)]
        assert list(store.list("epoch")) == []

    def test_a_mutable_object_moves_from_state_to_state(self, store: BlobStore) -> None:
        first = store.replace(REF, b"one", None)
        assert store.read(REF) == (b"one", first)
        second = store.replace(REF, [b"t", b"wo"], first)
        assert store.read(REF) == (b"two", second)
        assert self.raw_read(store, REF) == b"two"
        assert first != second

    def test_a_move_from_another_state_is_refused(self, store: BlobStore) -> None:
        with pytest.raises(ConflictError):
            store.replace(REF, b"new", Token("never given"))
        assert self.raw_read(store, REF) is None
        first = store.replace(REF, b"one", None)
        second = store.replace(REF, b"two", first)
        for wrong in (None, first):
            with pytest.raises(ConflictError):
                store.replace(REF, b"three", wrong)
        assert store.read(REF) == (b"two", second)

    def test_no_move_is_lost_among_many(self, store: BlobStore) -> None:
        store.replace(REF, b"0", None)

        def count_to(rounds: int) -> None:
            done = 0
            while done < rounds:
                content, token = store.read(REF)
                try:
                    store.replace(REF, str(int(content) + 1).encode(), token)
                except ConflictError:
                    continue
                done += 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count_to, [10] * 4))
        assert store.read(REF)[0] == b"40"

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "packs",
            "packs/3f",
            "packs/3f/3fa9/00",
            "packs/3F/3FA9",
            "packs/3f/",
            "packs//3f",
            "/packs/3f/3fa9",
            "packs/3f/3fa9/",
            "packs/../config",
            "packs/3f/..",
            "packs/3f/3fa9\n",
            "packs/3f/\u0663",
            "packs/3f/" + 65 * "0",
            "refs",
            "refs/main",
            "config/00",
            "other/00/00",
            "../etc/passwd",
        ],
    )
    def test_other_names_are_refused_everywhere(
        self, store: BlobStore, name: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        calls: list[Callable[[], object]] = [
            lambda: store.put(name, b""),
            lambda: store.put_file(name, path),
            lambda: store.get(name),
            lambda: store.size(name),
            lambda: store.delete(name),
            lambda: store.read(name),
            lambda: store.replace(name, b"", None),
            lambda: store.local_path(name),
        ]
        for call in calls:
            with pytest.raises(InvalidError):
                call()
        assert path.exists()

    @pytest.mark.parametrize(
        "prefix", ["", "/", "packs/", "packs/3F", "packs/3f/3fa9", "other", "refs/00", "pack"]
    )
    def test_only_whole_components_are_a_prefix(self, store: BlobStore, prefix: str) -> None:
        with pytest.raises(InvalidError):
            store.list(prefix)

    def test_what_is_written_once_and_what_moves_are_kept_apart(
        self, store: BlobStore, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"content")
        calls: list[Callable[[], object]] = [
            lambda: store.put(REF, b""),
            lambda: store.put_file("config", path),
            lambda: store.local_path(REF),
            lambda: store.replace(PACK, b"", None),
            lambda: store.read(PACK),
        ]
        for call in calls:
            with pytest.raises(InvalidError):
                call()

    def test_a_local_file_holds_the_object(self, store: BlobStore) -> None:
        store.put(PACK, b"content")
        path = store.local_path(PACK)
        assert path is None or path.read_bytes() == b"content"

    def test_clean_up_leaves_the_objects_alone(self, store: BlobStore) -> None:
        store.put(PACK, b"content")
        store.replace(REF, b"a ref", None)
        assert store.clean_up() == 0
        assert store.get(PACK) == b"content"
        assert store.read(REF)[0] == b"a ref"

    def test_what_has_not_changed_is_not_read_again(self, store: BlobStore) -> None:
        name = "refs/" + "0f" * 16
        with pytest.raises(NotFoundError):
            store.read_changed(name, None)
        first = store.replace(name, b"first", None)
        assert store.read_changed(name, None) == (b"first", first)
        assert store.read_changed(name, first) is None
        second = store.replace(name, b"second", first)
        assert store.read_changed(name, first) == (b"second", second)
