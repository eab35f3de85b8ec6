"""The rows of the catalog and their bytes. Rows are local to a machine: they are no format.

LMDB 0.9 has no page checksums, so rows that nothing else verifies carry an xxh3_64 of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

import msgspec
from xxhash import xxh3_64_digest

from cas.errors import REBUILD_HINT, FormatError, IntegrityError
from cas.ids import Kind
from cas.objects import Entry, decode, encode

_LOCATION: Final = struct.Struct("<IIIIHBB")
_KINDS: Final = {
    int(kind): kind for kind in Kind
}  # a call of an enumeration takes five times as long
_CHECK_SIZE: Final = 8
_Row = TypeVar("_Row")


class Location(NamedTuple):
    """Where an object lies: the pack's ordinal, the record's offset, sizes and codec.

    `number` is the record's number in its pack, which marks it in the bitmaps of a collection.
    """

    pack: int
    offset: int
    stored_size: int
    plain_size: int
    number: int
    kind: Kind
    codec: int

    def encode(self) -> bytes:
        """Return the 20 bytes that the catalog keeps."""
        return _LOCATION.pack(*self)


def decode_location(row: bytes) -> Location:
    """Return the location that the bytes hold.

    Raises:
        IntegrityError: the bytes are no location. One that leads to the wrong place is noticed
            by whoever reads there.
    """
    try:
        pack, offset, stored_size, plain_size, number, kind, codec = _LOCATION.unpack(row)
        return Location(pack, offset, stored_size, plain_size, number, _KINDS[kind], codec)
    except (struct.error, KeyError) as error:
        message = f"the catalog is damaged: {error}; {REBUILD_HINT}"
        raise IntegrityError(message) from error


def record_of_location(row: bytes) -> tuple[int, int]:
    """Return the pack's ordinal and the record's number in it, of a location's bytes.

    Raises:
        IntegrityError: the bytes are no location.
    """
    if len(row) != _LOCATION.size:
        raise IntegrityError("the catalog is damaged: a location has another size")
    return int.from_bytes(row[:4], "little"), int.from_bytes(row[16:18], "little")


def pack_of_location(row: bytes) -> int:
    """Return the pack's ordinal of a location's bytes."""
    return int.from_bytes(row[:4], "little")


def encode_locations(fields: Iterable[tuple[int, int, int, int, int, int, int]]) -> bytes:
    """Return the bytes of several locations, one behind the other; for very many at once."""
    pack = _LOCATION.pack
    return b"".join([pack(*each) for each in fields])


def decode_locations(rows: bytes) -> list[tuple[int, int, int, int, int, int, int]]:
    """Return the fields of the locations that lie one behind the other; kinds as numbers.

    Raises:
        IntegrityError: the bytes are no locations.
    """
    try:
        return list(_LOCATION.iter_unpack(rows))
    except struct.error as error:
        raise IntegrityError("the catalog is damaged: a location has another size") from error


class PackState(IntEnum):
    """What may be done with a pack: an open one grows, a sealed one is immutable.

    In a condemned one nothing is found any more by whoever is about to store it; it is still
    read. Of a removed one only the file may be left.
    """

    OPEN = 0
    SEALED = 1
    CONDEMNED = 2
    REMOVED = 3


class PackRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pack that the catalog knows, by its random id.

    `process` is the id of the process that has it open; `size` in bytes and `records` are known
    once it is sealed. `key_number` is that of the key that encrypts it, 0 where none does.
    """

    id: bytes
    kind: int
    state: PackState
    process: bytes = b""
    size: int = 0
    records: int = 0
    key_number: int = 0


class KnownEpoch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a collection over several gateways has condemned and removed, by the ids of packs.

    Removals of epochs up to `forgotten` may be missing.
    """

    condemned: list[bytes] = []
    removed: list[bytes] = []
    forgotten: int = 0


class Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The newest state of a volume.

    `root` is the root directory's entry, `sequence` the number of the volume's last change,
    `snapshots` the root of its snapshot tree. `commit`, `commit_sequence` and `commit_time_ns`
    tell of the newest commit, which the changes after it are not yet in.
    """

    root: Entry
    sequence: int = 0
    commit: bytes = b""
    commit_sequence: int = 0
    commit_time_ns: int = 0
    snapshots: bytes = b""


class ChangesRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run of a volume's changes: a leaf of the change list of one of its commits.

    `node` is the id of the leaf, `first` the sequence number of its first change; the row's key
    has that of the last. `commit`, `commit_sequence` and `commit_time_ns` tell of the commit.
    """

    node: bytes
    first: int
    commit: bytes
    commit_sequence: int
    commit_time_ns: int


class HistoryMark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How far a volume's history is indexed: all changes up to number `complete`.

    Further commits are indexed from the newest backwards: `waiting` is the id of the next, empty
    where none is left; with the last of them `complete` becomes `newest`.
    """

    complete: int = 0
    newest: int = 0
    waiting: bytes = b""


class ProcessRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A process at work on the repository.

    It may lean on nursery nodes since `generation`, and on what it found stored since `epoch`.
    It has sealed its open packs at the request of number `sealing`. The oldest write that it does
    so for began at `since_ns`, nanoseconds since the epoch, in the volume of that id, if in one; 0
    where there is none.
    `is_adopted` says of one that died that its journal records have been replayed; only its
    packs still have to be moved to the blob store.
    """

    pid: int
    generation: int
    since_ns: int = 0
    is_adopted: bool = False
    epoch: int = 0
    sealing: int = 0
    volume_id: bytes = b""


def encode_row(row: object) -> bytes:
    """Return the row's bytes with their check."""
    payload = encode(row)
    return xxh3_64_digest(payload) + payload


def decode_row(stored: bytes, expected: type[_Row]) -> _Row:
    """Return the row that the bytes hold.

    Raises:
        IntegrityError: the bytes are not what was written.
    """
    payload = stored[_CHECK_SIZE:]
    if xxh3_64_digest(payload) != stored[:_CHECK_SIZE]:
        message = (
            f"the catalog is damaged, a {expected.__name__} row fails its check: {REBUILD_HINT}"
        )
        raise IntegrityError(message)
    try:
        return decode(payload, expected)
    except FormatError as error:
        message = f"the catalog is damaged, or newer than this program ({error}): {REBUILD_HINT}"
        raise IntegrityError(message) from error
