"""Messages of a commit: operations, what they expect, and what came of it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from cas.objects import Content
from cas.wire.chunks import Missing, PackedChunks
from cas.wire.limits import OPERATION_LIMIT, BasePaths, ObjectIds
from cas.wire.reading import Head, Place, RemoteEntry


class Absent(msgspec.Struct, array_like=True, frozen=True, tag="absent"):
    """Nothing is at the path."""


class Exists(msgspec.Struct, array_like=True, frozen=True, tag="exists"):
    """Something is at the path."""


class HasEntry(msgspec.Struct, array_like=True, frozen=True, tag="entry"):
    """What is at the path has this entry id: content and attributes, and all below a folder."""

    id: bytes


class HasContent(msgspec.Struct, array_like=True, frozen=True, tag="content"):
    """What is at the path has this content, whatever its times and mode."""

    content: bytes


class Unchanged(msgspec.Struct, array_like=True, frozen=True, tag="unchanged"):
    """The path has the content that it had in the commit's base, of a folder all below it too.

    Nothing at the path then and now counts as unchanged.
    """


Expectation: TypeAlias = Absent | Exists | HasEntry | HasContent | Unchanged
"""What must hold at a path in the state that the commit finds, before any of its operations."""


class PutFile(msgspec.Struct, array_like=True, frozen=True, tag="put"):
    """Make the path a file with this content.

    All of it must be in the `bases`, files of the base state, or have been sent in the last day.
    """

    path: bytes
    content: Content
    mtime_ns: int
    mode: int | None = None
    expect: Expectation | None = None
    bases: BasePaths = []


class MakeFolder(msgspec.Struct, array_like=True, frozen=True, tag="folder"):
    """Make an empty folder; there must be nothing at the path."""

    path: bytes
    mtime_ns: int | None = None
    mode: int | None = None


class PutLink(msgspec.Struct, array_like=True, frozen=True, tag="link"):
    """Make a symbolic link, in place of a file or link."""

    path: bytes
    target: bytes
    mtime_ns: int
    expect: Expectation | None = None


class Remove(msgspec.Struct, array_like=True, frozen=True, tag="remove"):
    """Remove the path with all below it."""

    path: bytes
    expect: Expectation | None = None


class Move(msgspec.Struct, array_like=True, frozen=True, tag="move"):
    """Move what is at `source` to `path`, in place of what is there if `replaces`.

    `expect` is of the source, `expect_path` of the path.
    """

    source: bytes
    path: bytes
    expect: Expectation | None = None
    expect_path: Expectation | None = None
    replaces: bool = False


class Copy(msgspec.Struct, array_like=True, frozen=True, tag="copy"):
    """Copy what is at `source` to `path`, with all below it; otherwise as `Move`."""

    source: bytes
    path: bytes
    expect: Expectation | None = None
    expect_path: Expectation | None = None
    replaces: bool = False


class SetAttributes(msgspec.Struct, array_like=True, frozen=True, tag="set"):
    """Set the time or mode of what is at the path; None keeps one."""

    path: bytes
    mtime_ns: int | None = None
    mode: int | None = None
    expect: Expectation | None = None


Operation: TypeAlias = PutFile | MakeFolder | PutLink | Remove | Move | Copy | SetAttributes
"""One step of a commit."""


class CommitRequest(msgspec.Struct, array_like=True, frozen=True):
    """Carry out all operations, in order, or none.

    `key` makes it safe to send again: a commit of this key by this account and device, since the
    state `base`, is answered and not done again. `base` is the state that the device knew. Chunks
    and nodes may come along; small files need no request of their own.
    """

    place: Place
    key: str
    base: int
    operations: Annotated[list[Operation], msgspec.Meta(max_length=OPERATION_LIMIT)]
    chunks: PackedChunks = []
    nodes: ObjectIds = []
    device: str = ""


class Committed(msgspec.Struct, array_like=True, frozen=True):
    """It is done, and durable.

    The changes have the numbers from behind `before` up to `sequence`. `entries` is what the path
    of each operation has after it, None where it was removed; of a repeated request, which
    `is_repeated` tells, they are not known any more.
    """

    before: int
    sequence: int
    entries: list[RemoteEntry | None]
    is_repeated: bool = False


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why an operation, by its index, was not possible; `kind` is one of `cas.CasError.kind`."""

    index: int
    kind: str
    message: str = ""


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """Why a request was refused; nothing has changed.

    `head` comes with conflicts (409), `missing` with 412. `retry_s` is 0 where trying again does
    not help by itself.
    """

    kind: str
    message: str
    failures: list[Failure] = []
    head: Head | None = None
    missing: Missing | None = None
    retry_s: int = 0
