"""Refs: small mutable objects, one per volume, that name its newest commit."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final

import msgspec

from cas.errors import REPAIR_HINT, ConflictError, IntegrityError, NotFoundError
from cas.ids import Identifier, Kind, ObjectId
from cas.objects import decode, encode
from cas.stores.base import BlobStore

_DIGEST_SIZE: Final = 32


class Ref(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The newest commit of a volume, and the number of its last change.

    `journal` and `journal_id` are number and id of the journal record up to which the commit
    holds everything; the registry's ref says it for all volumes. `nonce` is random, so that a
    writer can tell its own write from another's.
    """

    volume_id: bytes
    commit: ObjectId
    sequence: int
    journal: int
    journal_id: bytes
    nonce: bytes


def new_ref(
    volume_id: bytes, commit: ObjectId, sequence: int, journal: int, journal_id: bytes
) -> Ref:
    """Return a ref with a fresh nonce."""
    return Ref(volume_id, commit, sequence, journal, journal_id, secrets.token_bytes(16))


def read_ref(store: BlobStore, identifier: Identifier, volume_id: bytes) -> Ref | None:
    """Return a volume's ref, or None where it has none yet.

    Raises:
        IntegrityError: the ref is damaged.
    """
    try:
        stored, _ = store.read(_name(volume_id))
    except NotFoundError:
        return None
    return _decode(identifier, stored, _name(volume_id))


def read_refs(store: BlobStore, identifier: Identifier) -> list[Ref]:
    """Return the refs of all volumes.

    Raises:
        IntegrityError: a ref is damaged.
    """
    names = [name for name, _ in store.list("refs")]
    return [_decode(identifier, store.read(name)[0], name) for name in names]


def volumes_with_refs(store: BlobStore) -> list[bytes]:
    """Return the ids of the volumes that have a ref, which may be damaged."""
    found = []
    for name, _ in store.list("refs"):
        with suppress(ValueError):  # half a digit too many: no ref of ours
            found.append(bytes.fromhex(name.rpartition("/")[2]))
    return found


def move_ref(store: BlobStore, identifier: Identifier, ref: Ref) -> None:
    """Make this the volume's ref; durable when this returns."""
    payload = encode(ref)
    stored = identifier.identify(Kind.REF, payload) + payload
    while True:
        try:
            _, token = store.read(_name(ref.volume_id))
        except NotFoundError:
            token = None
        try:
            store.replace(_name(ref.volume_id), stored, token)
        except ConflictError:
            continue
        return


def delete_ref(store: BlobStore, volume_id: bytes) -> None:
    """Remove a volume's ref; nothing happens where there is none."""
    store.delete(_name(volume_id))


def _name(volume_id: bytes) -> str:
    return f"refs/{volume_id.hex()}"


def _decode(identifier: Identifier, stored: bytes, name: str) -> Ref:
    payload = stored[_DIGEST_SIZE:]
    if identifier.identify(Kind.REF, payload) != stored[:_DIGEST_SIZE]:
        message = f"{name} is damaged: {REPAIR_HINT}"
        raise IntegrityError(message)
    ref = decode(payload, Ref)
    if _name(ref.volume_id) != name:
        message = f"{name} is the ref of another volume: {REPAIR_HINT}"
        raise IntegrityError(message)
    return ref
