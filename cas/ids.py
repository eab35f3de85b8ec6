"""Object ids: keyed BLAKE3 of the plaintext, one key per kind of object.

An id is 32 bytes. Each kind hashes under a key of its own, so that the bytes of a chunk can never
be passed off as a tree node. An encrypted repository derives the keys from its secret, so that
ids tell nothing to somebody who knows the content; an unencrypted one from a public constant.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NewType

from blake3 import blake3

from cas.sealing import Sealing

ObjectId = NewType("ObjectId", bytes)
"""32 bytes; compared and stored as they are, shown to people as 64 hex digits."""

PUBLIC_SECRET: Final = b"casdav: ids of a repository without encryption"


class Kind(IntEnum):
    """What an object or record is. The numbers are format."""

    CHUNK = 1
    FILE_NODE = 2
    TREE_NODE = 3
    COMMIT = 4
    ENTRY = 5
    CHANGE_NODE = 6
    JOURNAL = 7
    REF = 8

    @property
    def words(self) -> str:
        """What people call it: `tree node`."""
        return self.name.lower().replace("_", " ")


class Identifier:
    """Computes ids with the keys of one repository. Thread-safe.

    `sealing` goes with it wherever objects do: what seals them, None where nothing is encrypted.
    """

    def __init__(self, secret: bytes = PUBLIC_SECRET, sealing: Sealing | None = None) -> None:
        self.sealing = sealing
        self._keys = {
            kind: blake3(secret, derive_key_context=f"casdav 2026-11-22 id {kind.name}").digest()
            for kind in Kind
        }
        self._chunk_key = self._keys[Kind.CHUNK]

    def key(self, kind: Kind) -> bytes:
        """Return the key of a kind, for whoever may compute ids of that kind elsewhere."""
        return self._keys[kind]

    def identify(self, kind: Kind, plaintext: bytes | memoryview) -> ObjectId:
        """Return the id of an object of this kind with these bytes."""
        return ObjectId(blake3(plaintext, key=self._keys[kind]).digest())

    def chunk(self, plaintext: bytes | memoryview) -> ObjectId:
        """Return the id of a chunk; the hot path of every write and read."""
        return ObjectId(blake3(plaintext, key=self._chunk_key).digest())
