"""Sealing: the bytes of an encrypted repository, as FORMAT.md, "Sealing", lays them out.

AES-256-GCM with keys that are never used for two things: each pack has one of its own, derived
from the master key and the pack's random id, and nonces that count with the place in the pack;
each process has one for single values (refs, rows of the catalog) and counts them.

What is sealed is bound to what it is and where it stands, so nothing passes for something else.
GCM does not commit to its key; the keyed ids, which readers compare, do.
"""

from __future__ import annotations

import itertools
import os
import secrets
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cas.errors import IntegrityError, InvalidError, WrongKeyError

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
"""Bytes that a record gets longer by being sealed."""
NAME_SIZE: Final = 16
_NONCE_SIZE: Final = 12
_PACK_CONTEXT: Final = "casdav 2026-11-23 keys of a pack"
_VALUE_CONTEXT: Final = "casdav 2026-11-23 key of sealed values"
_NAME_CONTEXT: Final = "casdav 2026-11-23 names in the store"
# number of the master key, salt of the process, counter of its values
_VALUE_HEADER: Final = struct.Struct("<I16sQ")
_FORMAT: Final = 1
# format, pack id, offset of the record, kind, codec, plain size, id
_RECORD_BINDING: Final = struct.Struct("<H16sQBBI32s")
_HIDDEN: Final = struct.Struct("<BBI32s")
_PACKS_CACHED: Final = 4096
_KEYS_LIMIT: Final = 1 << 16
VALUE_OVERHEAD: Final = _VALUE_HEADER.size + TAG_SIZE

Bytes = bytes | bytearray | memoryview


class RecordFields(NamedTuple):
    """What the header of a sealed record hides: numbers of kind and codec, plain size, id."""

    kind: int
    codec: int
    plain_size: int
    id: bytes


class PackSeal:
    """Seals and opens the records and the footer of one pack. Thread-safe."""

    __slots__ = ("_footer", "_mask_key", "_records", "key_number", "pack_id")

    def __init__(self, master: bytes, key_number: int, pack_id: bytes) -> None:
        self.key_number = key_number
        self.pack_id = pack_id
        derived = blake3(master + pack_id, derive_key_context=_PACK_CONTEXT)
        keys = derived.digest(length=3 * KEY_SIZE)
        self._records = AESGCM(keys[:KEY_SIZE])
        self._mask_key = keys[KEY_SIZE : 2 * KEY_SIZE]
        self._footer = keys[2 * KEY_SIZE :]

    def seal_record(self, offset: int, fields: RecordFields, stored: Bytes) -> bytes:
        """Return the sealed form of what a codec made, for a record at this offset.

        An offset is used once: whoever fails to write there must not seal something else for it.
        """
        return self._records.encrypt(_nonce(offset), stored, self._binding(offset, fields))

    def open_record(self, offset: int, fields: RecordFields, sealed: Bytes) -> bytes:
        """Return what the codec made.

        Raises:
            IntegrityError: this is not what was sealed for this place as this object.
        """
        try:
            return self._records.decrypt(_nonce(offset), sealed, self._binding(offset, fields))
        except InvalidTag as error:
            message = f"the bytes at {offset} of pack {self.pack_id.hex()} fail their seal"
            raise IntegrityError(message) from error

    def hide(self, offset: int, fields: RecordFields) -> RecordFields:
        """Return the fields as the header at this offset shows them."""
        return self._masked(offset, fields)

    def reveal(self, offset: int, hidden: RecordFields) -> RecordFields:
        """Return the fields that a header hides; whether they are true shows when it is opened."""
        return self._masked(offset, hidden)

    def seal_footer(self, content: bytes, shown: bytes) -> tuple[bytes, bytes, bytes]:
        """Return nonce, sealed content and tag of a footer that begins to tell with `shown`."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        sealed = AESGCM(self._footer).encrypt(nonce, content, self.pack_id + shown)
        return nonce, sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]

    def open_footer(self, nonce: bytes, sealed: bytes, tag: bytes, shown: bytes) -> bytes:
        """Return a footer's content.

        Raises:
            IntegrityError: it is damaged, or another pack's.
        """
        try:
            return AESGCM(self._footer).decrypt(nonce, sealed + tag, self.pack_id + shown)
        except InvalidTag as error:
            raise IntegrityError("the pack's footer is damaged") from error

    def _masked(self, offset: int, fields: RecordFields) -> RecordFields:
        mask = blake3(offset.to_bytes(8, "little"), key=self._mask_key).digest(length=_HIDDEN.size)
        packed = int.from_bytes(_HIDDEN.pack(*fields), "little")
        masked = packed ^ int.from_bytes(mask, "little")
        return RecordFields(*_HIDDEN.unpack(masked.to_bytes(_HIDDEN.size, "little")))

    def _binding(self, offset: int, fields: RecordFields) -> bytes:
        return _RECORD_BINDING.pack(_FORMAT, self.pack_id, offset, *fields)


class Sealing:
    """What an encrypted repository's keys seal. Shared by threads, of no use after a fork.

    `masters` are the master keys by number, the greatest of which seals what is new; `names` is
    the 32-byte secret behind names in the store.
    """

    def __init__(
        self,
        identity: bytes,
        masters: Mapping[int, bytes],
        names: bytes,
        renew: Callable[[], Mapping[int, bytes]] | None = None,
    ) -> None:
        """`renew` returns the master keys as they are by now, where one is missing."""
        self._identity = identity
        self._masters = dict(masters)
        self._renew = renew
        self.current = max(masters)
        self._name_key = blake3(names, derive_key_context=_NAME_CONTEXT).digest()
        self._salt = secrets.token_bytes(16)
        self._key = self._value_key(self.current, self._salt)
        self._counter = itertools.count()
        self._pid = os.getpid()
        self._packs = lru_cache(_PACKS_CACHED)(self._make_pack)
        self._value_keys = lru_cache(_PACKS_CACHED)(self._value_key)

    def pack(self, pack_id: bytes, key_number: int) -> PackSeal:
        """Return what seals a pack.

        Raises:
            WrongKeyError: this repository has no key of this number.
        """
        return self._packs(pack_id, key_number)

    def new_pack(self, pack_id: bytes) -> PackSeal:
        """Return what seals a new pack."""
        return self._packs(pack_id, self.current)

    def candidates(self, pack_id: bytes) -> Iterator[PackSeal]:
        """Yield what may open a pack whose header does not tell: the newest key first."""
        for number in sorted(self._masters, reverse=True):
            yield self._packs(pack_id, number)

    def seal(self, purpose: bytes, value: Bytes) -> bytes:
        """Return a sealed value, that only opens for this purpose.

        Raises:
            InvalidError: this process was forked since the repository was opened.
        """
        if os.getpid() != self._pid:
            raise InvalidError("a forked process would use its parent's nonces again")
        counter = next(self._counter)
        header = _VALUE_HEADER.pack(self.current, self._salt, counter)
        return header + self._key.encrypt(_nonce(counter), value, self._purpose(purpose))

    def open(self, purpose: bytes, sealed: bytes) -> bytes:
        """Return a value that was sealed for this purpose.

        Raises:
            IntegrityError: the bytes are damaged, or were sealed for something else.
        """
        if len(sealed) >= VALUE_OVERHEAD:
            number, salt, counter = _VALUE_HEADER.unpack_from(sealed)
            if self._has(number):
                content = memoryview(sealed)[_VALUE_HEADER.size :]
                try:
                    return self._value_keys(number, salt).decrypt(
                        _nonce(counter), content, self._purpose(purpose)
                    )
                except InvalidTag:
                    pass
        raise IntegrityError("a sealed value is damaged, or is not what stood there")

    def name(self, purpose: str, value: bytes) -> bytes:
        """Return 16 bytes that stand for a value where names are seen by others."""
        named = purpose.encode() + b"\0" + value
        return blake3(named, key=self._name_key).digest(length=NAME_SIZE)

    def _make_pack(self, pack_id: bytes, key_number: int) -> PackSeal:
        if not self._has(key_number):
            message = f"pack {pack_id.hex()} is sealed with key {key_number}, which is not here"
            raise WrongKeyError(message)
        return PackSeal(self._masters[key_number], key_number, pack_id)

    def _has(self, number: int) -> bool:
        """Return whether there is a master key of this number; another process may have made it."""
        if number not in self._masters and 0 < number <= _KEYS_LIMIT and self._renew is not None:
            self._masters = {**self._masters, **self._renew()}
        return number in self._masters

    def _value_key(self, number: int, salt: bytes) -> AESGCM:
        material = self._masters[number] + self._identity + salt
        return AESGCM(blake3(material, derive_key_context=_VALUE_CONTEXT).digest())

    def _purpose(self, purpose: bytes) -> bytes:
        return self._identity + purpose


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_SIZE, "little")
