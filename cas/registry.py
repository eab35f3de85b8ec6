"""The registry: a reserved volume whose records say which volumes there are, and much else.

`volumes/<name>` is a volume; what other parts keep there (users, tokens, grants) is theirs to
define. Being a tree like any other it is versioned, checked and recovered by the same machinery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from cas.catalog import Head, ReadTransaction
from cas.errors import AlreadyExistsError, InvalidError, NotFoundError
from cas.formats import NAME_SIZE_LIMIT, REGISTRY_ID
from cas.nodes import NodeStore, SeenNodes
from cas.objects import Entry, EntryKind, decode, encode
from cas.paths import Names
from cas.trees import TreeNodeSource, iterate, lookup

VOLUMES: Final = b"volumes"
EMPTY_ROOT: Final = Entry(EntryKind.DIRECTORY, 0, 0, 0o755, b"")
"""The root of a volume before its first change."""


class VolumeRecord(msgspec.Struct, array_like=True, frozen=True):
    """The registry's record of a volume: id, owner's name, quota in bytes or None, birth."""

    id: bytes
    owner: str
    quota: int | None
    created_ns: int


class VolumeInfo(msgspec.Struct, frozen=True):
    """What is known of a volume: `quota` in bytes, None for none; `created_ns` since 1970."""

    name: str
    id: bytes
    owner: str
    quota: int | None
    created_ns: int


REGISTRY_INFO: Final = VolumeInfo("", REGISTRY_ID, "", None, 0)


_Cached: TypeAlias = tuple[bytes | None, dict[str, VolumeInfo], dict[bytes, VolumeInfo]]
"""The registry's row of the heads, and what its tree holds: volumes by name and by id."""


class Registry:
    """The volumes, as any transaction sees them; decoded once per state. Shared by threads."""

    def __init__(self, nodes: NodeStore) -> None:
        self._nodes = nodes
        self._cached: _Cached = (None, {}, {})

    def volumes(self, transaction: ReadTransaction) -> Mapping[str, VolumeInfo]:
        """Return all volumes by name."""
        return self._volumes(transaction)[0]

    def volume(self, transaction: ReadTransaction, volume_id: bytes) -> VolumeInfo | None:
        """Return the volume of this id, the registry's own among them, or None if it is gone."""
        if volume_id == REGISTRY_ID:
            return REGISTRY_INFO
        return self._volumes(transaction)[1].get(volume_id)

    def _volumes(
        self, transaction: ReadTransaction
    ) -> tuple[dict[str, VolumeInfo], dict[bytes, VolumeInfo]]:
        row = transaction.head_row(REGISTRY_ID)
        known, by_name, by_id = self._cached
        if known != row:
            root = head_of(transaction, REGISTRY_ID).root.content
            by_name = self._load(SeenNodes(self._nodes, transaction), root)
            by_id = {volume.id: volume for volume in by_name.values()}
            self._cached = (row, by_name, by_id)
        return by_name, by_id

    def _load(self, nodes: TreeNodeSource, root: bytes) -> dict[str, VolumeInfo]:
        folder = lookup(nodes, root, VOLUMES)
        if folder is None:
            return {}
        return {
            name.decode(): _info(name.decode(), entry)
            for name, entry in iterate(nodes, folder.content)
        }


def head_of(transaction: ReadTransaction, volume_id: bytes) -> Head:
    """Return the volume's head, that of an empty volume where nothing was ever written."""
    return transaction.head(volume_id) or Head(EMPTY_ROOT)


def encode_record(record: VolumeRecord) -> bytes:
    """Return the bytes of a volume's record.

    Raises:
        InvalidError: the owner is no Unicode text, or the quota below 0 or beyond 64 bits.
    """
    if record.quota is not None and not 0 <= record.quota < 2**63:
        message = f"a quota of {record.quota} bytes is not possible"
        raise InvalidError(message)
    try:
        return encode(record)
    except UnicodeEncodeError as error:
        message = f"the owner {record.owner!r} is not Unicode text"
        raise InvalidError(message) from error


def volume_path(name: str) -> Names:
    """Return the path of a volume's record.

    Raises:
        InvalidError: the name cannot be a volume's.
    """
    encoded = name.encode(errors="surrogateescape")
    bad = not name or name.startswith(".") or "/" in name or not name.isprintable()
    if bad or name != name.strip() or len(encoded) > NAME_SIZE_LIMIT or ":" in name or "@" in name:
        message = (
            f"{name!r} cannot be a volume's name: take printable characters without / : @, "
            "not beginning with a dot, 255 bytes at most"
        )
        raise InvalidError(message)
    return (VOLUMES, encoded)


def _info(name: str, entry: Entry) -> VolumeInfo:
    record = decode(entry.content, VolumeRecord)
    return VolumeInfo(name, record.id, record.owner, record.quota, record.created_ns)


def refuse_another(entry: Entry | None, info: VolumeInfo) -> None:
    """Raise unless the record is still that of the volume: a new one of its name has another id."""
    if entry is None or decode(entry.content, VolumeRecord).id != info.id:
        message = f"the volume {info.name!r} has been deleted"
        raise NotFoundError(message)


def refuse_existing(entry: Entry | None, name: str) -> None:
    """Raise AlreadyExistsError if there is a record of this name."""
    if entry is not None:
        message = f"there is a volume {name!r} already"
        raise AlreadyExistsError(message)
