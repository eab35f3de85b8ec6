"""Messages that tell what the server has: volumes, states, changes, listings, parts of files."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cas.contents import ContentKeys
from cas.journal import Action
from cas.objects import Content, EntryKind
from cas.wire.limits import CHUNK_COUNT_LIMIT, PAGE_LIMIT


class Place(msgspec.Struct, array_like=True, frozen=True):
    """What a link is to: a volume by its id (16 bytes), and a folder of it, `b""` for all."""

    volume: bytes
    root: bytes = b""


class RemoteEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the server has at a path.

    `id` is the entry's id: it changes whenever anything of the entry does, of a folder whenever
    anything below it does. `content` is, by kind: a file's content id (none of an empty file), a
    folder's opaque id (equal ids, equal folders), a link's target. `size`, `files` and `folders`
    of a folder are sums of all below it.
    """

    id: bytes
    kind: EntryKind
    size: int
    mtime_ns: int
    mode: int
    content: bytes
    files: int = 0
    folders: int = 0

    @property
    def file_content(self) -> Content:
        """A file's content as the functions of `cas.contents` take it."""
        return Content(self.kind, self.size, self.content)


class RemoteVolume(msgspec.Struct, array_like=True, frozen=True):
    """A volume that the account may open. `right` is read, write or manage; `quota` may be None."""

    id: bytes
    name: str
    right: str
    owner: str
    used: int
    quota: int | None = None


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    """What a device needs to begin: answer to `volumes`. `identity` is the repository's id."""

    protocol: int
    identity: bytes
    account: str
    keys: ContentKeys
    volumes: list[RemoteVolume]
    time_ns: int = 0


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The newest state of a place: its number in the volume, its folder, the server's clock."""

    sequence: int
    root: RemoteEntry
    time_ns: int = 0
    used: int = 0
    quota: int | None = None


class RemoteChange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One change. `entry` is what the path has after it, None where it was removed.

    Of a MOVE `source` is where it was, of a COPY where it was copied from, None where that is
    outside of the place. `key` and `device` are those of the commit that made the change.
    """

    sequence: int
    action: Action
    path: bytes
    entry: RemoteEntry | None
    source: bytes | None = None
    author: str = ""
    device: str = ""
    time_ns: int = 0
    key: str = ""


class Delta(msgspec.Struct, array_like=True, frozen=True):
    """A page of changes. `sequence` is up to where it goes, `head` the newest state's.

    With `is_unknown` there are no changes here: the changes since then are not kept, or the
    place itself was moved, replaced or removed. Then the tree is to be listed anew.
    """

    changes: list[RemoteChange]
    sequence: int
    head: int
    is_unknown: bool = False


class TreeRequest(msgspec.Struct, array_like=True, frozen=True):
    """Ask for what is below a folder, in the state `sequence` (0: the newest), behind `after`.

    Folders come before what is in them, names by their bytes. `after` is the last path of the
    page before.
    """

    place: Place
    sequence: int = 0
    path: bytes = b""
    after: bytes = b""
    is_recursive: bool = True
    limit: int = PAGE_LIMIT


class TreeItem(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A path and what is there."""

    path: bytes
    entry: RemoteEntry


class TreePage(msgspec.Struct, array_like=True, frozen=True):
    """A page of a listing of the state `sequence`."""

    sequence: int
    items: list[TreeItem]
    is_last: bool


class Located(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A chunk or file node of a file: its id, and an offset in the file that it covers."""

    id: bytes
    offset: int


class FilePart(msgspec.Struct, array_like=True, frozen=True):
    """Parts of the file that has this content at this path."""

    path: bytes
    content: bytes
    parts: Annotated[list[Located], msgspec.Meta(max_length=CHUNK_COUNT_LIMIT)]


class PartsRequest(msgspec.Struct, array_like=True, frozen=True):
    """Ask for file nodes (`nodes/get`) or chunks (`chunks/get`) of files of one state."""

    place: Place
    sequence: int
    files: Annotated[list[FilePart], msgspec.Meta(max_length=CHUNK_COUNT_LIMIT)]


class Nodes(msgspec.Struct, array_like=True, frozen=True):
    """Encoded file nodes in the order of all parts of the request, None for what is not there.

    Where it is shorter than the request, ask for the rest again.
    """

    nodes: list[bytes | None]


class Hint(msgspec.Struct, frozen=True):
    """What the change feed sends, as a JSON object: a volume has a newer state.

    `volume` is its id in hex, `root` that of its tree, opaque. `device` is the name of the device
    whose commit was the newest change, empty for others.
    """

    volume: str
    sequence: int
    root: str = ""
    device: str = ""
