"""Damage on purpose: flipped bits, and where things lie that are to be hit."""

from __future__ import annotations

from pathlib import Path

from cas.packfile import Footer, PackKind, RecordPlace, decode_header, read_footer


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
    return read_footer(lambda offset, size: content[offset : offset + size], len(content))


def packs_of(location: Path, kind: PackKind) -> list[Path]:
    found = sorted(location.glob("packs/*/*"))
    return [path for path in found if decode_header(path.read_bytes()[:64])[0] is kind]


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
