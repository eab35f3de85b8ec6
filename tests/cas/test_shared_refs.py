"""Refs that several gateways move."""

from __future__ import annotations

from cas.ids import Identifier, ObjectId
from cas.pack_index import NamedPack
from cas.refs import Ref, SharedRef, decode_ref, encode_ref

NAME = f"refs/{'11' * 16}"
SHARED = SharedRef(
    b"\x11" * 16,
    ObjectId(b"c" * 32),
    900,
    0,
    b"",
    b"n" * 16,
    4,
    [NamedPack(b"p" * 16, 500), NamedPack(b"q" * 16, 2**25)],
)
RECORDED = bytes.fromhex(
    "7ea6f887c14ad1d35b62e4eaaa47316d9fefb60ff581a2d7d139c8042901f9eb98c4101111111111"
    "1111111111111111111111c420636363636363636363636363636363636363636363636363636363"
    "6363636363cd038400c400c4106e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e049292c410707070707070"
    "70707070707070707070cd01f492c41071717171717171717171717171717171ce02000000"
)
"""What version 1 stores for it."""


def test_the_recorded_bytes_are_what_is_written_and_read() -> None:
    assert encode_ref(Identifier(), SHARED) == RECORDED
    assert decode_ref(Identifier(), RECORDED, NAME, SharedRef) == SHARED


def test_what_it_has_in_common_with_other_refs_is_read_by_those_who_know_no_more() -> None:
    ref = decode_ref(Identifier(), RECORDED, NAME, Ref)
    assert (ref.commit, ref.sequence, ref.nonce) == (SHARED.commit, 900, SHARED.nonce)


def test_a_ref_of_before_names_no_packs() -> None:
    old = Ref(b"\x11" * 16, ObjectId(b"c" * 32), 1, 0, b"", b"n" * 16)
    ref = decode_ref(Identifier(), encode_ref(Identifier(), old), NAME, SharedRef)
    assert (ref.min_epoch, ref.packs) == (0, [])
