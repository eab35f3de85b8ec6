"""Compression: what goes in comes out, and damaged or lying records are refused."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cas.compression import Codec, compress, decompress
from cas.errors import FormatError, IntegrityError
from tests.support.corpus import seeded_bytes

LIMIT = 1 << 20

texts = st.builds(lambda word, count: word * count, st.binary(max_size=50), st.integers(0, 3000))


@given(st.one_of(st.binary(max_size=3000), texts))
def test_what_was_compressed_comes_back(plaintext: bytes) -> None:
    codec, stored = compress(plaintext)
    assert plaintext == decompress(codec, stored, len(plaintext), limit=LIMIT)
    assert plaintext == decompress(codec, memoryview(stored), len(plaintext), limit=LIMIT)
    assert len(stored) <= len(plaintext)


def test_a_view_of_a_larger_buffer_is_compressed_alone() -> None:
    buffer = memoryview(b"before" + b"abc" * 1000 + b"behind")
    codec, stored = compress(buffer[6:-6])
    assert codec is Codec.ZSTD
    assert decompress(codec, stored, 3000, limit=LIMIT) == b"abc" * 1000


def test_bytes_that_do_not_shrink_are_stored_as_they_are() -> None:
    plaintext = seeded_bytes(1, 65536)
    codec, stored = compress(plaintext)
    assert codec is Codec.RAW
    assert stored is plaintext


@pytest.mark.parametrize(("text_size", "expected"), [(1500, Codec.RAW), (4000, Codec.ZSTD)])
def test_a_saving_under_three_percent_is_not_taken(text_size: int, expected: Codec) -> None:
    plaintext = seeded_bytes(1, 65536 - text_size) + bytes(text_size)
    assert len(zstandard.compress(plaintext, 1)) < len(plaintext)
    assert compress(plaintext)[0] is expected


def test_the_codec_numbers_are_format() -> None:
    assert {codec.name: codec.value for codec in Codec} == {"RAW": 0, "ZSTD": 1}


@pytest.mark.parametrize("codec", [2, 255, -1])
def test_an_unknown_codec_is_a_format_error(codec: int) -> None:
    with pytest.raises(FormatError, match="unknown codec"):
        decompress(codec, b"abc", 3, limit=LIMIT)


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("plain_size", [-1, 101])
def test_a_declared_size_over_the_limit_is_refused(codec: Codec, plain_size: int) -> None:
    stored = zstandard.compress(bytes(101)) if codec is Codec.ZSTD else bytes(101)
    with pytest.raises(IntegrityError, match="declares"):
        decompress(codec, stored, plain_size, limit=100)


@pytest.mark.parametrize("plain_size", [0, 2999, 3001])
@pytest.mark.parametrize("codec", list(Codec))
def test_a_size_other_than_declared_is_refused(codec: Codec, plain_size: int) -> None:
    plaintext = b"abc" * 1000
    stored = compress(plaintext)[1] if codec is Codec.ZSTD else plaintext
    with pytest.raises(IntegrityError):
        decompress(codec, stored, plain_size, limit=LIMIT)


def frame_header(content_size: int, window_descriptor: int) -> bytes:
    """Return a zstd frame header with an 8-byte content size and a window descriptor of its own."""
    return (
        zstandard.FRAME_HEADER
        + bytes([0b11_0_0_0_0_00, window_descriptor])
        + content_size.to_bytes(8, "little")
    )


def test_a_frame_that_claims_gigabytes_is_refused_by_its_header() -> None:
    lying = frame_header(1 << 40, 0) + bytes(100)
    with pytest.raises(IntegrityError, match="its frame others"):
        decompress(Codec.ZSTD, lying, 1000, limit=LIMIT)
    lying = frame_header(1000, 0x88) + bytes(100)
    with pytest.raises(IntegrityError, match="larger window"):
        decompress(Codec.ZSTD, lying, 1000, limit=LIMIT)


def test_a_frame_that_holds_more_than_its_header_says_is_refused() -> None:
    last_run_length_block = (5000 << 3 | 0b01_1).to_bytes(3, "little") + b"a"
    lying = frame_header(1000, 0) + last_run_length_block
    with pytest.raises(IntegrityError):
        decompress(Codec.ZSTD, lying, 1000, limit=LIMIT)


def test_a_frame_without_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(IntegrityError):
        decompress(Codec.ZSTD, frame, 1000, limit=LIMIT)


def test_a_cut_or_prolonged_frame_is_refused() -> None:
    plaintext = seeded_bytes(1, 500) + bytes(1000)
    frame = bytes(compress(plaintext)[1])
    for size in range(len(frame)):
        with pytest.raises(IntegrityError):
            decompress(Codec.ZSTD, frame[:size], len(plaintext), limit=LIMIT)
    with pytest.raises(IntegrityError):
        decompress(Codec.ZSTD, frame + b"\0", len(plaintext), limit=LIMIT)


def test_a_flipped_bit_gives_an_error_or_bytes_of_the_declared_size() -> None:
    """The frame has no checksum: the id of the plaintext tells the bytes are wrong."""
    plaintext = b"some text, " * 40 + seeded_bytes(1, 100)
    frame = bytes(compress(plaintext)[1])
    refused = 0
    for index, bit in itertools.product(range(len(frame)), range(8)):
        damaged = bytearray(frame)
        damaged[index] ^= 1 << bit
        try:
            result = decompress(Codec.ZSTD, bytes(damaged), len(plaintext), limit=LIMIT)
        except IntegrityError:
            refused += 1
        else:
            assert len(result) == len(plaintext)
    assert refused


def test_threads_do_not_share_a_context() -> None:
    streams = [bytes([seed]) * 100_000 + seeded_bytes(seed, 100_000) for seed in range(16)]

    def there_and_back(plaintext: bytes) -> bytes:
        codec, stored = compress(plaintext)
        return decompress(codec, stored, len(plaintext), limit=LIMIT)

    with ThreadPoolExecutor(8) as pool:
        assert streams * 20 == list(pool.map(there_and_back, streams * 20))
