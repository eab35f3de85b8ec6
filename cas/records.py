"""From stored bytes to a checked object, and which records one read fetches together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cas.catalog import Location
from cas.compression import Codec, decompress
from cas.errors import FormatError, IntegrityError
from cas.formats import PLAIN_SIZE_LIMIT, KiB, MiB
from cas.ids import Identifier, Kind
from cas.packfile import RECORD_OVERHEAD
from cas.sealing import PackSeal, RecordFields

_READ_TARGET: Final = 1 * MiB
"""Bytes that neighbouring chunks are read in at once."""
_READ_GAP: Final = 64 * KiB
"""Bytes between two chunks up to which reading them through costs less than a second call."""


def open_record(
    identifier: Identifier,
    kind: Kind,
    object_id: bytes,
    location: Location,
    stored: bytes | memoryview,
    seal: PackSeal | None,
) -> bytes | memoryview:
    """Return the plaintext of a record's stored bytes, checked against its id.

    `seal` is the pack's, None where nothing is encrypted.

    Raises:
        IntegrityError: the bytes are not those of the object.
    """
    return open_packed(identifier, kind, object_id, location, stored, seal)[1]


def open_packed(
    identifier: Identifier,
    kind: Kind,
    object_id: bytes,
    location: Location,
    stored: bytes | memoryview,
    seal: PackSeal | None,
) -> tuple[bytes | memoryview, bytes | memoryview]:
    """Return what the codec made, and the plaintext, checked, as `open_record` does."""
    packed = unsealed(kind, object_id, location, stored, seal)
    plaintext = packed
    try:
        if location.codec != Codec.RAW:
            plaintext = decompress(
                location.codec, packed, location.plain_size, limit=PLAIN_SIZE_LIMIT
            )
        if identifier.identify(kind, plaintext) == object_id:
            return packed, plaintext
    except FormatError as error:
        raise IntegrityError(str(error)) from error
    except IntegrityError as error:
        message = f"object {object_id.hex()} is damaged: {error}"
        raise IntegrityError(message) from error
    message = f"object {object_id.hex()} is damaged: its bytes have another id"
    raise IntegrityError(message)


def unsealed(
    kind: Kind,
    object_id: bytes,
    location: Location,
    stored: bytes | memoryview,
    seal: PackSeal | None,
) -> bytes | memoryview:
    """Return what the codec made, of a record's stored bytes.

    Raises:
        IntegrityError: they are not what was sealed for this place as this object.
    """
    if seal is None:
        return stored
    fields = RecordFields(kind, location.codec, location.plain_size, object_id)
    try:
        return seal.open_record(location.offset, fields, stored)
    except IntegrityError as error:
        message = f"object {object_id.hex()} is damaged: {error}"
        raise IntegrityError(message) from error


def run_end(locations: Sequence[Location], start: int) -> int:
    """Return the end of the run of neighbours that one read fetches from `start` on."""
    first = previous = locations[start]
    for index in range(start + 1, len(locations)):
        location = locations[index]
        gap = location.offset - previous.offset - RECORD_OVERHEAD - previous.stored_size
        size = location.offset + location.stored_size - first.offset
        if location.pack != first.pack or not 0 <= gap <= _READ_GAP or size > _READ_TARGET:
            return index
        previous = location
    return len(locations)
