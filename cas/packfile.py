"""The pack format: a header, self-describing records, a footer with a table of the records.

A pack is written front to back and never changed afterwards. Each record carries its kind, sizes,
id and a check over header and stored bytes, so that `scan` can read a pack that lost its footer
or whose writer died; the footer lets a reader learn all records with one read of the end.
Byte tables stand in FORMAT.md, "Packs".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from cas.errors import FormatError, IntegrityError
from cas.formats import FORMAT_VERSION, PACK_RECORD_LIMIT, PLAIN_SIZE_LIMIT
from cas.ids import Kind, ObjectId
from cas.sealing import TAG_SIZE, PackSeal, RecordFields

HEADER_MAGIC: Final = b"casdavPK"
RECORD_MAGIC: Final = b"cREC"
FOOTER_MAGIC: Final = b"casdavFT"

# magic, version, kind of pack, flags, pack id, number of the key that seals it and zeros, check:
# the low 32 bits of the xxh3_64 of the bytes before it
_HEADER: Final = struct.Struct("<8sHBB16s32s")
_KEY_NUMBER_SIZE: Final = 4
_SEALED: Final = 1
"""In the flags of header, record and trailer: an encrypted repository's."""
_HEADER_CHECK: Final = struct.Struct("<I")
# magic, kind, codec, flags, reserved, stored size, plain size, index in the pack, id
_RECORD: Final = struct.Struct("<4sBBBBIII32s")
_CHECK: Final = struct.Struct("<Q")
_CHECKED_RECORD: Final = struct.Struct("<4sBBBBIII32sQ")
# kind, codec, flags, reserved, offset of the record's header, stored size, plain size, id
_ROW: Final = struct.Struct("<BBBBIII32s")
# magic, version, flags, records, numbers of the first and last journal record (0: none), digest of
# all bytes of table and trailer before it
_TRAILER: Final = struct.Struct("<8sHHIQQ32s")
_SHOWN: Final = struct.Struct("<8sHHI")  # what the trailer of a sealed footer shows
_HIDDEN_JOURNAL: Final = struct.Struct("<QQ")
_NONCE_SIZE: Final = 12

HEADER_SIZE: Final = _HEADER.size + _HEADER_CHECK.size
RECORD_OVERHEAD: Final = _RECORD.size + _CHECK.size
"""Bytes that a record adds before its stored bytes."""
TRAILER_SIZE: Final = _TRAILER.size
ROW_SIZE: Final = _ROW.size
_DIGEST_SIZE: Final = 32
_SEARCH_BLOCK: Final = 1 << 20
_SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all, even when its power goes."""
_KINDS: Final = {int(kind): kind for kind in Kind}
_STORED_SIZE_LIMIT: Final = PLAIN_SIZE_LIMIT + 64 * 1024
_FOOTER_KEY: Final = blake3(b"", derive_key_context="casdav 2026-11-22 pack footer").digest()

Stored = bytes | memoryview
ReadAt = Callable[[int, int], bytes]
"""Reads (offset, size) of a pack; fewer bytes at its end."""


class PackKind(IntEnum):
    """What a pack holds. The numbers are format."""

    DATA = 1
    TREE = 2
    MIXED = 3


class Record(NamedTuple):
    """A record to be written: `stored` is what the codec made of `plain_size` bytes."""

    kind: Kind
    id: ObjectId
    plain_size: int
    codec: int
    stored: bytes | memoryview


class RecordPlace(NamedTuple):
    """Where a record lies in its pack; `offset` is that of its header."""

    kind: Kind
    id: ObjectId
    offset: int
    stored_size: int
    plain_size: int
    codec: int

    @property
    def end(self) -> int:
        """Offset of the first byte after the record."""
        return self.offset + RECORD_OVERHEAD + self.stored_size


class PackHeader(NamedTuple):
    """What a pack's first bytes say; `key_number` is 0 where nothing is sealed."""

    kind: PackKind
    id: bytes
    key_number: int = 0


def encode_header(kind: PackKind, pack_id: bytes, key_number: int = 0) -> bytes:
    """Return the first bytes of a pack; a sealed one names the key."""
    salt = key_number.to_bytes(_KEY_NUMBER_SIZE, "little").ljust(32, b"\0")
    flags = _SEALED if key_number else 0
    header = _HEADER.pack(HEADER_MAGIC, FORMAT_VERSION, kind, flags, pack_id, salt)
    return header + _HEADER_CHECK.pack(xxh3_64_intdigest(header) & 0xFFFFFFFF)


def decode_header(header: bytes, *, is_sealed: bool = False) -> PackHeader:
    """Return a pack's kind and id, and which key seals it, from its first bytes.

    `is_sealed` says that the pack must be; else it must not.

    Raises:
        IntegrityError: these are not the first bytes of a pack, or they are damaged.
        FormatError: the pack was written by a newer program.
    """
    if len(header) < HEADER_SIZE or header[:8] != HEADER_MAGIC:
        raise IntegrityError("not a pack: the magic is missing")
    _, version, kind, flags, pack_id, salt = _HEADER.unpack_from(header)
    (check,) = _HEADER_CHECK.unpack_from(header, _HEADER.size)
    if check != xxh3_64_intdigest(header[: _HEADER.size]) & 0xFFFFFFFF:
        raise IntegrityError("the pack's header is damaged")
    if version <= FORMAT_VERSION and is_sealed and not flags:
        raise IntegrityError("the pack is not encrypted, as this repository's must be")
    if version > FORMAT_VERSION or flags != (_SEALED if is_sealed else 0):
        message = f"pack of version {version}, flags {flags:#x}: use a newer casdav"
        raise FormatError(message)
    key_number = int.from_bytes(salt[:_KEY_NUMBER_SIZE], "little") if is_sealed else 0
    try:
        return PackHeader(PackKind(kind), pack_id, key_number)
    except ValueError as error:
        message = f"pack of an unknown kind {kind}: use a newer casdav"
        raise FormatError(message) from error


def encode_record_header(record: Record, index: int, pack_id: bytes) -> bytes:
    """Return the bytes that stand before the stored bytes of a pack's record number `index`."""
    fields = RecordFields(record.kind, record.codec, record.plain_size, record.id)
    return _record_header(fields, 0, record.stored, index, pack_id)


def seal_record(record: Record, index: int, offset: int, seal: PackSeal) -> tuple[bytes, bytes]:
    """Return header and stored bytes of a record that is sealed for this offset of its pack."""
    fields = RecordFields(record.kind, record.codec, record.plain_size, record.id)
    sealed = seal.seal_record(offset, fields, record.stored)
    hidden = seal.hide(offset, fields)
    return _record_header(hidden, _SEALED, sealed, index, seal.pack_id), sealed


def unseal(seal: PackSeal | None, place: RecordPlace, stored: Stored) -> Stored:
    """Return what the codec made, of the stored bytes of a record that may be sealed.

    Raises:
        IntegrityError: they are not those that were sealed at this place as this object.
    """
    if seal is None:
        return stored
    fields = RecordFields(place.kind, place.codec, place.plain_size, place.id)
    return seal.open_record(place.offset, fields, stored)


def _record_header(
    fields: RecordFields, flags: int, stored: Stored, index: int, pack_id: bytes
) -> bytes:
    kind, codec, plain_size, record_id = fields
    header = _RECORD.pack(
        RECORD_MAGIC, kind, codec, flags, 0, len(stored), plain_size, index, record_id
    )
    return header + _CHECK.pack(_check(header, stored, pack_id))


class Footer(NamedTuple):
    """What a footer says: the records, and the numbers of the first and last journal record.

    The numbers are 0 where the pack holds no journal record.
    """

    places: list[RecordPlace]
    first_journal: int = 0
    last_journal: int = 0


def encode_footer(footer: Footer, seal: PackSeal | None = None) -> bytes:
    """Return the bytes that end a pack."""
    places, first_journal, last_journal = footer
    table = b"".join(
        _ROW.pack(p.kind, p.codec, 0, 0, p.offset, p.stored_size, p.plain_size, p.id)
        for p in places
    )
    journal = (first_journal, last_journal)
    if seal is not None:
        shown = _SHOWN.pack(FOOTER_MAGIC, FORMAT_VERSION, _SEALED, len(places))
        content = table + _HIDDEN_JOURNAL.pack(*journal)
        nonce, sealed, tag = seal.seal_footer(content, shown)
        hidden = sealed[-_HIDDEN_JOURNAL.size :]
        padding = bytes(_DIGEST_SIZE - _NONCE_SIZE - TAG_SIZE)
        return sealed[: len(table)] + shown + hidden + nonce + padding + tag
    empty = bytes(_DIGEST_SIZE)
    trailer = _TRAILER.pack(FOOTER_MAGIC, FORMAT_VERSION, 0, len(places), *journal, empty)
    digested = table + trailer[:-_DIGEST_SIZE]
    return digested + blake3(digested, key=_FOOTER_KEY).digest()


def read_footer(read_at: ReadAt, size: int, seal: PackSeal | None = None) -> Footer:
    """Return the footer of a finished pack of `size` bytes, by reading its end.

    With `seal` it must be encrypted, without it must not.

    Raises:
        IntegrityError: the footer is missing or damaged; `scan` may still find the records.
    """
    trailer = read_at(size - TRAILER_SIZE, TRAILER_SIZE) if size >= TRAILER_SIZE else b""
    if len(trailer) < TRAILER_SIZE or trailer[:8] != FOOTER_MAGIC:
        raise IntegrityError("the pack has no footer")
    _, version, flags, count, first_journal, last_journal, digest = _TRAILER.unpack(trailer)
    start = size - TRAILER_SIZE - count * _ROW.size
    if count > PACK_RECORD_LIMIT or start < HEADER_SIZE:
        raise IntegrityError("the pack's footer is damaged")
    table = read_at(start, count * _ROW.size)
    if seal is not None:
        if flags != _SEALED:
            raise IntegrityError("the pack's footer is damaged")
        content = seal.open_footer(
            digest[:_NONCE_SIZE],
            table + trailer[_SHOWN.size : -_DIGEST_SIZE],
            digest[-TAG_SIZE:],
            trailer[: _SHOWN.size],
        )
        table = content[: len(table)]
        first_journal, last_journal = _HIDDEN_JOURNAL.unpack(content[len(table) :])
    elif digest != blake3(table + trailer[:-_DIGEST_SIZE], key=_FOOTER_KEY).digest():
        raise IntegrityError("the pack's footer is damaged")
    if version > FORMAT_VERSION or (flags and seal is None):
        message = f"pack footer of version {version}, flags {flags:#x}: use a newer casdav"
        raise FormatError(message)
    try:
        places = [
            RecordPlace(_KINDS[kind], record_id, offset, stored_size, plain_size, codec)
            for kind, codec, _, _, offset, stored_size, plain_size, record_id in _ROW.iter_unpack(
                table
            )
        ]
    except KeyError as error:
        message = f"a pack holds a record of an unknown kind ({error}): use a newer casdav"
        raise FormatError(message) from error
    return Footer(places, first_journal, last_journal)


def scan(
    read_at: ReadAt, size: int, pack_id: bytes, seal: PackSeal | None = None
) -> Iterator[tuple[RecordPlace, bytes]]:
    """Yield the sound records of a pack of `size` bytes, with their stored bytes.

    What is between two of them is damage and is skipped; what follows the last one is a footer,
    or a record that a crash cut short. Nothing that somebody uploaded passes for a record there:
    the checks depend on the pack's random id. Of a sealed pack, what a place says is true only
    if `unseal` opens the bytes.
    """
    offset = HEADER_SIZE
    while offset < size:
        found = _sound_record(read_at, offset, pack_id, seal)
        if found is not None:
            yield found
            offset = found[0].end
        else:
            offset = _next_magic(read_at, offset + 1, size)


def torn_at(read_at: ReadAt, places: Sequence[RecordPlace], first: int) -> int | None:
    """Return where what a power cut left out begins, if that is before the last of these places.

    Looked at are the bytes that no place takes, behind the first `first` places. What was
    written but not synced reaches a disk by whole sectors, in any order; where one is missing,
    the zeros are that were there before. Other damage is not that, and None is returned for it.
    """
    end = places[first - 1].end if first else HEADER_SIZE
    for place in places[first:]:
        if place.offset > end and _has_empty_sector(read_at, end, place.offset):
            return end
        end = place.end
    return None


def is_record_sound(
    region: memoryview, at: int, place: RecordPlace, pack_id: bytes, seal: PackSeal | None = None
) -> bool:
    """Return whether the record at an index of the region is the one that the place tells of."""
    end = at + RECORD_OVERHEAD + place.stored_size
    if end > len(region):
        return False
    magic, kind, codec, flags, _, stored_size, plain_size, _, record_id, check = (
        _CHECKED_RECORD.unpack_from(region, at)
    )
    if seal is not None:
        fields = RecordFields(kind, codec, plain_size, record_id)
        kind, codec, plain_size, record_id = seal.reveal(place.offset, fields)
    said = (kind, record_id, place.offset, stored_size, plain_size, codec)
    if magic != RECORD_MAGIC or flags != _flags(seal) or said != place:
        return False
    stored = region[at + RECORD_OVERHEAD : end]
    return bool(check == _check(region[at : at + _RECORD.size], stored, pack_id))


def _flags(seal: PackSeal | None) -> int:
    return 0 if seal is None else _SEALED


def _sound_record(
    read_at: ReadAt, offset: int, pack_id: bytes, seal: PackSeal | None
) -> tuple[RecordPlace, bytes] | None:
    header = read_at(offset, RECORD_OVERHEAD)
    place = _read_record_header(memoryview(header), offset, seal)
    if place is None:
        return None
    stored = read_at(offset + RECORD_OVERHEAD, place.stored_size)
    (check,) = _CHECK.unpack_from(header, _RECORD.size)
    if len(stored) < place.stored_size or check != _check(header[: _RECORD.size], stored, pack_id):
        return None
    return place, stored


def _has_empty_sector(read_at: ReadAt, start: int, end: int) -> bool:
    """Whether a sector is empty as far as it is behind `start`; the one around `end` is not."""
    while (stop := (start // _SECTOR + 1) * _SECTOR) <= end:
        if not any(read_at(start, stop - start)):
            return True
        start = stop
    return False


def _next_magic(read_at: ReadAt, offset: int, size: int) -> int:
    """Return where the next record may begin, `size` where none does."""
    while offset < size:
        block = read_at(offset, _SEARCH_BLOCK + len(RECORD_MAGIC) - 1)
        index = block.find(RECORD_MAGIC)
        if index >= 0:
            return offset + index
        offset += _SEARCH_BLOCK
    return size


def _read_record_header(view: memoryview, offset: int, seal: PackSeal | None) -> RecordPlace | None:
    if len(view) < RECORD_OVERHEAD or bytes(view[:4]) != RECORD_MAGIC:
        return None
    _, kind, codec, flags, _, stored_size, plain_size, _, record_id = _RECORD.unpack_from(view)
    if flags != _flags(seal):
        return None
    if seal is not None:
        fields = RecordFields(kind, codec, plain_size, record_id)
        kind, codec, plain_size, record_id = seal.reveal(offset, fields)
    sound = stored_size <= _STORED_SIZE_LIMIT and plain_size <= PLAIN_SIZE_LIMIT
    if not sound or kind not in _KINDS:
        return None
    return RecordPlace(Kind(kind), ObjectId(record_id), offset, stored_size, plain_size, codec)


def _check(header: bytes | memoryview, stored: bytes | memoryview, pack_id: bytes) -> int:
    seed = int.from_bytes(pack_id[:8], "little")
    return xxh3_64_intdigest(stored, seed=xxh3_64_intdigest(header, seed=seed))
