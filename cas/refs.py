"""Refs: small mutable objects, one per volume, that name its newest commit.

In an encrypted repository they are sealed, and called by a keyed hash of the volume's id.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from cas.errors import REPAIR_HINT, ConflictError, IntegrityError, NotFoundError
from cas.ids import Identifier, Kind, ObjectId
from cas.objects import decode, encode
from cas.pack_index import NamedPack
from cas.stores.base import BlobStore

_DIGEST_SIZE: Final = 32
_Ref = TypeVar("_Ref", bound="Ref")


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


class SharedRef(Ref, array_like=True, frozen=True, gc=False):
    """The ref of a volume that several gateways write to.

    With an empty `commit` nothing has been committed yet. Whoever moves it knows what the
    collection of epoch `min_epoch` and all before it have condemned. `packs` are those that the
    last commits brought, the newest last.
    """

    min_epoch: int = 0
    packs: list[NamedPack] = []


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
        stored, _ = store.read(ref_name(identifier, volume_id))
    except NotFoundError:
        return None
    return decode_ref(identifier, stored, ref_name(identifier, volume_id), Ref)


def read_refs(store: BlobStore, identifier: Identifier) -> list[Ref]:
    """Return the refs of all volumes.

    Raises:
        IntegrityError: a ref is damaged.
    """
    names = [name for name, _ in store.list("refs")]
    return [read_named_ref(store, identifier, name) for name in names]


def read_named_ref(store: BlobStore, identifier: Identifier, name: str) -> Ref:
    """Return the ref of this name in the store.

    Raises:
        NotFoundError: there is none any more.
        IntegrityError: the ref is damaged.
    """
    return decode_ref(identifier, store.read(name)[0], name, Ref)


def volumes_with_refs(store: BlobStore, identifier: Identifier) -> list[bytes]:
    """Return the ids of the volumes that have a ref, which may be damaged.

    Of a damaged ref that was encrypted, nobody knows whose it is: it is not among them.
    """
    found = []
    for name, _ in store.list("refs"):
        if identifier.sealing is not None:
            with suppress(NotFoundError, IntegrityError):
                found.append(read_named_ref(store, identifier, name).volume_id)
            continue
        with suppress(ValueError):  # half a digit too many: no ref of ours
            found.append(bytes.fromhex(name.rpartition("/")[2]))
    return found


def move_ref(store: BlobStore, identifier: Identifier, ref: Ref) -> None:
    """Make this the volume's ref; durable when this returns."""
    name = ref_name(identifier, ref.volume_id)
    stored = encode_ref(identifier, ref)
    while True:
        try:
            _, token = store.read(name)
        except NotFoundError:
            token = None
        try:
            store.replace(name, stored, token)
        except ConflictError:
            continue
        return


def delete_ref(store: BlobStore, identifier: Identifier, volume_id: bytes) -> None:
    """Remove a volume's ref; nothing happens where there is none."""
    store.delete(ref_name(identifier, volume_id))


def ref_name(identifier: Identifier, volume_id: bytes) -> str:
    """Return the name of a volume's ref in the store."""
    sealing = identifier.sealing
    shown = volume_id if sealing is None else sealing.name("ref", volume_id)
    return f"refs/{shown.hex()}"


def encode_ref(identifier: Identifier, ref: Ref) -> bytes:
    """Return a ref's bytes as the store keeps them."""
    payload = encode(ref)
    stored = identifier.identify(Kind.REF, payload) + payload
    if identifier.sealing is None:
        return stored
    return identifier.sealing.seal(ref_name(identifier, ref.volume_id).encode(), stored)


def decode_ref(identifier: Identifier, stored: bytes, name: str, expected: type[_Ref]) -> _Ref:
    """Return the ref that the store keeps under this name.

    Raises:
        IntegrityError: it is damaged, or another volume's.
    """
    if identifier.sealing is not None:
        try:
            stored = identifier.sealing.open(name.encode(), stored)
        except IntegrityError as error:
            message = f"{name} is damaged: {REPAIR_HINT}"
            raise IntegrityError(message) from error
    payload = stored[_DIGEST_SIZE:]
    if identifier.identify(Kind.REF, payload) != stored[:_DIGEST_SIZE]:
        message = f"{name} is damaged: {REPAIR_HINT}"
        raise IntegrityError(message)
    ref = decode(payload, expected)
    if ref_name(identifier, ref.volume_id) != name:
        message = f"{name} is the ref of another volume: {REPAIR_HINT}"
        raise IntegrityError(message)
    return ref
