"""The operations that an edit is made of, and the conditions they carry.

Operations are plain values: a commit applies them to whatever the head is by then, and a lost
race applies them again to a newer one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cas.errors import InvalidError
from cas.formats import SYMLINK_SIZE_LIMIT
from cas.objects import Content, Entry
from cas.paths import Names

_EARLIEST_NS: Final = -(2**63)
_LATEST_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing may be at the path."""


@dataclass(frozen=True, slots=True)
class Exists:
    """Something must be at the path."""


@dataclass(frozen=True, slots=True)
class ContentIs:
    """The file or folder at the path must have this content id (empty: an empty one)."""

    id: bytes


@dataclass(frozen=True, slots=True)
class EntryIs:
    """The entry at the path must have this id: content and attributes are all as expected."""

    id: bytes


Expectation: TypeAlias = Absent | Exists | ContentIs | EntryIs
"""What must hold at an operation's path when it is committed."""

ABSENT = Absent()
EXISTS = Exists()


@dataclass(frozen=True, slots=True)
class Properties:
    """Encoded dead properties: in the entry itself, or the id of the chunk that holds them."""

    inline: bytes = b""
    id: bytes = b""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes to set; None keeps what is there, or takes the default for what is new."""

    mtime_ns: int | None = None
    mode: int | None = None
    created_ns: int | None = None
    content_type: str | None = None
    properties: Properties | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Make the path a file with this content."""

    path: Names
    content: Content
    attributes: Attributes = field(default_factory=Attributes)
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class PutFolder:
    """Make the path the folder of this entry, whose nodes are all in packs."""

    path: Names
    entry: Entry
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Make the path a record with these bytes."""

    path: Names
    record: bytes
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make an empty directory; with `parents`, those that are missing too, and none is an error."""

    path: Names
    attributes: Attributes = field(default_factory=Attributes)
    parents: bool = False


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    """Make a symbolic link, in place of a link or file that is there."""

    path: Names
    target: bytes
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove what is at the path with everything below it."""

    path: Names
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Move what is at `source` to `path`, in place of what is there if `overwrite`."""

    source: Names
    path: Names
    overwrite: bool = True


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy what is at `source` to `path`; without `recursive`, of a folder only itself."""

    source: Names
    path: Names
    overwrite: bool = True
    recursive: bool = True


@dataclass(frozen=True, slots=True)
class Attach:
    """Put an entry of another volume, or of an older state, at the path."""

    path: Names
    entry: Entry
    overwrite: bool = True
    source: Names = ()
    source_volume: bytes = b""


@dataclass(frozen=True, slots=True)
class ReplaceRoot:
    """Put a folder of an older state, or of another volume, in place of all that is there."""

    entry: Entry
    source: Names = ()
    source_volume: bytes = b""
    expect: Expectation | None = None

    @property
    def path(self) -> Names:
        """The root."""
        return ()


@dataclass(frozen=True, slots=True)
class PutSnapshot:
    """Keep a snapshot's record under its name; `created_ns` None is the time of the edit."""

    name: bytes
    record: bytes
    created_ns: int | None = None
    expect: Expectation | None = None

    @property
    def path(self) -> Names:
        """The name, as a path in the tree of snapshots."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class RemoveSnapshot:
    """Take a snapshot's name away."""

    name: bytes
    expect: Expectation | None = None

    @property
    def path(self) -> Names:
        """The name, as a path in the tree of snapshots."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class SetProperties:
    """Set attributes of what is at the path; its content stays."""

    path: Names
    attributes: Attributes
    expect: Expectation | None = None


Operation: TypeAlias = (
    Put
    | PutFolder
    | PutRecord
    | MakeDirectory
    | MakeSymlink
    | Remove
    | Move
    | Copy
    | Attach
    | ReplaceRoot
    | PutSnapshot
    | RemoveSnapshot
    | SetProperties
)
"""One step of an edit."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an operation did: the entry at its path before and after."""

    operation: Operation
    path: str
    old: Entry | None
    new: Entry | None

    @property
    def created(self) -> bool:
        """Whether the path is new."""
        return self.old is None and self.new is not None


def check_time(time_ns: int) -> None:
    """Raise unless an entry can hold the time.

    Raises:
        InvalidError: it does not fit 64 bits.
    """
    if not _EARLIEST_NS <= time_ns <= _LATEST_NS:
        message = f"a time of {time_ns} ns does not fit 64 bits"
        raise InvalidError(message)


def check_size(what: str, value: bytes, limit: int) -> None:
    """Raise unless the value has `limit` bytes at most.

    Raises:
        InvalidError: it is longer.
    """
    if len(value) > limit:
        message = f"{what} may have {limit} bytes, this one has {len(value)}"
        raise InvalidError(message)


def symlink_content(target: str) -> bytes:
    """Return what the entry of a symlink to `target` holds.

    Raises:
        InvalidError: it is longer than 4096 bytes.
    """
    content = os.fsencode(target)
    check_size("a symlink's target", content, SYMLINK_SIZE_LIMIT)
    return content
