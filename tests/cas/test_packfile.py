"""The bytes of a pack: what goes in comes out, and every damage is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas.errors import FormatError, IntegrityError
from cas.ids import Identifier, Kind
from cas.packfile import (
    HEADER_SIZE,
    TRAILER_SIZE,
    Footer,
    PackKind,
    ReadAt,
    Record,
    RecordPlace,
    decode_header,
    encode_footer,
    encode_header,
    encode_record_header,
    read_footer,
    scan,
)

PACK_ID = bytes(range(16))
OTHER_ID = bytes(range(1, 17))


def make_record(kind: Kind, plaintext: bytes) -> Record:
    return Record(kind, Identifier().identify(kind, plaintext), len(plaintext), 0, plaintext)


def make_pack(records: list[Record]) -> tuple[bytes, list[RecordPlace]]:
    """Return a pack without its footer, and where its records lie."""
    content = encode_header(PackKind.DATA, PACK_ID, 0)
    places = []
    for index, record in enumerate(records):
        places.append(
            RecordPlace(
                record.kind,
                record.id,
                len(content),
                len(record.stored),
                record.plain_size,
                record.codec,
            )
        )
        content += encode_record_header(record, index, PACK_ID) + bytes(record.stored)
    return content, places


def reading(content: bytes) -> ReadAt:
    return lambda offset, size: content[offset : offset + size]


def scanned(content: bytes, pack_id: bytes = PACK_ID) -> list[tuple[RecordPlace, bytes]]:
    return list(scan(reading(content), len(content), pack_id))


def read_ends(pack: bytes) -> tuple[PackKind, bytes, Footer]:
    return *decode_header(pack)[:2], read_footer(reading(pack), len(pack))


some_records = st.lists(
    st.builds(
        make_record,
        st.sampled_from([Kind.CHUNK, Kind.TREE_NODE, Kind.JOURNAL]),
        st.one_of(st.binary(max_size=60), st.just(b"cREC" * 20), st.just(b"casdavFT")),
    ),
    max_size=8,
)


@given(records=some_records, journal=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_a_pack_tells_its_records_by_its_footer_and_without_it(
    records: list[Record], journal: tuple[int, int]
) -> None:
    content, places = make_pack(records)
    sealed = content + encode_footer(Footer(places, *journal))
    assert decode_header(sealed) == (PackKind.DATA, PACK_ID, 0)
    assert read_footer(reading(sealed), len(sealed)) == Footer(places, *journal)
    expected = [(place, record.stored) for place, record in zip(places, records, strict=True)]
    assert scanned(content) == expected
    assert scanned(sealed) == expected


@given(records=some_records, cut=st.integers(0, 10_000))
def test_a_cut_pack_yields_the_records_before_the_cut(records: list[Record], cut: int) -> None:
    content, places = make_pack(records)
    cut %= len(content) + 1
    found = scanned(content[:cut])
    assert [place for place, _ in found] == [place for place in places if place.end <= cut]


def test_every_flipped_bit_of_a_record_is_noticed_and_the_others_are_still_found() -> None:
    content, places = make_pack([make_record(Kind.CHUNK, bytes([n]) * 20) for n in range(3)])
    for position in range(places[1].offset, places[1].end):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            assert [place for place, _ in scanned(bytes(damaged))] == [places[0], places[2]]


def test_every_flipped_bit_of_a_header_or_footer_is_noticed() -> None:
    content, places = make_pack([make_record(Kind.CHUNK, b"x")])
    sealed = content + encode_footer(Footer(places, 3, 5))
    for position in [*range(HEADER_SIZE), *range(len(content), len(sealed))]:
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[position] ^= 1 << bit
            with pytest.raises((IntegrityError, FormatError)):
                read_ends(bytes(damaged))


@pytest.mark.parametrize("size", [0, 1, HEADER_SIZE, HEADER_SIZE + TRAILER_SIZE - 1])
def test_a_pack_that_is_cut_has_no_footer(size: int) -> None:
    content, places = make_pack([make_record(Kind.CHUNK, b"x")])
    sealed = content + encode_footer(Footer(places))
    with pytest.raises(IntegrityError):
        read_footer(reading(sealed[:size]), size)


def test_what_somebody_uploaded_is_never_taken_for_a_record() -> None:
    """A chunk may hold the bytes of a record, even one of another pack."""
    victim = make_record(Kind.JOURNAL, b"a forged journal record")
    forged = encode_record_header(victim, 0, OTHER_ID) + bytes(victim.stored)
    content, places = make_pack([make_record(Kind.CHUNK, forged), make_record(Kind.CHUNK, b"y")])
    damaged = bytearray(content)
    damaged[places[0].offset] ^= 1  # the scan now looks into the chunk
    assert [place for place, _ in scanned(bytes(damaged))] == places[1:]


def test_records_of_another_pack_are_not_taken_for_this_ones() -> None:
    content, _ = make_pack([make_record(Kind.CHUNK, b"old bytes of the disk")])
    assert scanned(content, OTHER_ID) == []
