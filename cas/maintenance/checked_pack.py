"""One pack as it says itself what it holds, and whether the catalog says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cas.catalog import Location, PackRow, PackState, decode_location, encode_locations
from cas.errors import IntegrityError
from cas.maintenance.damage import Damage, DamageKind
from cas.pack_reader import PackFile, StoredPack
from cas.packfile import HEADER_SIZE, RECORD_OVERHEAD, RecordPlace
from cas.packs import location_of
from cas.sealing import PackSeal


class CheckedPack(NamedTuple):
    """A pack that was looked at: its bytes, and the records that it says it holds.

    `has_footer` is False where that is missing or damaged and the records were scanned for.
    `seal` opens what is encrypted.
    """

    ordinal: int
    row: PackRow
    file: PackFile | StoredPack
    size: int
    places: list[RecordPlace]
    has_footer: bool
    seal: PackSeal | None = None

    @property
    def is_open(self) -> bool:
        """Whether a process appends to it, or has left it to be moved."""
        return self.row.state is PackState.OPEN


def decoded(row: bytes | None) -> Location | None:
    """Return where an object lies; None too where the row is damaged."""
    try:
        return None if row is None else decode_location(row)
    except IntegrityError:
        return None


def encoded_places(ordinal: int, places: Sequence[tuple[int, RecordPlace]]) -> bytes:
    """Return the rows that the catalog should have for a pack's records, one behind the other."""
    return encode_locations(
        (ordinal, offset, stored_size, plain_size, number, kind, codec)
        for number, (kind, _, offset, stored_size, plain_size, codec) in places
    )


def agreed(pack: CheckedPack, number: int, place: RecordPlace, stored: bytes) -> int | None:
    """Return the number that pack and catalog have for a record; None if they disagree.

    It is -1 for an object that the catalog has elsewhere: in another pack, or in another record
    of this one, where two writers have stored it at the same moment.
    """
    right = location_of(pack.ordinal, number, place)
    if stored == right.encode():
        return number
    location = decoded(stored)
    if location is None:
        return None
    if location.pack != pack.ordinal:
        return -1
    if not pack.has_footer and location._replace(number=number) == right:
        return location.number  # what a scan passes over shifts the numbers
    if location.number < len(pack.places):
        twin = pack.places[location.number]
        if twin.id == place.id and location == location_of(pack.ordinal, location.number, twin):
            return -1
    return None


def size_faults(pack: CheckedPack) -> Iterator[Damage]:
    """Yield what is wrong with the sizes of a pack that has a footer."""
    row, name = pack.row, f"pack {pack.row.id.hex()}"
    if row.size and (row.size, row.records) != (pack.size, len(pack.places)):
        message = (
            f"{name} has {pack.size} bytes and {len(pack.places)} records, in the catalog "
            f"{row.size} and {row.records}"
        )
        yield Damage(DamageKind.CATALOG, message, row.id)
    end = HEADER_SIZE
    for _, _, offset, stored_size, _, _ in pack.places:
        if offset < end:
            break
        end = offset + RECORD_OVERHEAD + stored_size
    else:
        if end <= pack.size:
            return
    message = f"the footer of {name} has records that cannot be there"
    yield Damage(DamageKind.INCONSISTENT, message, row.id)
