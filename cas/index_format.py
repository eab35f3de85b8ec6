"""The bytes of an index object: the tables of many packs, in one, sorted by id.

Blocks of rows come first, then a directory that says which packs these are and where each block
lies, then a tail of fixed size. Each part is checked or sealed by itself, so that a reader takes
the directory and the one block that it needs.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

from cas.errors import FormatError, IntegrityError
from cas.formats import FORMAT_VERSION
from cas.ids import Kind, ObjectId
from cas.objects import decode, encode
from cas.packfile import RecordPlace
from cas.sealing import Sealing

INDEX_MAGIC: Final = b"casdavIX"
BLOCK_ROWS: Final = 1024
"""Rows in a block; the last one of an object has fewer."""
TAIL_SIZE: Final = 16
_TAIL: Final = struct.Struct("<IHH8s")  # size of the directory, version, flags, magic
_SEALED: Final = 1
# id, number of the pack in the directory, offset, stored size, plain size, kind, codec, reserved
_ROW: Final = struct.Struct("<32sIIIIBBH")
_ID_SIZE: Final = 32
_DIGEST_SIZE: Final = 32
_PART_KEY: Final = blake3(b"", derive_key_context="casdav 2026-11-23 index").digest()
_DIRECTORY: Final = "directory"
_KINDS: Final = {int(kind): kind for kind in Kind}


class IndexedPack(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pack whose table is in an index object: id, size in bytes, number of the key, 0 for none.

    All its records are there, or it is not named.
    """

    id: bytes
    size: int
    key_number: int = 0


class IndexBlock(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a block lies in its object, in bytes; `first` is the id of its first row."""

    first: bytes
    offset: int
    size: int


class IndexDirectory(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an index object holds: packs, by which rows name them, and blocks by their first id."""

    packs: list[IndexedPack]
    blocks: list[IndexBlock]


class PackTable(NamedTuple):
    """A pack and where its records lie in it, in their order."""

    pack: IndexedPack
    places: list[RecordPlace]


def encode_index(name: str, tables: Sequence[PackTable], sealing: Sealing | None) -> bytes:
    """Return the bytes of the index object of this name in the store."""
    rows = [
        _ROW.pack(p.id, number, p.offset, p.stored_size, p.plain_size, p.kind, p.codec, 0)
        for number, table in enumerate(tables)
        for p in table.places
    ]
    rows.sort()  # by id, as it stands first
    parts: list[bytes] = []
    blocks: list[IndexBlock] = []
    offset = 0
    for start in range(0, len(rows), BLOCK_ROWS):
        payload = b"".join(rows[start : start + BLOCK_ROWS])
        part = _close_part(name, str(len(blocks)), payload, sealing)
        blocks.append(IndexBlock(payload[:_ID_SIZE], offset, len(part)))
        parts.append(part)
        offset += len(part)
    contents = encode(IndexDirectory([table.pack for table in tables], blocks))
    directory = _close_part(name, _DIRECTORY, contents, sealing)
    flags = 0 if sealing is None else _SEALED
    tail = _TAIL.pack(len(directory), FORMAT_VERSION, flags, INDEX_MAGIC)
    return b"".join([*parts, directory, tail])


def directory_size(name: str, end: bytes, sealing: Sealing | None) -> int:
    """Return how many bytes the directory before the tail has, of an object's last bytes.

    Raises:
        IntegrityError: this is not the end of an index object.
        FormatError: a newer program made it.
    """
    if len(end) < TAIL_SIZE:
        raise IntegrityError(f"{name} is damaged: it has no end")
    size, version, flags, magic = _TAIL.unpack(end[-TAIL_SIZE:])
    if magic != INDEX_MAGIC or flags not in {0, _SEALED} or bool(flags) != (sealing is not None):
        raise IntegrityError(f"{name} is damaged: its end is another")
    if version > FORMAT_VERSION:
        raise FormatError(f"{name} is of version {version}: use a newer casdav")
    return int(size)


def decode_directory(name: str, part: bytes, sealing: Sealing | None) -> IndexDirectory:
    """Return the directory of an index object.

    Raises:
        IntegrityError: it is damaged, or another object's.
    """
    return decode(_open_part(name, _DIRECTORY, part, sealing), IndexDirectory)


def open_block(name: str, number: int, part: bytes, sealing: Sealing | None) -> bytes:
    """Return the rows of a block, one behind the other.

    Raises:
        IntegrityError: it is damaged, or another one.
    """
    return _open_part(name, str(number), part, sealing)


def blocks_with(directory: IndexDirectory, object_id: bytes) -> range:
    """Return the numbers of the blocks in which rows with this id may be."""
    first = bisect_left(directory.blocks, object_id, key=lambda block: block.first)
    last = bisect_right(directory.blocks, object_id, lo=first, key=lambda block: block.first)
    return range(max(0, first - 1), last)


def packs_with(rows: bytes, object_id: bytes) -> Iterator[int]:
    """Yield the numbers of the packs that have an object, by a block's rows."""
    count = len(rows) // _ROW.size

    def id_at(index: int) -> bytes:
        return rows[index * _ROW.size : index * _ROW.size + _ID_SIZE]

    at = bisect_left(range(count), object_id, key=id_at)
    while at < count and id_at(at) == object_id:
        yield int(_ROW.unpack_from(rows, at * _ROW.size)[1])
        at += 1


def tables_of(
    directory: IndexDirectory, blocks: Iterable[bytes], wanted: frozenset[bytes]
) -> list[PackTable]:
    """Return the tables of those packs of an index object that are wanted, by its blocks' rows.

    Raises:
        FormatError: a record is of a kind that a newer program knows.
    """
    numbers = {n: pack for n, pack in enumerate(directory.packs) if pack.id in wanted}
    places: dict[int, list[RecordPlace]] = {number: [] for number in numbers}
    for rows in blocks:
        for row in _ROW.iter_unpack(rows):
            record_id, number, offset, stored_size, plain_size, kind, codec, _ = row
            if number in places:
                known = _KINDS.get(kind)
                if known is None:
                    raise FormatError(f"an index tells of a record of kind {kind}")
                place = RecordPlace(
                    known, ObjectId(record_id), offset, stored_size, plain_size, codec
                )
                places[number].append(place)
    for found in places.values():
        found.sort(key=lambda place: place.offset)
    return [PackTable(pack, places[number]) for number, pack in numbers.items()]


def _close_part(name: str, part: str, payload: bytes, sealing: Sealing | None) -> bytes:
    purpose = _purpose(name, part)
    if sealing is not None:
        return sealing.seal(purpose, payload)
    return _digest(purpose, payload) + payload


def _open_part(name: str, part: str, stored: bytes, sealing: Sealing | None) -> bytes:
    purpose = _purpose(name, part)
    if sealing is not None:
        return sealing.open(purpose, stored)
    payload = stored[_DIGEST_SIZE:]
    if _digest(purpose, payload) != stored[:_DIGEST_SIZE]:
        raise IntegrityError(f"{name} is damaged")
    return payload


def _purpose(name: str, part: str) -> bytes:
    return f"{name}-{part}".encode()


def _digest(purpose: bytes, payload: bytes) -> bytes:
    return blake3(purpose + b"\0" + payload, key=_PART_KEY).digest()
