"""The epochs of a blob store that several gateways share: what a collection has condemned.

The object `epoch` is moved by compare-and-set. Whoever collects garbage condemns packs in it and
then fences every ref with its number: who moves a fenced ref knows this epoch, or a later one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from cas.catalog import KnownEpoch
from cas.errors import ConflictError, IntegrityError, NotFoundError
from cas.ids import Identifier, Kind
from cas.objects import decode, encode
from cas.stores.base import BlobStore, Token

EPOCH_NAME: Final = "epoch"
REMOVED_LIMIT: Final = 1 << 14
"""Removed packs that are told of: who was away for longer compares with a list of all packs."""
_DIGEST_SIZE: Final = 32


class Removal(msgspec.Struct, array_like=True, frozen=True):
    """Packs that were deleted by the time the epoch of this number began."""

    number: int
    packs: list[bytes]


class EpochRecord(msgspec.Struct, array_like=True, frozen=True):
    """The newest epoch. Times are nanoseconds since 1970 and nothing depends on them.

    In `condemned` packs nothing is to be found by whoever is about to store it; they stay there
    until they are deleted. Packs of `removed` are gone; removals of epochs up to `forgotten` are
    told of no more. `collector` and `host` name the gateway that collects garbage, empty where
    none does, `beat_ns` is when it last said so; `ended_ns` when the last collection ended.
    """

    number: int = 0
    condemned: list[bytes] = []
    removed: list[Removal] = []
    forgotten: int = 0
    collector: str = ""
    host: str = ""
    beat_ns: int = 0
    ended_ns: int = 0
    nonce: bytes = b""

    @property
    def known(self) -> KnownEpoch:
        """Return what a catalog keeps of it."""
        removed = [pack_id for removal in self.removed for pack_id in removal.packs]
        return KnownEpoch(self.condemned, removed, self.forgotten)

    def condemning(self, packs: Iterable[bytes]) -> EpochRecord:
        """Return the next epoch, in which these packs are condemned too."""
        condemned = sorted({*self.condemned, *packs})
        return msgspec.structs.replace(self, number=self.number + 1, condemned=condemned)

    def removing(self, packs: Collection[bytes]) -> EpochRecord:
        """Return the next epoch, in which these condemned packs are gone."""
        gone = sorted(set(packs).intersection(self.condemned))
        removed = [*self.removed, Removal(self.number + 1, gone)]
        forgotten = self.forgotten
        while len(removed) > 1 and sum(len(each.packs) for each in removed) > REMOVED_LIMIT:
            forgotten = removed.pop(0).number
        return msgspec.structs.replace(
            self,
            number=self.number + 1,
            condemned=[pack_id for pack_id in self.condemned if pack_id not in set(gone)],
            removed=removed,
            forgotten=forgotten,
        )


def open_payload(identifier: Identifier, name: str, stored: bytes) -> bytes:
    """Return what `close_payload` was given for the object of this name.

    Raises:
        IntegrityError: the bytes are damaged, or another object's.
    """
    if identifier.sealing is not None:
        stored = identifier.sealing.open(name.encode(), stored)
    payload = stored[_DIGEST_SIZE:]
    if identifier.identify(Kind.REF, payload) != stored[:_DIGEST_SIZE]:
        message = f"the object `{name}` is damaged"
        raise IntegrityError(message)
    return payload


def close_payload(identifier: Identifier, name: str, payload: bytes) -> bytes:
    """Return the bytes of a mutable object: with a digest, and sealed where there are keys."""
    stored = identifier.identify(Kind.REF, payload) + payload
    return stored if identifier.sealing is None else identifier.sealing.seal(name.encode(), stored)


def read_epoch(store: BlobStore, identifier: Identifier) -> tuple[EpochRecord, Token | None]:
    """Return the newest epoch and the token of that state; None where no collection ever ran.

    Raises:
        IntegrityError: the record is damaged.
        StoreError: the blob store cannot be reached.
    """
    try:
        stored, token = store.read(EPOCH_NAME)
    except NotFoundError:
        return EpochRecord(), None
    return decode(open_payload(identifier, EPOCH_NAME, stored), EpochRecord), token


def write_epoch(
    store: BlobStore, identifier: Identifier, record: EpochRecord, expected: Token | None
) -> None:
    """Make this the newest record if the one there is still the expected.

    Raises:
        ConflictError: it is not.
        StoreError: it may have been written, or not.
    """
    payload = encode(msgspec.structs.replace(record, nonce=secrets.token_bytes(16)))
    store.replace(EPOCH_NAME, close_payload(identifier, EPOCH_NAME, payload), expected)


def update_epoch(
    store: BlobStore, identifier: Identifier, change: Callable[[EpochRecord], EpochRecord]
) -> EpochRecord:
    """Change the record as the function says, which may be asked again; return the new one.

    Raises:
        StoreError: it may have been written, or not.
        CasError: what the function raises.
    """
    while True:
        record, token = read_epoch(store, identifier)
        changed = change(record)
        if changed == record:
            return record
        try:
            write_epoch(store, identifier, changed, token)
        except ConflictError:
            continue
        return changed
