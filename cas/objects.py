"""The objects of the Merkle tree and their encoding: MessagePack arrays, strict on decode.

Every object is a msgspec Struct encoded as an array in field order, so that equal objects have
equal bytes and hence equal ids. A field may be added at the end with a default; none is ever
removed, reordered or given another meaning (see FORMAT.md, "Objects").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, TypeVar

import msgspec

from cas.errors import FormatError
from cas.structs import decoder_of

INLINE_PROPERTIES_LIMIT: Final = 1024
"""Bytes of encoded dead properties kept in the entry itself; longer ones become a chunk."""


class EntryKind(IntEnum):
    """What a name in a directory is. The numbers are format.

    A file of one chunk has no file node: its content id is the chunk's own. An empty file has
    no content at all.
    """

    DIRECTORY = 1
    EMPTY_FILE = 2
    CHUNK_FILE = 3
    NODE_FILE = 4
    SYMLINK = 5
    RECORD = 6


FILE_MODE: Final = 0o644
DIRECTORY_MODE: Final = 0o755
SYMLINK_MODE: Final = 0o777
MODE_BITS: Final = 0o7777
"""What an entry's `mode` may hold: permissions, set-id and sticky bits."""

_FILE_KINDS: Final = frozenset({EntryKind.EMPTY_FILE, EntryKind.CHUNK_FILE, EntryKind.NODE_FILE})


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a directory says of one name: all that a listing shows, nothing needs a second read.

    `size` is bytes of content; of a directory, the bytes of all files below. `content` is, by
    kind: the root id of a directory's tree (empty for an empty directory), a file's content id,
    a symlink's target, a record's bytes. Times are nanoseconds since the epoch, UTC; `created_ns`
    is 0 where unknown. `mode` is the permission bits. `content_type` is empty where the client
    named none. `properties` holds the encoded dead properties, `properties_id` the chunk that
    does when they are long. `files` and `folders` count what lies below a directory.
    """

    kind: EntryKind
    size: int
    mtime_ns: int
    mode: int
    content: bytes
    created_ns: int = 0
    content_type: str = ""
    properties: bytes = b""
    properties_id: bytes = b""
    files: int = 0
    folders: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether the entry is a directory."""
        return self.kind is EntryKind.DIRECTORY

    @property
    def is_file(self) -> bool:
        """Whether the entry is a regular file."""
        return self.kind in _FILE_KINDS

    @property
    def file_count(self) -> int:
        """Regular files, symlinks and records that the entry adds to its parent's sums."""
        return self.files if self.kind is EntryKind.DIRECTORY else 1

    @property
    def folder_count(self) -> int:
        """Folders that the entry adds to its parent's sums, itself among them."""
        return self.folders + 1 if self.kind is EntryKind.DIRECTORY else 0


class Child(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A tree node as its parent node names it, with the sums below it.

    `entries` counts the names of this directory in the subtree; `files`, `folders` and `size`
    are the sums over those names and everything below them.
    """

    id: bytes
    entries: int
    files: int
    folders: int
    size: int


class TreeNode(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A node of a directory's tree: a leaf (level 0) of entries or an inner node of children.

    `names` are sorted bytes: of a leaf the entries' own, of an inner node the last name of each
    child. Exactly one of `entries` and `children` is used and is as long as `names`.
    """

    level: int
    names: list[bytes]
    entries: list[Entry]
    children: list[Child]


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run of equal chunks in a file: the chunk, its length in bytes, how often it repeats."""

    id: bytes
    length: int
    repeat: int


class Span(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A child of an inner file node: its id and the bytes of content below it."""

    id: bytes
    size: int


class FileNode(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A node of a file's chunk list: a leaf (level 0) of pieces or an inner node of spans."""

    level: int
    pieces: list[Piece]
    spans: list[Span]


class Content(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Stored bytes of a file: what an upload yields and a put attaches to a path."""

    kind: EntryKind
    size: int
    id: bytes


EMPTY_CONTENT: Final = Content(EntryKind.EMPTY_FILE, 0, b"")

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_Decoded = TypeVar("_Decoded")


def encode(value: object) -> bytes:
    """Return the canonical MessagePack bytes of an object."""
    return _encoder.encode(value)


def decode(encoded: bytes | memoryview, expected: type[_Decoded]) -> _Decoded:
    """Return the object of the expected type that the bytes hold.

    Raises:
        FormatError: the bytes are not such an object.
    """
    decoder = decoder_of(expected)
    try:
        return decoder.decode(encoded)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not a valid {expected.__name__}: {error}") from error


def encode_properties(properties: Mapping[str, str]) -> bytes:
    """Return the bytes that an entry keeps for its dead properties; none for an empty mapping."""
    return _encoder.encode(dict(properties)) if properties else b""


def decode_properties(encoded: bytes) -> dict[str, str]:
    """Return the dead properties that `encode_properties` encoded."""
    return decode(encoded, dict[str, str]) if encoded else {}
