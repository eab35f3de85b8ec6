"""What was synced at a path, and how that looks on this disk."""

from __future__ import annotations

from dataclasses import dataclass, field

import cas
from syncd.disk.signatures import Signature


@dataclass(frozen=True, slots=True)
class Item:
    """What is synced of a name.

    `content` is a file's content id (none of an empty file), a link's text as bytes, nothing for
    a folder. `mtime_ns` is of files and links, `is_executable` of files.
    """

    kind: cas.EntryKind
    content: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    is_executable: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What was last synced at a path.

    `signature` is what the disk showed when it held the item; None where it has to be read again.
    """

    item: Item
    signature: Signature | None = field(default=None)
