"""What an encrypted repository needs beside `independent_reader`, by cas/FORMAT.md alone."""

from __future__ import annotations

import base64
import struct
import unicodedata
from typing import Any, Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import msgpack
from xxhash import xxh3_64_intdigest

FOOTER_KEY: Final = blake3(b"", derive_key_context="casdav 2026-11-22 pack footer").digest()
HEADER: Final = struct.Struct("<8sHBB16s32sI")
RECORD: Final = struct.Struct("<4sBBBBIII32sQ")
ROW: Final = struct.Struct("<BBBBIII32s")
HIDDEN: Final = struct.Struct("<BBI32s")
BINDING: Final = struct.Struct("<H16sQBBI32s")


def derived(context: str, material: bytes, length: int = 32) -> bytes:
    return blake3(material, derive_key_context=context).digest(length=length)


class Ring:
    """The secrets of a repository, from its config and a passphrase or key file."""

    def __init__(self, config: dict[str, Any], credential: str | bytes) -> None:
        self.identity = base64.b64decode(config["identity"])
        key = self._key(config["slots"], credential)
        ring = base64.b64decode(config["ring"])
        purpose = b"casdav 2026-11-23 key ring" + self.identity
        self.root, self.masters, *_ = msgpack.decode(
            AESGCM(key).decrypt(ring[:12], ring[12:], purpose)
        )
        self._name_key = derived("casdav 2026-11-23 names in the store", self.root)

    def name(self, named: bytes) -> bytes:
        return blake3(named, key=self._name_key).digest(length=16)

    def value(self, purpose: bytes, sealed: bytes) -> bytes:
        number, salt, counter = struct.unpack_from("<I16sQ", sealed)
        material = self.masters[number - 1] + self.identity + salt
        key = derived("casdav 2026-11-23 key of sealed values", material)
        nonce = counter.to_bytes(12, "little")
        return AESGCM(key).decrypt(nonce, sealed[28:], self.identity + purpose)

    def _key(self, slots: list[dict[str, Any]], credential: str | bytes) -> bytes:
        for slot in slots:
            salt, wrapped = (base64.b64decode(slot[name]) for name in ("salt", "wrapped"))
            if (slot["kind"] == "passphrase") != isinstance(credential, str):
                continue
            if isinstance(credential, str):
                typed = unicodedata.normalize("NFC", credential).encode()
                key = Argon2id(
                    salt=salt,
                    length=32,
                    iterations=slot["passes"],
                    lanes=slot["lanes"],
                    memory_cost=slot["memory_kib"],
                ).derive(typed)
            else:
                key = derived("casdav 2026-11-23 key file", credential + salt)
            purpose = b"casdav 2026-11-23 key slot" + self.identity + slot["kind"].encode()
            try:
                return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], purpose)
            except InvalidTag:
                continue
        raise AssertionError("no slot takes the credential")


def decrypted_pack(pack: bytes, ring: Ring) -> bytes:
    """Return the pack as it would be if nothing were encrypted."""
    magic, version, kind, flags, pack_id, salt, check = HEADER.unpack_from(pack)
    assert check == xxh3_64_intdigest(pack[:60]) % 2**32
    number = int.from_bytes(salt[:4], "little")
    assert (flags, salt[4:]) == (1, bytes(28))
    keys = derived("casdav 2026-11-23 keys of a pack", ring.masters[number - 1] + pack_id, 96)
    trailer, count = pack[-64:], int.from_bytes(pack[-52:-48], "little")
    start = len(pack) - 64 - 48 * count
    assert trailer[10:12] == b"\1\0"
    nonce, padding, tag = trailer[32:44], trailer[44:48], trailer[48:]
    assert padding == bytes(4)
    sealed = pack[start:-64] + trailer[16:32] + tag
    opened = AESGCM(keys[64:]).decrypt(nonce, sealed, pack_id + trailer[:16])
    header = HEADER.pack(magic, version, kind, 0, pack_id, bytes(32), 0)[:60]
    made = header + (xxh3_64_intdigest(header) % 2**32).to_bytes(4, "little")
    rows = []
    seed = int.from_bytes(pack_id[:8], "little")
    for row in ROW.iter_unpack(opened[:-16]):
        offset, stored_size = row[4], row[5]
        record = pack[offset : offset + 60 + stored_size]
        stored = _record(record, offset, row, keys, pack_id)
        header = RECORD.pack(
            b"cREC",
            row[0],
            row[1],
            0,
            0,
            len(stored),
            row[6],
            RECORD.unpack_from(record)[7],
            row[7],
            0,
        )[:52]
        check = xxh3_64_intdigest(stored, seed=xxh3_64_intdigest(header, seed=seed))
        rows.append(ROW.pack(row[0], row[1], 0, 0, len(made), len(stored), row[6], row[7]))
        made += header + check.to_bytes(8, "little") + stored
    content = b"".join(rows) + trailer[:10] + b"\0\0" + trailer[12:16] + opened[-16:]
    return made + content + blake3(content, key=FOOTER_KEY).digest()


def _record(record: bytes, offset: int, row: tuple[Any, ...], keys: bytes, pack_id: bytes) -> bytes:
    """Return what the codec made; the header must hide what the row says."""
    magic, kind, codec, flags, reserved, size, plain_size, _, object_id, check = RECORD.unpack_from(
        record
    )
    seed = int.from_bytes(pack_id[:8], "little")
    assert check == xxh3_64_intdigest(record[60:], seed=xxh3_64_intdigest(record[:52], seed=seed))
    mask = blake3(offset.to_bytes(8, "little"), key=keys[32:64]).digest(length=38)
    hidden = HIDDEN.pack(kind, codec, plain_size, object_id)
    revealed = HIDDEN.unpack(bytes(a ^ b for a, b in zip(mask, hidden, strict=True)))
    assert revealed == (row[0], row[1], row[6], row[7])
    assert (magic, flags, reserved, size) == (b"cREC", 1, 0, len(record) - 60)
    binding = BINDING.pack(1, pack_id, offset, *revealed)
    return AESGCM(keys[:32]).decrypt(offset.to_bytes(12, "little"), record[60:], binding)
