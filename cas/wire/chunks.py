"""Messages that carry chunks and file nodes, and what makes and opens them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec

from cas.compression import Codec, compress, decompress, saves_enough
from cas.contents import CHUNK_SIZE_LIMIT, ContentKeys
from cas.errors import FormatError, IntegrityError, InvalidError
from cas.ids import Kind, ObjectId
from cas.packfile import Record
from cas.wire.limits import CHUNK_COUNT_LIMIT, PLAIN_BATCH_LIMIT, BasePaths, ObjectIds
from cas.wire.reading import Place


class PackedChunk(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A chunk as it travels: its id, its size in plain bytes, the codec, the bytes."""

    id: bytes
    size: int
    codec: int
    stored: bytes


PackedChunks: TypeAlias = Annotated[list[PackedChunk], msgspec.Meta(max_length=CHUNK_COUNT_LIMIT)]
"""Chunks of one request; of a longer list nothing is decoded."""


class Chunks(msgspec.Struct, array_like=True, frozen=True):
    """Chunks in the order of all parts of the request, as with `Nodes`."""

    chunks: list[PackedChunk | None]


class MissingRequest(msgspec.Struct, array_like=True, frozen=True):
    """Ask which of these have to be sent: those that neither the bases have nor was sent lately.

    `bases` are paths of files in the state `sequence`.
    """

    place: Place
    chunks: ObjectIds
    nodes: ObjectIds = []
    bases: BasePaths = []
    sequence: int = 0


class Missing(msgspec.Struct, array_like=True, frozen=True):
    """Ids of chunks and file nodes that have to be sent."""

    chunks: list[bytes]
    nodes: list[bytes] = []


class SendRequest(msgspec.Struct, array_like=True, frozen=True):
    """Send chunks and encoded file nodes, in any order, before the commit that needs them."""

    place: Place
    chunks: PackedChunks
    nodes: ObjectIds = []


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """They are stored. A commit may name them until `until_ns`."""

    until_ns: int


def pack_chunk(chunk_id: bytes, plaintext: bytes | memoryview) -> PackedChunk:
    """Return a chunk for the way, compressed where that saves something."""
    codec, stored = compress(plaintext)
    return PackedChunk(chunk_id, len(plaintext), int(codec), bytes(stored))


def stored_chunk(record: Record) -> PackedChunk:
    """Return a chunk for the way as it is stored, not encrypted."""
    return PackedChunk(record.id, record.plain_size, record.codec, bytes(record.stored))


def unpack_chunk(chunk: PackedChunk, keys: ContentKeys) -> bytes:
    """Return a chunk's plaintext once it is sure to be what its id says.

    Raises:
        InvalidError: it is not; its bytes are damaged; the codec is unknown.
    """
    try:
        plaintext = decompress(chunk.codec, chunk.stored, chunk.size, limit=CHUNK_SIZE_LIMIT)
    except (FormatError, IntegrityError) as error:
        raise InvalidError(f"chunk {chunk.id.hex()}: {error}") from error
    if keys.chunk_id(plaintext) != chunk.id:
        raise InvalidError(f"chunk {chunk.id.hex()} has other bytes than its id says")
    return plaintext


def open_sent(chunk: PackedChunk, keys: ContentKeys) -> Record:
    """Return a chunk as it is to be stored, once it is sure to be what its id says.

    What the sender has compressed is not compressed again, unless that saved too little.

    Raises:
        InvalidError: as `unpack_chunk`.
    """
    plaintext = unpack_chunk(chunk, keys)
    codec, stored = chunk.codec, chunk.stored
    if codec != Codec.RAW and not saves_enough(len(stored), chunk.size):
        codec, stored = Codec.RAW, plaintext
    return Record(Kind.CHUNK, ObjectId(chunk.id), chunk.size, codec, stored)


def check_counts(chunks: Sequence[PackedChunk], nodes: Sequence[bytes]) -> None:
    """Raise where a request carries more than it may, before anything is decompressed.

    Raises:
        InvalidError: too many chunks and nodes, or too many bytes.
    """
    if len(chunks) + len(nodes) > CHUNK_COUNT_LIMIT:
        raise InvalidError(f"{CHUNK_COUNT_LIMIT} chunks and nodes are the most in one request")
    if any(not 0 < chunk.size <= CHUNK_SIZE_LIMIT for chunk in chunks):
        raise InvalidError(f"a chunk has 1 to {CHUNK_SIZE_LIMIT} bytes")
    if sum(chunk.size for chunk in chunks) > PLAIN_BATCH_LIMIT:
        raise InvalidError(f"{PLAIN_BATCH_LIMIT} bytes of chunks are the most in one request")
