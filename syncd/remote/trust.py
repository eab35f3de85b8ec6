"""What the server says, before it is used: names, ids, sizes.

A server may be somebody else's, or broken into. Its names become names on this disk and its bytes
become files, so that both are looked at here, once.
"""

from __future__ import annotations

from typing import Final

import cas
from cas import wire
from syncd.remote.errors import UntrustedError

_NAME_SIZE_LIMIT: Final = 255
_DEPTH_LIMIT: Final = 255
_ID_SIZE: Final = 32
_LATEST_NS: Final = 2**63
_TARGET_SIZE_LIMIT: Final = 4096


def check_path(path: bytes) -> None:
    """Raise unless this is a path below the linked folder, in its one plain form.

    Raises:
        UntrustedError: it is empty or absolute, or a name is empty, `.`, `..`, too long, or holds
            a NUL.
    """
    names = path.split(b"/")
    if len(names) > _DEPTH_LIMIT:
        raise UntrustedError("the server sent a path of too many names")
    for name in names:
        if name in {b"", b".", b".."} or b"\0" in name or len(name) > _NAME_SIZE_LIMIT:
            raise UntrustedError(f"the server sent {path!r}, which is no path in a folder")


def check_entry(entry: wire.RemoteEntry) -> None:
    """Raise unless the parts of an entry can belong together.

    Raises:
        UntrustedError: they cannot.
    """
    is_right = len(entry.id) == _ID_SIZE and entry.size >= 0
    is_right = is_right and -_LATEST_NS <= entry.mtime_ns < _LATEST_NS
    match entry.kind:
        case cas.EntryKind.CHUNK_FILE:
            is_right = is_right and 0 < entry.size <= cas.CHUNK_SIZE_LIMIT
            is_right = is_right and len(entry.content) == _ID_SIZE
        case cas.EntryKind.NODE_FILE:
            is_right = is_right and entry.size > 0 and len(entry.content) == _ID_SIZE
        case cas.EntryKind.EMPTY_FILE:
            is_right = is_right and entry.size == 0 and not entry.content
        case cas.EntryKind.DIRECTORY:
            is_right = is_right and len(entry.content) in {0, _ID_SIZE}
        case cas.EntryKind.SYMLINK:
            is_right = is_right and len(entry.content) <= _TARGET_SIZE_LIMIT
            is_right = is_right and b"\0" not in entry.content
        case _:
            is_right = False
    if not is_right:
        raise UntrustedError("the server sent an entry that cannot be")


def check_change(change: wire.RemoteChange) -> None:
    """Raise unless a change can be one.

    Raises:
        UntrustedError: it cannot.
    """
    check_path(change.path)
    if change.source is not None:
        check_path(change.source)
    if change.entry is not None:
        check_entry(change.entry)
    is_removal = change.action is cas.Action.REMOVE
    if is_removal != (change.entry is None):
        raise UntrustedError("the server sent a change that cannot be")


def check_item(item: wire.TreeItem) -> None:
    """Raise unless a line of a listing can be one.

    Raises:
        UntrustedError: it cannot.
    """
    check_path(item.path)
    check_entry(item.entry)


def open_node(encoded: bytes, wanted: bytes, keys: cas.ContentKeys) -> cas.FileNode:
    """Return the file node with this id.

    Raises:
        UntrustedError: these are other bytes, or no node.
    """
    if keys.node_id(encoded) != wanted:
        raise UntrustedError(f"the server sent something else as file node {wanted.hex()}")
    try:
        return cas.read_file_node(encoded)
    except cas.InvalidError as error:
        raise UntrustedError(f"the server sent a damaged file node: {error}") from error


def open_chunk(chunk: wire.PackedChunk, wanted: bytes, keys: cas.ContentKeys) -> bytes:
    """Return the bytes of the chunk with this id.

    Raises:
        UntrustedError: these are other bytes, or too many.
    """
    if chunk.id != wanted:
        raise UntrustedError(f"the server sent another chunk than {wanted.hex()}")
    try:
        return wire.unpack_chunk(chunk, keys)
    except cas.InvalidError as error:
        raise UntrustedError(f"the server sent a damaged chunk: {error}") from error
