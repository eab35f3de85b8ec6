"""Damage on purpose: flipped bits, and where things lie that are to be hit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cas.packfile import Footer, PackKind, RecordPlace, read_footer, scan
from cas.sealing import PackSeal
from tests.support.encrypted import keys_of


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def footer_of(pack: Path) -> Footer:
    content = pack.read_bytes()
    return read_footer(_reader(content), len(content), seal_of(pack, content))


def scanned(pack: Path) -> list[RecordPlace]:
    """Return where a pack's records lie, open or sealed, by these themselves."""
    content = pack.read_bytes()
    pack_id, seal = content[12:28], seal_of(pack, content)
    return [place for place, _ in scan(_reader(content), len(content), pack_id, seal)]


def kind_of(pack: Path) -> PackKind:
    with pack.open("rb") as file:
        return PackKind(file.read(11)[10])


def seal_of(pack: Path, content: bytes) -> PackSeal | None:
    """Return what opens a pack of an encrypted repository; it lies three levels below that."""
    sealing = keys_of(pack.parents[2]).identifier.sealing
    if sealing is None:
        return None
    return sealing.pack(content[12:28], int.from_bytes(content[28:32], "little"))


def chunk_id(location: Path, data: bytes) -> bytes:
    """Return the id of a chunk in the repository there."""
    return keys_of(location).identifier.chunk(data)


def _reader(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: content[offset : offset + size]


def packs_of(location: Path, kind: PackKind) -> list[Path]:
    found = sorted(location.glob("packs/*/*"))
    return [path for path in found if kind_of(path) is kind]


def place_of(location: Path, object_id: bytes) -> tuple[Path, RecordPlace]:
    """Return the pack that holds an object, and where in it."""
    for pack in location.glob("packs/*/*"):
        for place in footer_of(pack).places:
            if place.id == object_id:
                return pack, place
    raise AssertionError("no pack holds the object")


def damage_object(location: Path, object_id: bytes) -> Path:
    """Flip a bit in an object's stored bytes; return the pack."""
    pack, place = place_of(location, object_id)
    flip(pack, place.end - 1)
    return pack
