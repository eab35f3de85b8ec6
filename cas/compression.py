"""Compression of single records: named codecs, whose numbers are format.

A record is stored raw where zstd level 1 saves too little. There is no probe before: on bytes
that do not compress level 1 runs at several GB/s, hardly slower than a probe would be right.

The codec and both sizes stand in the record's header. Frames carry no checksum: the id of the
plaintext is checked on every read.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Final

import zstandard

from cas.errors import FormatError, IntegrityError

LEVEL: Final = 1
"""Level 3 saves 2 to 6 % more, at up to twice the time."""

SAVING_DIVISOR: Final = 32
"""A record is stored compressed if that saves at least 1/32 (3 %) of its bytes.

Under that, each later read would pay for decompression, some 60 us a chunk, to save less than
one disk page of a 64 KiB chunk. Content that is compressed already stays under it: media and
archives give 0 to 1 %.
"""

_SMALLEST_WINDOW: Final = 1024  # bytes; RFC 8878 knows no smaller one


class Codec(IntEnum):
    """How a record's bytes are stored. The numbers are format."""

    RAW = 0
    ZSTD = 1


class _Contexts(threading.local):
    """One compressor and one decompressor a thread: zstd's contexts must not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress(plaintext: bytes | memoryview) -> tuple[Codec, bytes | memoryview]:
    """Return the codec that was chosen and the bytes to store; thread-safe.

    Stored raw, the plaintext itself is returned, not a copy of it.
    """
    frame = _contexts.compressor.compress(plaintext)
    if saves_enough(len(frame), len(plaintext)):
        return Codec.ZSTD, frame
    return Codec.RAW, plaintext


def saves_enough(size: int, plain_size: int) -> bool:
    """Return whether it is worth to store a frame of so many bytes for so many plain ones."""
    return size + plain_size // SAVING_DIVISOR < plain_size


def decompress(codec: int, stored: bytes | memoryview, plain_size: int, *, limit: int) -> bytes:
    """Return the plaintext of stored bytes; thread-safe.

    `plain_size` is what the record's header declares and `limit` the greatest size that the
    caller accepts, in bytes. A frame that says anything else of its own size is refused before
    a byte is allocated for it.

    Raises:
        IntegrityError: the bytes are damaged, or are not of the declared size.
        FormatError: the codec's number is unknown.
    """
    if not 0 <= plain_size <= limit:
        raise IntegrityError(f"a record declares {plain_size} bytes where {limit} are the most")
    if codec == Codec.ZSTD:
        return _decompress_zstd(stored, plain_size)
    if codec == Codec.RAW:
        if len(stored) != plain_size:
            raise IntegrityError(f"a record has {len(stored)} bytes and declares {plain_size}")
        return bytes(stored)
    raise FormatError(
        f"unknown codec {codec}; this version knows {', '.join(map(str, map(int, Codec)))}"
    )


def _decompress_zstd(frame: bytes | memoryview, plain_size: int) -> bytes:
    try:
        header = zstandard.get_frame_parameters(frame)
        if header.content_size != plain_size:
            raise IntegrityError(f"a record declares {plain_size} bytes and its frame others")
        if header.window_size > max(plain_size, _SMALLEST_WINDOW):
            raise IntegrityError(f"a frame of {plain_size} bytes claims a larger window")
        plaintext = _contexts.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"a compressed record is damaged: {error}") from error
    if len(plaintext) != plain_size:
        raise IntegrityError(f"a frame of {plain_size} bytes held {len(plaintext)}")
    return plaintext
