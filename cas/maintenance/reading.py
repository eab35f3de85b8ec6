"""Reading a pack front to back and checking every record's bytes against its id.

The costs are those of decompression and BLAKE3; so what Python does is done once for a batch
where it can be: one read for some MiB, one call that decompresses a hundred frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import zstandard

from cas.compression import Codec, decompress
from cas.errors import CasError, StoreError
from cas.formats import PLAIN_SIZE_LIMIT, MiB
from cas.ids import Identifier
from cas.maintenance.checked_pack import CheckedPack
from cas.packfile import RECORD_OVERHEAD, RecordPlace, is_record_sound, unseal

_READ_SIZE: Final = 4 * MiB
_PLAIN_SIZE: Final = MiB
"""Bytes of plaintext that are made at once: what fits in a core's cache is faster."""
_SEGMENT: Final = struct.Struct("=QQ")


class BadRecord(NamedTuple):
    """A record that is not what it should be: its number among the pack's places, and why."""

    number: int
    reason: str


class ReadPack(NamedTuple):
    """What reading a pack showed; `plain_size` in bytes."""

    pack: CheckedPack
    bad: list[BadRecord]
    plain_size: int


def read_pack(pack: CheckedPack, identifier: Identifier) -> ReadPack:
    """Read all records of a pack and check each: its header, its check, its plaintext's id.

    Raises:
        StoreError: the disk failed.
    """
    bad: list[BadRecord] = []
    batches = [
        (first, stop, pack.places[first].offset, pack.places[stop - 1].end)
        for first, stop in _batches(pack.places)
    ]
    # One for all: to get fresh memory from the system costs as much as to hash what comes into it.
    buffer = memoryview(bytearray(max((end - start for _, _, start, end in batches), default=0)))
    for first, stop, start, end in batches:
        try:
            length = pack.file.read_into(buffer[: end - start], start)
        except StoreError as error:
            if error.transient:
                raise
            length = _read_singly(pack, first, stop, buffer[: end - start])
        reader = _Batch(pack, buffer[:length], start, identifier, bad)
        reader.check(pack.places, first, stop)
    bad.sort()
    return ReadPack(pack, bad, sum(place.plain_size for place in pack.places))


def _read_singly(pack: CheckedPack, first: int, stop: int, buffer: memoryview) -> int:
    """Read the records one by one where the disk has bad blocks; return the bytes of all.

    Those that cannot be read are left as zeros, and so fail their check.
    """
    start = pack.places[first].offset
    buffer[:] = bytes(len(buffer))
    for place in pack.places[first:stop]:
        with suppress(StoreError):
            stored = pack.file.read_at(place.offset, place.end - place.offset)
            at = place.offset - start
            buffer[at : at + len(stored)] = stored
    return len(buffer)


def _batches(places: Sequence[RecordPlace]) -> Iterator[tuple[int, int]]:
    """Yield runs of places that are read in one call: first and stop."""
    first = 0
    for number, place in enumerate(places):
        if number > first and place.end - places[first].offset > _READ_SIZE:
            yield first, number
            first = number
    if first < len(places):
        yield first, len(places)


class _Batch:
    """Some records of a pack, which lie in one region of memory."""

    def __init__(
        self,
        pack: CheckedPack,
        region: memoryview,
        start: int,
        identifier: Identifier,
        bad: list[BadRecord],
    ) -> None:
        self._pack_id = pack.row.id
        self._seal = pack.seal
        self._region = region
        self._start = start
        self._identifier = identifier
        self._bad = bad
        self._decompressor = zstandard.ZstdDecompressor()

    def check(self, places: Sequence[RecordPlace], first: int, stop: int) -> None:
        """Check these places, adding what is wrong to the bad records."""
        region, start, identify = self._region, self._start, self._identifier.identify
        frames: list[tuple[int, RecordPlace]] = []
        waiting = 0
        for number in range(first, stop):
            place = places[number]
            kind, object_id, offset, stored_size, plain_size, codec = place
            at = offset - start
            if not is_record_sound(region, at, place, self._pack_id, self._seal):
                self._bad.append(BadRecord(number, "its bytes fail their check"))
            elif self._seal is not None:
                self._check_alone(number, place)
            elif codec == Codec.ZSTD and plain_size <= PLAIN_SIZE_LIMIT:
                frames.append((number, place))
                waiting += plain_size
                if waiting >= _PLAIN_SIZE:
                    self._check_frames(frames)
                    frames = []
                    waiting = 0
            elif codec == Codec.RAW and stored_size == plain_size:
                at += RECORD_OVERHEAD
                if identify(kind, region[at : at + stored_size]) != object_id:
                    self._bad.append(BadRecord(number, "its bytes have another id"))
            else:
                self._check_alone(number, place)
        if frames:
            self._check_frames(frames)

    def _check_frames(self, frames: list[tuple[int, RecordPlace]]) -> None:
        """Decompress frames in one call; one by one where that fails."""
        shift = RECORD_OVERHEAD - self._start
        segments = b"".join(
            [_SEGMENT.pack(place.offset + shift, place.stored_size) for _, place in frames]
        )
        sizes = struct.pack(f"={len(frames)}Q", *[place.plain_size for _, place in frames])
        try:
            plain = self._decompressor.multi_decompress_to_buffer(
                zstandard.BufferWithSegments(self._region, segments), decompressed_sizes=sizes
            )
        except zstandard.ZstdError:
            for number, place in frames:
                self._check_alone(number, place)
            return
        identify = self._identifier.identify
        for index, (number, place) in enumerate(frames):
            if identify(place.kind, plain[index]) != place.id:  # type: ignore[arg-type]
                self._bad.append(BadRecord(number, "its bytes have another id"))

    def _check_alone(self, number: int, place: RecordPlace) -> None:
        """Check a record as a reader does."""
        at = place.offset - self._start + RECORD_OVERHEAD
        try:
            stored = unseal(self._seal, place, self._region[at : at + place.stored_size])
            plaintext = decompress(place.codec, stored, place.plain_size, limit=PLAIN_SIZE_LIMIT)
        except CasError as error:
            self._bad.append(BadRecord(number, str(error)))
            return
        if self._identifier.identify(place.kind, plaintext) != place.id:
            self._bad.append(BadRecord(number, "its bytes have another id"))
