"""Versions, limits and the repository's config document: what every reader must agree on.

The numbers here are format: FORMAT.md explains each. A program refuses a repository with a
feature that it does not know; one that only writers must know will not keep readers out once
there is a way to open a repository for reading only.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

import msgspec

from cas.errors import FormatError

FORMAT_VERSION: Final = 1
ENCRYPTED: Final = "encrypted"
SHARED: Final = "shared"
"""The feature of repositories that several gateways write to."""
"""Name of the feature, in a config's `incompatible`, that everything is sealed."""
_KNOWN_FEATURES: Final = frozenset({ENCRYPTED, SHARED})
KiB: Final = 1024
MiB: Final = 1024 * KiB

PACK_SIZE_TARGET: Final = 32 * MiB
"""Bytes after which a pack is sealed."""
PACK_RECORD_LIMIT: Final = 8192
"""Records after which a pack is sealed."""
PLAIN_SIZE_LIMIT: Final = 16 * MiB
"""Bytes that one record may hold once decompressed; a reader allocates no more than this."""
NAME_SIZE_LIMIT: Final = 255
"""Bytes of one name in a directory."""
SYMLINK_SIZE_LIMIT: Final = 4096
"""Bytes of a symlink's target."""
RECORD_SIZE_LIMIT: Final = 16 * KiB
"""Bytes of a record of the registry."""
PROPERTIES_SIZE_LIMIT: Final = MiB
"""Bytes of all dead properties of one entry, encoded."""
LABEL_SIZE_LIMIT: Final = 255
"""Bytes of a content type, an author's or a device's name."""
PATH_DEPTH_LIMIT: Final = 255
"""Names in one path."""

TREE_BORDER_BITS: Final = 5
"""Low zero bits of a name's hash that end a tree node, once more for each level up."""
TREE_NODE_LIMIT: Final = 512
"""Names after which a tree node ends without a border."""
FILE_BORDER_BITS: Final = 7
"""Low zero bits of a chunk id that end a file node, once more for each level up."""
FILE_NODE_LIMIT: Final = 512
"""Pieces after which a file node ends without a border."""

COLLECTION_LOCK: Final = "collection.lock"
"""File in the local part that is locked by whoever collects, and while packs must stay."""
REPLICATION_LOCK: Final = "replication.lock"
"""File in the local part that is locked by whoever replicates."""
DAMAGE_MARK: Final = "damage.found"
"""File in the local part that is there when the last check found something missing or damaged."""
REGISTRY_ID: Final = bytes(16)
"""Volume id of the registry, the reserved volume of users, tokens, volumes and grants."""


class RepositoryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The document `config` at a repository's root: JSON, written once, mode 0600.

    `identity` names the repository (16 bytes). `secret` (32 bytes) keys the hashes of app
    passwords and signs tokens; `tree_seed` seeds the hash that splits directories. Feature
    names unknown to a program stop it: from reading (`incompatible`, `read_features`) or only
    from writing (`write_features`).
    """

    format: str = "casdav"
    version: int = FORMAT_VERSION
    identity: bytes
    secret: bytes
    tree_seed: int
    created: str
    read_features: list[str] = []
    write_features: list[str] = []
    incompatible: list[str] = []


class KeySlot(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the key of an encrypted repository: `wrapped` is the key, sealed under another.

    That other key is made of a passphrase, by Argon2id with `salt` (16 bytes), `passes`,
    `memory_kib` and `lanes`, or of a key file and the salt. `id` are 8 hex digits.
    """

    id: str
    kind: Literal["passphrase", "key file"]
    label: str = ""
    created: str = ""
    salt: bytes
    passes: int = 0
    memory_kib: int = 0
    lanes: int = 0
    wrapped: bytes


class EncryptedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The document `config` of an encrypted repository; it changes with its key slots.

    `ring` holds all its secrets, sealed with the key that each of the slots gives.
    """

    format: str = "casdav"
    version: int = FORMAT_VERSION
    identity: bytes
    created: str
    ring: bytes
    slots: list[KeySlot]
    read_features: list[str] = []
    write_features: list[str] = []
    incompatible: list[str] = msgspec.field(default_factory=lambda: [ENCRYPTED])


def new_config(created: str, *, is_shared: bool = False) -> RepositoryConfig:
    """Return the config of a new repository with fresh random secrets."""
    return RepositoryConfig(
        identity=secrets.token_bytes(16),
        secret=secrets.token_bytes(32),
        tree_seed=secrets.randbits(63),
        created=created,
        write_features=[SHARED] if is_shared else [],
    )


def encode_config(config: RepositoryConfig | EncryptedConfig) -> bytes:
    """Return the config document's bytes."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


class FormatStamp(msgspec.Struct):
    """The part of the config that every version can read: version and features."""

    format: str
    version: int
    identity: bytes = b""
    read_features: list[str] = []
    write_features: list[str] = []
    incompatible: list[str] = []


def decode_stamp(document: bytes) -> FormatStamp:
    """Return which format a repository has, by its config, if this program knows it.

    Raises:
        FormatError: it is not a casdav repository's, or needs a newer program.
    """
    try:
        stamp = msgspec.json.decode(document, type=FormatStamp)
    except msgspec.DecodeError as error:
        message = f"the repository's config is not readable: {error}"
        raise FormatError(message) from error
    if stamp.format != "casdav":
        message = f"this is not a casdav repository: its config says {stamp.format!r}"
        raise FormatError(message)
    # There is no way to open a repository for reading only yet: what may not be written is refused.
    features = (*stamp.incompatible, *stamp.read_features, *stamp.write_features)
    unknown = [name for name in features if name not in _KNOWN_FEATURES]
    if stamp.version > FORMAT_VERSION or unknown:
        needs = f"features {', '.join(unknown)}" if unknown else f"format {stamp.version}"
        message = (
            f"the repository uses {needs}, this program knows format {FORMAT_VERSION}: "
            "use a newer casdav"
        )
        raise FormatError(message)
    return stamp


def decode_config(document: bytes) -> RepositoryConfig | EncryptedConfig:
    """Return the config that the document holds, if this program can work with it.

    Raises:
        FormatError: it is not a casdav repository's, or needs a newer program, or an upgrade.
    """
    stamp = decode_stamp(document)
    if stamp.version < FORMAT_VERSION:
        message = (
            f"the repository has format {stamp.version}, this program works with format "
            f"{FORMAT_VERSION}: make a copy of it, then run `casdav upgrade`"
        )
        raise FormatError(message)
    try:
        if ENCRYPTED in stamp.incompatible:
            return msgspec.json.decode(document, type=EncryptedConfig)
        return msgspec.json.decode(document, type=RepositoryConfig)
    except msgspec.DecodeError as error:
        message = f"the repository's config is damaged: {error}"
        raise FormatError(message) from error
