"""The keys of an encrypted repository: slots that come and go, and new keys that seal.

Each of these writes the config once, by compare-and-set: it is as it was before, or as it is to be.
Servers at work go on meanwhile; what they write is sealed with the key they were started with.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from cas.clock import Clock, SystemClock
from cas.errors import InvalidError, NotFoundError
from cas.formats import EncryptedConfig, KeySlot, RepositoryConfig, decode_config, encode_config
from cas.keys import (
    KeyRing,
    NewKey,
    RepositoryKey,
    Unlock,
    new_slot,
    open_ring,
    seal_ring,
    slot_of,
    unlocked,
)
from cas.sealing import KEY_SIZE
from cas.stores.base import BlobStore, Token
from cas.stores.names import CONFIG_NAME
from cas.stores.opening import open_store


class KeyInfo(NamedTuple):
    """A slot as people see it: `kind` is `passphrase` or `key file`, `created` RFC 3339."""

    id: str
    kind: str
    label: str
    created: str


class Rotation(NamedTuple):
    """What a rotation did: the number of the key that seals from now on, the slots that went."""

    key_number: int
    dropped: list[KeyInfo]


def list_keys(location: str | Path) -> list[KeyInfo]:
    """Return the slots of an encrypted repository, the oldest first; needs no key.

    Raises:
        NotFoundError: there is no repository.
        InvalidError: it is not encrypted.
    """
    return [_info(slot) for slot in _config(_read(open_store(location))[0]).slots]


def export_config(location: str | Path) -> bytes:
    """Return the config of a repository, to be kept elsewhere: without one nothing can be read.

    It is as safe as the weakest of the passphrases in it.

    Raises:
        NotFoundError: there is no repository.
        InvalidError: it is not encrypted.
    """
    document = _read(open_store(location))[0]
    _config(document)
    return document


def add_key(
    location: str | Path,
    unlock: Unlock,
    credential: NewKey,
    *,
    label: str = "",
    clock: Clock | None = None,
) -> KeyInfo:
    """Let one more passphrase or key file open the repository.

    Raises:
        WrongKeyError: it does not open with what `unlock` returned.
        InvalidError: it is not encrypted, or the passphrase is empty.
        ConflictError: somebody else has changed the keys meanwhile.
    """
    created = _now(clock)

    def add(config: EncryptedConfig, key: RepositoryKey) -> EncryptedConfig:
        slot = new_slot(config.identity, key, credential, created, label)
        return _changed(config, key, slots=[*config.slots, slot])

    return _info(_update(location, unlock, add).slots[-1])


def remove_key(location: str | Path, unlock: Unlock, slot_id: str) -> KeyInfo:
    """Let a slot go: what opened the repository by it does not any more.

    Whoever opened it before may have kept its key: see `rotate_key`.

    Raises:
        NotFoundError: there is no such slot.
        InvalidError: it is the last one, or the repository is not encrypted.
        WrongKeyError: it does not open with what `unlock` returned.
        ConflictError: somebody else has changed the keys meanwhile.
    """
    gone: list[KeySlot] = []

    def remove(config: EncryptedConfig, key: RepositoryKey) -> EncryptedConfig:
        gone[:] = [slot for slot in config.slots if slot.id == slot_id]
        if not gone:
            message = f"there is no key {slot_id!r}: see `casdav key list`"
            raise NotFoundError(message)
        if len(config.slots) == 1:
            raise InvalidError(
                "this is the last key: without it nobody could ever read the repository again; "
                "add another one first"
            )
        return _changed(config, key, slots=[slot for slot in config.slots if slot.id != slot_id])

    _update(location, unlock, remove)
    return _info(gone[0])


def rotate_key(location: str | Path, unlock: Unlock, *, drop_others: bool = False) -> Rotation:
    """Seal with a new key from now on; collections write anew, over time, what older ones sealed.

    With `drop_others` the repository's own key is new too, and only the slot that `unlock`'s
    credential opens is left: who had the old one cannot read what is written from now on.

    Raises:
        WrongKeyError: it does not open with what `unlock` returned.
        InvalidError: it is not encrypted.
        ConflictError: somebody else has changed the keys meanwhile.
    """
    dropped: list[KeyInfo] = []
    list_keys(location)  # before anybody is asked
    credential = unlock()

    def rotate(config: EncryptedConfig, key: RepositoryKey) -> EncryptedConfig:
        ring = open_ring(config, key)
        masters = [*ring.masters, secrets.token_bytes(KEY_SIZE)]
        if not drop_others:
            return _changed(config, key, masters=masters)
        if isinstance(credential, RepositoryKey):
            raise InvalidError("to drop other keys, a passphrase or key file is needed")
        kept, _ = slot_of(config, credential)
        dropped[:] = [_info(slot) for slot in config.slots if slot.id != kept.id]
        new_key = RepositoryKey(secrets.token_bytes(KEY_SIZE))
        slot = new_slot(config.identity, new_key, credential, kept.created, kept.label)
        changed = KeyRing(ring.root, masters, ring.generation + 1)
        sealed = seal_ring(config.identity, new_key, changed)
        return msgspec.structs.replace(config, ring=sealed, slots=[slot])

    numbers: list[int] = []

    def count(config: EncryptedConfig, key: RepositoryKey) -> EncryptedConfig:
        numbers[:] = [len(open_ring(config, key).masters) + 1]
        return rotate(config, key)

    _update(location, lambda: credential, count)
    return Rotation(numbers[0], dropped)


def _update(
    location: str | Path,
    unlock: Unlock,
    change: Callable[[EncryptedConfig, RepositoryKey], EncryptedConfig],
) -> EncryptedConfig:
    store = open_store(location)
    document, token = _read(store)
    config = _config(document)
    changed = change(config, unlocked(config, unlock()))
    store.replace(CONFIG_NAME, encode_config(changed), token)
    return changed


def _changed(
    config: EncryptedConfig,
    key: RepositoryKey,
    *,
    slots: list[KeySlot] | None = None,
    masters: list[bytes] | None = None,
) -> EncryptedConfig:
    """Return a config with other slots or master keys, and a ring that counts the change."""
    ring = open_ring(config, key)
    changed = KeyRing(ring.root, masters or ring.masters, ring.generation + 1)
    sealed = seal_ring(config.identity, key, changed)
    return msgspec.structs.replace(config, ring=sealed, slots=slots or config.slots)


def _read(store: BlobStore) -> tuple[bytes, Token]:
    try:
        return store.read(CONFIG_NAME)
    except NotFoundError as error:
        message = f"there is no repository at {store.location}: make one with `casdav init`"
        raise NotFoundError(message) from error


def _config(document: bytes) -> EncryptedConfig:
    config = decode_config(document)
    if isinstance(config, RepositoryConfig):
        raise InvalidError("the repository is not encrypted: it has no keys")
    return config


def _info(slot: KeySlot) -> KeyInfo:
    return KeyInfo(slot.id, slot.kind, slot.label, slot.created)


def _now(clock: Clock | None) -> str:
    now_ns = (clock or SystemClock()).now_ns()
    return datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="seconds")
