"""Refs: what was moved is read back, and one that is damaged is never believed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from cas.errors import IntegrityError
from cas.formats import REGISTRY_ID
from cas.ids import Identifier, ObjectId
from cas.refs import Ref, move_ref, new_ref, read_ref, read_refs
from cas.stores.base import BlobStore
from cas.stores.local import LocalStore
from cas.stores.memory import MemoryStore

IDENTIFIER: Final = Identifier()
HOME: Final = bytes(range(16))
HOME_NAME: Final = f"refs/{HOME.hex()}"


def ref_of(volume_id: bytes = HOME, number: int = 7) -> Ref:
    """Return a ref in which every field says something."""
    return new_ref(volume_id, ObjectId(b"c" * 32), number, number + 1, b"j" * 32)


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


def overwrite(store: BlobStore, content: bytes) -> None:
    """Put bytes where the ref of HOME is, as a failing disk would."""
    _, token = store.read(HOME_NAME)
    store.replace(HOME_NAME, content, token)


def test_a_ref_that_was_moved_is_read_back(store: BlobStore) -> None:
    ref = ref_of()
    move_ref(store, IDENTIFIER, ref)
    assert read_ref(store, IDENTIFIER, HOME) == ref


def test_a_volume_without_a_ref_has_none(store: BlobStore) -> None:
    assert read_ref(store, IDENTIFIER, HOME) is None
    assert read_refs(store, IDENTIFIER) == []


def test_a_ref_that_moves_on_replaces_the_one_before(store: BlobStore) -> None:
    for number in (1, 2, 3):
        move_ref(store, IDENTIFIER, ref_of(number=number))
    found = read_ref(store, IDENTIFIER, HOME)
    assert found is not None
    assert found.sequence == 3
    assert read_refs(store, IDENTIFIER) == [found]


def test_each_volume_has_a_ref_of_its_own(store: BlobStore) -> None:
    moved = {volume_id: ref_of(volume_id) for volume_id in (HOME, REGISTRY_ID, b"v" * 16)}
    for ref in moved.values():
        move_ref(store, IDENTIFIER, ref)
    assert {ref.volume_id: ref for ref in read_refs(store, IDENTIFIER)} == moved
    assert read_ref(store, IDENTIFIER, REGISTRY_ID) == moved[REGISTRY_ID]


def test_two_refs_of_equal_content_are_told_apart_by_their_nonce() -> None:
    assert ref_of() != ref_of()
    assert len(ref_of().nonce) == 16


def test_writers_at_once_all_move_the_ref_and_leave_one_of_theirs(tmp_path: Path) -> None:
    refs = [ref_of(number=number) for number in range(16)]
    with ThreadPoolExecutor(4) as threads:
        moves = [threads.submit(move_ref, LocalStore(tmp_path), IDENTIFIER, ref) for ref in refs]
    assert [move.exception() for move in moves] == [None] * len(refs)
    assert read_ref(LocalStore(tmp_path), IDENTIFIER, HOME) in refs


def test_a_flipped_bit_anywhere_in_a_ref_is_reported() -> None:
    store = MemoryStore()
    move_ref(store, IDENTIFIER, ref_of())
    sound, _ = store.read(HOME_NAME)
    for bit in range(8 * len(sound)):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        overwrite(store, bytes(damaged))
        with pytest.raises(IntegrityError, match=f"{HOME_NAME} is damaged"):
            read_ref(store, IDENTIFIER, HOME)
        with pytest.raises(IntegrityError, match=f"{HOME_NAME} is damaged"):
            read_refs(store, IDENTIFIER)


def test_a_ref_that_was_cut_short_or_goes_on_is_reported() -> None:
    store = MemoryStore()
    move_ref(store, IDENTIFIER, ref_of())
    sound, _ = store.read(HOME_NAME)
    for content in [*(sound[:size] for size in range(len(sound))), sound + b"\0"]:
        overwrite(store, content)
        with pytest.raises(IntegrityError):
            read_ref(store, IDENTIFIER, HOME)


def test_a_damaged_ref_gives_way_to_the_next_move(store: BlobStore) -> None:
    """So a checkpoint mends it: what it says is made from the catalog, not from the old ref."""
    move_ref(store, IDENTIFIER, ref_of())
    overwrite(store, b"torn")
    ref = ref_of(number=8)
    move_ref(store, IDENTIFIER, ref)
    assert read_ref(store, IDENTIFIER, HOME) == ref
