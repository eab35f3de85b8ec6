"""Properties of resources: live ones from the tree entry, dead ones as clients set them.

The listing of a folder runs through here once per entry, so a property is a function from an item
to the text between its tags, and tags are made once per request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from html import escape
from typing import Final, NamedTuple, TypeAlias

import cas
from dav import media_types
from dav.checksums import PROPERTY as CHECKSUMS
from dav.checksums import known_sums
from dav.dates import http_date, rfc3339
from dav.etags import etag
from dav.lock_xml import SUPPORTED_LOCK, LockIndex

_OC: Final = "{http://owncloud.org/ns}"
_WIN32: Final = "{urn:schemas-microsoft-com:}"
_EMPTY: Final[Mapping[str, str]] = {}


class Context:
    """What the items of one volume share within one request.

    Args:
        volume: the volume, None for collections that are not in one.
        view: its pinned view.
        locks: the locks that the listing can meet.
        can_write: whether the principal may change the items.
        free_bytes: returns the bytes that the store has room for, None where it cannot tell.
        is_past: whether the items are of a snapshot: no locks, no quota.
    """

    def __init__(
        self,
        volume: cas.Volume | None,
        view: cas.View | None,
        locks: LockIndex,
        *,
        can_write: bool,
        free_bytes: Callable[[], int | None],
        is_past: bool = False,
    ) -> None:
        self.volume = volume
        self.takes_locks = volume is not None and not is_past
        self.knows_sizes = volume is None or view is not None
        self.locks = locks
        self._view = view
        self._is_past = is_past
        self._free_bytes = free_bytes
        self.file_permissions = "RGDNVW" if can_write else "RG"
        self.folder_permissions = "RGDNVCK" if can_write else "RG"

    @cached_property
    def used_bytes(self) -> int | None:
        """Bytes that the volume's files take."""
        return None if self._view is None or self._is_past else self._view.root.size

    @cached_property
    def available_bytes(self) -> int | None:
        """Bytes that may still be stored: by the quota and by the room there is."""
        if self.volume is None or self.used_bytes is None:
            return None
        quota, free = self.volume.info.quota, self._free_bytes()
        left = None if quota is None else max(0, quota - self.used_bytes)
        known = [amount for amount in (left, free) if amount is not None]
        return min(known) if known else None

    def file_id(self, path: str) -> int:
        """Return a number that names the path in the volume, below 2**62."""
        return 0 if self.volume is None else self.file_id_in(self.volume, path)

    @staticmethod
    def file_id_in(volume: cas.Volume, path: str) -> int:
        """Return a number that names a path of a volume, below 2**62."""
        name = path.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(name, digest_size=8, key=volume.id).digest()
        return int.from_bytes(digest, "big") >> 2

    def dead(self, entry: cas.Entry) -> Mapping[str, str]:
        """Return the dead properties of an entry, the program's own notes among them."""
        if self._view is None or not (entry.properties or entry.properties_id):
            return _EMPTY
        return self._view.properties(entry)


class Item(NamedTuple):
    """A resource as a listing shows it. `href` is percent-encoded, `path` inside the volume."""

    href: str
    name: str
    path: str
    entry: cas.Entry
    context: Context


def _display_name(item: Item) -> str:
    return escape(item.name, quote=False)


def _creation_date(item: Item) -> str | None:
    entry = item.entry
    if item.context.volume is None:
        return None
    return rfc3339(entry.created_ns or entry.mtime_ns)


def _content_length(item: Item) -> str | None:
    return None if item.entry.is_directory else str(item.entry.size)


def content_type(name: str, entry: cas.Entry) -> str:
    """Return the media type of a file: as it was stored, or guessed from its name."""
    stored = entry.content_type
    return stored if stored and media_types.is_header_text(stored) else media_types.guess(name)


def _content_type(item: Item) -> str | None:
    entry = item.entry
    if entry.is_directory:
        return None
    stored = entry.content_type
    return escape(stored, quote=False) if stored else media_types.guess(item.name)


def _etag(item: Item) -> str | None:
    volume = item.context.volume
    return None if volume is None else f'"{etag(volume, item.entry)}"'


def _last_modified(item: Item) -> str | None:
    return None if item.context.volume is None else http_date(item.entry.mtime_ns)


def _resource_type(item: Item) -> str:
    return "<D:collection/>" if item.entry.is_directory else ""


def _quota_used(item: Item) -> str | None:
    used = item.context.used_bytes if item.entry.is_directory else None
    return None if used is None else str(used)


def _quota_available(item: Item) -> str | None:
    available = item.context.available_bytes if item.entry.is_directory else None
    return None if available is None else str(available)


def checksums(item: Item) -> str | None:
    """Return the content of oc:checksums, None where no sum of the present content is known."""
    kept = item.context.dead(item.entry).get(CHECKSUMS, "")
    sums = known_sums(kept, item.entry.content)
    return f"<oc:checksum>{escape(' '.join(sums))}</oc:checksum>" if sums else None


def _size(item: Item) -> str | None:
    return str(item.entry.size) if item.context.knows_sizes else None


def _permissions(item: Item) -> str:
    context = item.context
    return context.folder_permissions if item.entry.is_directory else context.file_permissions


def _created(item: Item) -> str:
    return http_date(item.entry.created_ns or item.entry.mtime_ns)


Live: TypeAlias = Callable[[Item], str | None]
"""A live property: returns its escaped content, empty for an empty element, None if undefined.

Whether it is None depends on nothing but `is_directory` and, for oc:checksums, the sums.
"""

LIVE: Final[dict[str, Live]] = {
    "{DAV:}creationdate": _creation_date,
    "{DAV:}displayname": _display_name,
    "{DAV:}getcontentlength": _content_length,
    "{DAV:}getcontenttype": _content_type,
    "{DAV:}getetag": _etag,
    "{DAV:}getlastmodified": _last_modified,
    "{DAV:}lockdiscovery": lambda item: item.context.locks.discovery(item.path),
    "{DAV:}resourcetype": _resource_type,
    "{DAV:}supportedlock": lambda item: SUPPORTED_LOCK if item.context.takes_locks else "",
    "{DAV:}quota-available-bytes": _quota_available,
    "{DAV:}quota-used-bytes": _quota_used,
    _OC + "checksums": checksums,
    _OC + "fileid": lambda item: str(item.context.file_id(item.path)),
    _OC + "id": lambda item: f"{item.context.file_id(item.path):019d}casdav",
    _OC + "permissions": _permissions,
    _OC + "size": _size,
    _WIN32 + "Win32CreationTime": _created,
    _WIN32 + "Win32LastModifiedTime": _last_modified,
}
"""All live properties by Clark name."""

ALLPROP: Final = tuple(name for name in LIVE if name.startswith("{DAV:}") and "quota" not in name)
"""Live properties that allprop lists: those of RFC 4918 (RFC 4331 keeps quota out)."""

SAME_FOR_ALL: Final = frozenset(
    {
        "{DAV:}quota-available-bytes",
        "{DAV:}quota-used-bytes",
        "{DAV:}resourcetype",
        "{DAV:}supportedlock",
        _OC + "permissions",
    }
)
"""Live properties that are the same for all files, or all folders, of one context."""

HIDDEN: Final = frozenset({CHECKSUMS})
"""Notes of the program that are no properties to anybody."""

REPLACEABLE: Final = frozenset({"{DAV:}displayname", "{DAV:}getcontentlanguage"})
"""Properties of RFC 4918 that a client may set, and which then are as it set them."""


def has_dead(entry: cas.Entry) -> bool:
    """Whether an entry has dead properties or notes of the program."""
    return bool(entry.properties or entry.properties_id)
