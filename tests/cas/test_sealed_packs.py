"""Encrypted packs while they are written: no nonce is used twice, whatever a disk does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cas.errors import IntegrityError, StoreError, StoreFullError, WrongKeyError
from cas.ids import Identifier, Kind
from cas.packfile import (
    PackKind,
    Record,
    RecordPlace,
    decode_header,
    read_footer,
    scan,
    unseal,
)
from cas.packs import OpenPack, PackWriter
from cas.sealing import RecordFields, Sealing
from tests.support.corpus import seeded_bytes
from tests.support.processes import casdav_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MASTER = b"m" * 32
IDENTIFY = Identifier().identify


@pytest.fixture
def sealing() -> Sealing:
    return Sealing(b"identity" * 2, {1: b"old" * 10 + b"..", 2: MASTER}, b"names")


@pytest.fixture
def packs() -> Iterator[list[OpenPack]]:
    made: list[OpenPack] = []
    yield made
    for pack in made:
        pack.abandon()


@pytest.fixture
def writer(tmp_path: Path, sealing: Sealing, packs: list[OpenPack]) -> PackWriter:
    def make() -> OpenPack:
        packs.append(OpenPack(tmp_path, bytes(16), PackKind.DATA, len(packs), sealing))
        return packs[-1]

    return PackWriter(make)


def record(number: int, size: int = 100) -> Record:
    content = seeded_bytes(number, size)
    return Record(Kind.CHUNK, IDENTIFY(Kind.CHUNK, content), size, 0, content)


def opened(pack: OpenPack, sealing: Sealing) -> list[tuple[RecordPlace, bytes]]:
    """Return what a scan finds and opens."""
    content = pack.path.read_bytes()
    header = decode_header(content, is_sealed=True)
    seal = sealing.pack(header.id, header.key_number)
    found = scan(lambda o, s: content[o : o + s], len(content), header.id, seal)
    return [(place, bytes(unseal(seal, place, stored))) for place, stored in found]


def test_what_is_written_is_found_by_scan_and_footer_and_nowhere_to_be_seen(
    writer: PackWriter, sealing: Sealing
) -> None:
    records = [record(number) for number in range(5)]
    written, _ = writer.append(records)
    ((pack, locations),) = written
    assert [content for _, content in opened(pack, sealing)] == [each.stored for each in records]
    assert [place.offset for place, _ in opened(pack, sealing)] == [p.offset for p in locations]
    pack.note_journal(7)
    pack.finish()
    content = pack.path.read_bytes()
    for each in records:
        assert bytes(each.id) not in content
        assert bytes(each.stored[:12]) not in content
    footer = read_footer(lambda o, s: content[o : o + s], len(content), pack.seal)
    assert [place.id for place in footer.places] == [each.id for each in records]
    assert (footer.first_journal, footer.last_journal) == (7, 7)
    with pytest.raises(IntegrityError):
        read_footer(lambda o, s: content[o : o + s], len(content))
    with pytest.raises(IntegrityError):
        read_footer(lambda o, s: content[o : o + s], len(content), sealing.pack(pack.id, 1))


def test_behind_a_failed_write_a_pack_takes_nothing_more(
    writer: PackWriter, packs: list[OpenPack], sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two contents would be sealed with one nonce, and what they have in common be seen."""
    writer.append([record(1)])

    def write_some(descriptor: int, buffers: list[bytes], offset: int) -> int:
        os.pwrite(descriptor, b"".join(buffers)[:90], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", write_some)
        with pytest.raises(StoreFullError):
            writer.append([record(2)])
    assert writer.current is None
    with pytest.raises(StoreError, match="takes no more"):
        packs[0].append([record(3)])
    written, ended = writer.append([record(3)])
    assert ended == [packs[0]]
    assert [pack for pack, _ in written] == [packs[1]]
    packs[0].finish()  # what was there before stays
    assert [content for _, content in opened(packs[0], sealing)] == [record(1).stored]
    assert [content for _, content in opened(packs[1], sealing)] == [record(3).stored]


def test_a_record_opens_in_its_place_as_itself_alone(sealing: Sealing) -> None:
    one, other = sealing.new_pack(b"1" * 16), sealing.new_pack(b"2" * 16)
    assert (one.key_number, sealing.current) == (2, 2)
    fields = RecordFields(Kind.CHUNK, 0, 5, b"i" * 32)
    sealed = one.seal_record(64, fields, b"hello")
    assert one.open_record(64, fields, sealed) == b"hello"
    assert one.reveal(64, one.hide(64, fields)) == fields
    for pack, offset, said in (
        (other, 64, fields),
        (sealing.pack(b"1" * 16, 1), 64, fields),
        (one, 65, fields),
        (one, 64, fields._replace(kind=Kind.TREE_NODE)),
        (one, 64, fields._replace(codec=1)),
        (one, 64, fields._replace(plain_size=6)),
        (one, 64, fields._replace(id=b"j" * 32)),
    ):
        with pytest.raises(IntegrityError):
            pack.open_record(offset, said, sealed)
    with pytest.raises(WrongKeyError):
        sealing.pack(b"1" * 16, 3)


def test_a_key_that_came_later_is_looked_for_once_it_is_needed() -> None:
    asked = []

    def renew() -> dict[int, bytes]:
        asked.append(True)
        return {1: MASTER, 2: b"n" * 32}

    sealing = Sealing(bytes(16), {1: MASTER}, b"names", renew)
    newer = Sealing(bytes(16), {1: MASTER, 2: b"n" * 32}, b"names")
    assert sealing.open(b"p", newer.seal(b"p", b"value")) == b"value"
    assert len(asked) == 1
    with pytest.raises(WrongKeyError):
        sealing.pack(bytes(16), 2**32 - 1)
    assert len(asked) == 1  # no number that nobody counts to


def test_names_depend_on_purpose_and_secret(sealing: Sealing) -> None:
    other = Sealing(b"identity" * 2, {1: MASTER}, b"other")
    names = {sealing.name("a", b"x"), sealing.name("b", b"x"), sealing.name("a", b"y")}
    assert len({*names, other.name("a", b"x")}) == 4
    rotated = Sealing(b"identity" * 2, {1: b"k" * 32}, b"names")
    assert rotated.name("a", b"x") == sealing.name("a", b"x")


def test_a_forked_process_seals_nothing_with_its_parents_counter() -> None:
    program = (
        "import os\n"
        "from cas.errors import InvalidError\n"
        "from cas.sealing import Sealing\n"
        "sealing = Sealing(bytes(16), {1: bytes(32)}, b'names')\n"
        "child = os.fork()\n"
        "try: sealing.seal(b'purpose', b'value')\n"
        "except InvalidError: os._exit(7)\n"
        "assert child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, env=casdav_environment(), check=True)
