"""Chunks that devices send: checked, stored as they came, and never all unpacked at a time."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
import zstandard

import cas
from cas import wire
from cas.formats import KiB, MiB
from tests.support.corpus import seeded_bytes

ACCOUNT = bytes(range(16))
TEXT = b"all work and no play " * 3000


@pytest.fixture
def deliveries(repository: cas.Repository) -> cas.Deliveries:
    return cas.Deliveries(repository)


@pytest.fixture
def keys(repository: cas.Repository) -> cas.ContentKeys:
    return repository.content_keys()


def travelling(repository: cas.Repository, chunk_id: bytes) -> wire.PackedChunk:
    return next(cas.FileParts(repository).chunks([chunk_id]))


@pytest.mark.parametrize("plaintext", [TEXT, seeded_bytes(1, 70_000)], ids=["text", "noise"])
def test_a_chunk_is_stored_and_given_as_it_was_sent(
    repository: cas.Repository,
    deliveries: cas.Deliveries,
    keys: cas.ContentKeys,
    plaintext: bytes,
) -> None:
    sent = wire.pack_chunk(keys.chunk_id(plaintext), plaintext)
    if sent.codec:  # what one can tell from what the server would have made
        best = zstandard.ZstdCompressor(level=19).compress(plaintext)
        sent = msgspec.structs.replace(sent, stored=best)
    deliveries.receive(ACCOUNT, [sent], [])
    assert travelling(repository, sent.id) == sent


def test_a_frame_that_saves_nothing_is_not_stored(
    repository: cas.Repository, deliveries: cas.Deliveries, keys: cas.ContentKeys
) -> None:
    noise = seeded_bytes(2, 50_000)
    frame = zstandard.ZstdCompressor().compress(noise)
    sent = wire.PackedChunk(keys.chunk_id(noise), len(noise), 1, frame)
    deliveries.receive(ACCOUNT, [sent], [])
    assert travelling(repository, sent.id) == wire.pack_chunk(sent.id, noise)


def test_of_wrong_chunks_none_is_stored(
    repository: cas.Repository, deliveries: cas.Deliveries, keys: cas.ContentKeys
) -> None:
    good = wire.pack_chunk(keys.chunk_id(TEXT), TEXT)
    with pytest.raises(cas.InvalidError, match="other bytes than its id says"):
        deliveries.receive(ACCOUNT, [good, msgspec.structs.replace(good, id=bytes(32))], [])
    assert deliveries.missing(ACCOUNT, [good.id], [], []) == ([good.id], [])
    with pytest.raises(cas.IntegrityError):
        travelling(repository, good.id)


def test_of_what_much_is_packed_in_little_is_never_in_memory_at_a_time(
    deliveries: cas.Deliveries, keys: cas.ContentKeys
) -> None:
    plaintexts = [bytes([number]) * (256 * KiB) for number in range(64)]
    sent = [wire.pack_chunk(keys.chunk_id(each), each) for each in plaintexts]
    del plaintexts
    tracemalloc.start()
    try:
        deliveries.receive(ACCOUNT, sent, [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MiB
