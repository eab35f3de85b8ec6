"""What is synced of a name."""

from __future__ import annotations

from dataclasses import dataclass

import cas


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
