"""Keys: from a passphrase or key file to all that an encrypted repository computes with.

A random key, the repository's, opens the ring of its secrets, and is wrapped once in each slot of
the config. So passwords come and go without a byte of data being written again.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cas.errors import CasError, FormatError, InvalidError, WrongKeyError
from cas.formats import SHARED, EncryptedConfig, KeySlot, RepositoryConfig, decode_config
from cas.ids import Identifier
from cas.objects import decode, encode
from cas.sealing import KEY_SIZE, Sealing

KEY_FILE_SIZE: Final = 32
"""Bytes of a key file, neither more nor less."""
_SALT_SIZE: Final = 16
_NONCE_SIZE: Final = 12
_PASSES, _MEMORY_KIB, _LANES = 3, 64 * 1024, 1
_PASSES_LIMIT, _MEMORY_LIMIT_KIB, _LANES_LIMIT = 100, 4 * 1024 * 1024, 64
"""What a config may ask of a reader, so that a forged one cannot take all memory."""
_RING_PURPOSE: Final = b"casdav 2026-11-23 key ring"
_SLOT_PURPOSE: Final = b"casdav 2026-11-23 key slot"
_KEY_FILE_CONTEXT: Final = "casdav 2026-11-23 key file"
_SERVER_CONTEXT: Final = "casdav 2026-11-23 secret of the server"
_TREE_CONTEXT: Final = "casdav 2026-11-23 tree seed"
_CHUNK_CONTEXT: Final = "casdav 2026-11-23 chunking seed"
_SEED_MASK: Final = 2**63 - 1


@dataclass(frozen=True)
class Passphrase:
    """What a person types; compared after Unicode normalisation (NFC)."""

    text: str = field(repr=False)
    passes: int = _PASSES
    memory_kib: int = _MEMORY_KIB
    lanes: int = _LANES


@dataclass(frozen=True)
class KeyFile:
    """The content of a key file: 32 random bytes."""

    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse another size.

        Raises:
            WrongKeyError: the content cannot be that of a key file.
        """
        if len(self.content) != KEY_FILE_SIZE:
            message = f"a key file has {KEY_FILE_SIZE} bytes, this one has {len(self.content)}"
            raise WrongKeyError(message)


@dataclass(frozen=True)
class RepositoryKey:
    """The repository's own key, for processes that one which has it open starts."""

    key: bytes = field(repr=False)


NewKey: TypeAlias = Passphrase | KeyFile
"""What a slot can be made for."""

Credential: TypeAlias = Passphrase | KeyFile | RepositoryKey
"""What opens an encrypted repository."""

Unlock: TypeAlias = Callable[[], Credential]
"""Asked for a credential, once, where a repository is encrypted."""


class KeyRing(msgspec.Struct, array_like=True, frozen=True):
    """All secrets of an encrypted repository.

    `root` (32 bytes) is what ids, seeds and names come from and never changes. `masters` are the
    keys that seal, numbered from 1: the last one seals what is new. `generation` counts the
    changes of keys and slots.
    """

    root: bytes
    masters: list[bytes]
    generation: int = 1

    @property
    def by_number(self) -> dict[int, bytes]:
        """The master keys by number."""
        return dict(enumerate(self.masters, 1))


class OpenKeys(NamedTuple):
    """What a repository computes with; `key` and `ring` are None where it is not encrypted."""

    config: RepositoryConfig
    identifier: Identifier
    chunk_seed: int = 0
    key: RepositoryKey | None = None
    ring: KeyRing | None = None

    def unlock(self) -> RepositoryKey:
        """Return what opens the repository once more, without asking anybody."""
        if self.key is None:
            raise InvalidError("the repository is not encrypted")
        return self.key


def open_keys(read: Callable[[], bytes], unlock: Unlock | None) -> OpenKeys:
    """Return what a repository computes with; `read` returns its config document.

    Raises:
        WrongKeyError: it is encrypted and there is no credential, or none of its slots takes it.
        FormatError: the document is damaged, or needs a newer program.
    """
    config = decode_config(read())
    if isinstance(config, RepositoryConfig):
        return OpenKeys(config, Identifier())
    if unlock is None:
        raise WrongKeyError("the repository is encrypted: a password or key file is needed")
    key = unlocked(config, unlock())
    ring = open_ring(config, key)

    def renew() -> Mapping[int, bytes]:
        newer = decode_config(read())
        if isinstance(newer, RepositoryConfig):
            return {}
        return open_ring(newer, key).by_number

    sealing = Sealing(config.identity, ring.by_number, ring.root, renew)
    view = RepositoryConfig(
        version=config.version,
        identity=config.identity,
        secret=_derived(ring.root, _SERVER_CONTEXT),
        tree_seed=_seed(ring.root, _TREE_CONTEXT),
        created=config.created,
        write_features=config.write_features,
        incompatible=config.incompatible,
    )
    seed = _seed(ring.root, _CHUNK_CONTEXT)
    return OpenKeys(view, Identifier(ring.root, sealing), seed, key, ring)


def new_encrypted_config(
    created: str, credential: NewKey, *, is_shared: bool = False
) -> EncryptedConfig:
    """Return the config of a new encrypted repository that this credential opens.

    Raises:
        InvalidError: the passphrase is empty.
    """
    identity = secrets.token_bytes(16)
    key = RepositoryKey(secrets.token_bytes(KEY_SIZE))
    ring = KeyRing(secrets.token_bytes(KEY_SIZE), [secrets.token_bytes(KEY_SIZE)])
    slot = new_slot(identity, key, credential, created)
    sealed = seal_ring(identity, key, ring)
    features = [SHARED] if is_shared else []
    return EncryptedConfig(
        identity=identity, created=created, ring=sealed, slots=[slot], write_features=features
    )


def new_slot(
    identity: bytes, key: RepositoryKey, credential: NewKey, created: str, label: str = ""
) -> KeySlot:
    """Return a slot from which the credential gets the repository's key.

    Raises:
        InvalidError: the passphrase is empty.
    """
    slot = KeySlot(
        id=secrets.token_hex(4),
        kind="key file" if isinstance(credential, KeyFile) else "passphrase",
        label=label,
        created=created,
        salt=secrets.token_bytes(_SALT_SIZE),
        wrapped=b"",
    )
    if isinstance(credential, Passphrase):
        if not credential.text:
            raise InvalidError("the passphrase is empty")
        slot = msgspec.structs.replace(
            slot,
            passes=credential.passes,
            memory_kib=credential.memory_kib,
            lanes=credential.lanes,
        )
    nonce = secrets.token_bytes(_NONCE_SIZE)
    purpose = _slot_purpose(identity, slot)
    wrapped = nonce + AESGCM(_slot_key(slot, credential)).encrypt(nonce, key.key, purpose)
    return msgspec.structs.replace(slot, wrapped=wrapped)


def unlocked(config: EncryptedConfig, credential: Credential) -> RepositoryKey:
    """Return the repository's key.

    Raises:
        WrongKeyError: no slot takes the credential.
        FormatError: a slot asks for what no program would have written.
    """
    if isinstance(credential, RepositoryKey):
        return credential
    return slot_of(config, credential)[1]


def slot_of(config: EncryptedConfig, credential: NewKey) -> tuple[KeySlot, RepositoryKey]:
    """Return the slot that takes the credential, and the repository's key.

    Raises:
        WrongKeyError: none does.
    """
    kind = "key file" if isinstance(credential, KeyFile) else "passphrase"
    for slot in config.slots:
        if slot.kind != kind:
            continue
        nonce, wrapped = slot.wrapped[:_NONCE_SIZE], slot.wrapped[_NONCE_SIZE:]
        try:
            purpose = _slot_purpose(config.identity, slot)
            key = AESGCM(_slot_key(slot, credential)).decrypt(nonce, wrapped, purpose)
            return slot, RepositoryKey(key)
        except (InvalidTag, ValueError):
            continue
    what = "key file" if isinstance(credential, KeyFile) else "password"
    message = f"the {what} does not open this repository: none of its keys takes it"
    raise WrongKeyError(message)


def seal_ring(identity: bytes, key: RepositoryKey, ring: KeyRing) -> bytes:
    """Return a ring as the config keeps it."""
    nonce = secrets.token_bytes(_NONCE_SIZE)
    return nonce + AESGCM(key.key).encrypt(nonce, encode(ring), _RING_PURPOSE + identity)


def open_ring(config: EncryptedConfig, key: RepositoryKey) -> KeyRing:
    """Return the ring of a config.

    Raises:
        WrongKeyError: the key does not open it.
    """
    nonce, sealed = config.ring[:_NONCE_SIZE], config.ring[_NONCE_SIZE:]
    try:
        purpose = _RING_PURPOSE + config.identity
        return decode(AESGCM(key.key).decrypt(nonce, sealed, purpose), KeyRing)
    except (InvalidTag, ValueError, CasError) as error:
        raise WrongKeyError(
            "the key does not open the repository's secrets: its keys were changed meanwhile, "
            "or its config is damaged"
        ) from error


def _slot_purpose(identity: bytes, slot: KeySlot) -> bytes:
    return _SLOT_PURPOSE + identity + slot.kind.encode()


def _slot_key(slot: KeySlot, credential: NewKey) -> bytes:
    if isinstance(credential, KeyFile):
        return _derived(credential.content + slot.salt, _KEY_FILE_CONTEXT)
    is_sane = (
        0 < slot.passes <= _PASSES_LIMIT
        and 0 < slot.memory_kib <= _MEMORY_LIMIT_KIB
        and 0 < slot.lanes <= _LANES_LIMIT
    )
    if not is_sane:
        message = f"the key {slot.id} asks for more work than any program would have written"
        raise FormatError(message)
    typed = unicodedata.normalize("NFC", credential.text).encode("utf-8", "surrogateescape")
    try:
        return Argon2id(
            salt=slot.salt,
            length=KEY_SIZE,
            iterations=slot.passes,
            lanes=slot.lanes,
            memory_cost=slot.memory_kib,
        ).derive(typed)
    except (UnsupportedAlgorithm, MemoryError) as error:
        message = f"Argon2id cannot be computed here: {error}"
        raise WrongKeyError(message) from error


def _derived(material: bytes, context: str) -> bytes:
    return blake3(material, derive_key_context=context).digest()


def _seed(root: bytes, context: str) -> int:
    return int.from_bytes(_derived(root, context)[:8], "little") & _SEED_MASK
