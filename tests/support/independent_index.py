"""Reads index objects by cas/FORMAT.md alone: nothing of cas is imported."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Final

from blake3 import blake3
from msgspec import msgpack

from tests.support.independent_encryption import Ring, derived

KEY: Final = derived("casdav 2026-11-23 index", b"")
ROW: Final = struct.Struct("<32sIIIIBBH")
Record = tuple[int, int, int, int, int, bytes]
"""Kind, codec, offset, stored size, plain size, id: a row of a footer's table."""


def read_index(name: str, content: bytes, ring: Ring | None = None) -> dict[bytes, list[Record]]:
    """Return the packs of an index object, and the tables of their footers."""
    directory_size, version, flags, magic = struct.unpack("<IHH8s", content[-16:])
    assert (version, flags, magic) == (1, 0 if ring is None else 1, b"casdavIX")

    def part(number: str, start: int, size: int) -> bytes:
        stored, purpose = content[start : start + size], f"{name}-{number}".encode()
        if ring is not None:
            return ring.value(purpose, stored)
        digest, payload = stored[:32], stored[32:]
        assert digest == blake3(purpose + b"\0" + payload, key=KEY).digest()
        return payload

    at = len(content) - 16 - directory_size
    packs, blocks = msgpack.decode(part("directory", at, directory_size))
    rows: list[bytes] = []
    end = 0
    for number, (first, offset, size) in enumerate(blocks):
        payload = part(str(number), offset, size)
        assert (offset, first) == (end, payload[:32])
        end = offset + size
        assert len(payload) == 1024 * ROW.size or number == len(blocks) - 1
        rows += [payload[start : start + ROW.size] for start in range(0, len(payload), ROW.size)]
    assert end == at
    assert rows == sorted(rows)
    tables: dict[bytes, list[Record]] = defaultdict(list)
    for row in rows:
        record_id, pack, offset, stored_size, plain_size, kind, codec, reserved = ROW.unpack(row)
        assert reserved == 0
        record = (kind, codec, offset, stored_size, plain_size, record_id)
        tables[packs[pack][0]].append(record)
    assert len(tables) == len(packs)
    return {pack: sorted(table, key=lambda record: record[2]) for pack, table in tables.items()}
