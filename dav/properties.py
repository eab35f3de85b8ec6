"""Properties of resources: live ones from the tree entry, dead ones as clients set them.

The listing of a folder runs through here once per entry, so a property is a function from an item
to the text between its tags, and tags are made once per request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from html import escape
from typing import Final, NamedTuple

import cas
from dav import media_types
from dav.checksums import PROPERTY as CHECKSUMS
from dav.checksums import known_sums
from dav.dates import http_date, rfc3339
from dav.etags import etag
from dav.lock_xml import SUPPORTED_LOCK, LockIndex
from dav.multistatus import propstat, tags
from dav.xml_requests import PropfindKind, PropfindRequest

_OC: Final = "{http://owncloud.org/ns}"
_WIN32: Final = "{urn:schemas-microsoft-com:}"
_HIDDEN: Final = frozenset({CHECKSUMS})
_EMPTY: Final[Mapping[str, str]] = {}


class Context:
    """What the items of one volume share within one request.

    Args:
        volume: the volume, None for collections that are not in one.
        view: its pinned view.
        locks: the locks that the listing can meet.
        can_write: whether the principal may change the items.
        free_bytes: returns the bytes that the store has room for, None where it cannot tell.
    """

    def __init__(
        self,
        volume: cas.Volume | None,
        view: cas.View | None,
        locks: LockIndex,
        *,
        can_write: bool,
        free_bytes: Callable[[], int | None],
    ) -> None:
        self.volume = volume
        self.locks = locks
        self._view = view
        self._free_bytes = free_bytes
        self.file_permissions = "RGDNVW" if can_write else "RG"
        self.folder_permissions = "RGDNVCK" if can_write else "RG"

    @cached_property
    def used_bytes(self) -> int | None:
        """Bytes that the volume's files take."""
        return None if self._view is None else self._view.root.size

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
    return entry.content_type or media_types.guess(name)


def _content_type(item: Item) -> str | None:
    if item.entry.is_directory:
        return None
    return escape(content_type(item.name, item.entry), quote=False)


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


def _checksums(item: Item) -> str | None:
    kept = item.context.dead(item.entry).get(CHECKSUMS, "")
    sums = known_sums(kept, item.entry.content)
    return f"<oc:checksum>{escape(' '.join(sums))}</oc:checksum>" if sums else None


def _permissions(item: Item) -> str:
    context = item.context
    return context.folder_permissions if item.entry.is_directory else context.file_permissions


def _created(item: Item) -> str | None:
    created_ns = item.entry.created_ns
    return http_date(created_ns) if created_ns else None


LIVE: Final[dict[str, Callable[[Item], str | None]]] = {
    "{DAV:}creationdate": _creation_date,
    "{DAV:}displayname": _display_name,
    "{DAV:}getcontentlength": _content_length,
    "{DAV:}getcontenttype": _content_type,
    "{DAV:}getetag": _etag,
    "{DAV:}getlastmodified": _last_modified,
    "{DAV:}lockdiscovery": lambda item: item.context.locks.discovery(item.path),
    "{DAV:}resourcetype": _resource_type,
    "{DAV:}supportedlock": lambda item: SUPPORTED_LOCK if item.context.volume else "",
    "{DAV:}quota-available-bytes": _quota_available,
    "{DAV:}quota-used-bytes": _quota_used,
    _OC + "checksums": _checksums,
    _OC + "fileid": lambda item: str(item.context.file_id(item.path)),
    _OC + "id": lambda item: f"{item.context.file_id(item.path):019d}casdav",
    _OC + "permissions": _permissions,
    _OC + "size": lambda item: str(item.entry.size),
    _WIN32 + "Win32CreationTime": _created,
    _WIN32 + "Win32LastModifiedTime": _last_modified,
}
"""Live properties: Clark name to a function that returns the escaped content, None if undefined."""

ALLPROP: Final = tuple(name for name in LIVE if name.startswith("{DAV:}") and "quota" not in name)
"""Live properties that allprop lists: those of RFC 4918 (RFC 4331 keeps quota out)."""

REPLACEABLE: Final = frozenset({"{DAV:}displayname", "{DAV:}getcontentlanguage"})
"""Properties of RFC 4918 that a client may set, and which then are as it set them."""


class Renderer:
    """Writes response elements of a PROPFIND.

    Args:
        wanted: what the request asks.
        is_minimal: whether to say nothing of properties that are not there.
    """

    def __init__(self, wanted: PropfindRequest, *, is_minimal: bool) -> None:
        self._is_minimal = is_minimal
        self._kind = wanted.kind
        names = wanted.names if wanted.kind is PropfindKind.NAMED else ALLPROP
        if wanted.kind is PropfindKind.ALL:
            names += tuple(name for name in wanted.names if name not in names)
            self._optional = frozenset(ALLPROP)
        else:
            self._optional = frozenset()
        self._asked = frozenset(names)
        self._plan = [(name, *tags(name), LIVE.get(name)) for name in names]

    def response(self, item: Item) -> str:
        """Return the response element of an item."""
        if self._kind is PropfindKind.NAMES:
            found, missing = self._names(item), ""
        else:
            found, missing = self._values(item)
        stats = propstat(found, 200) if found or not missing else ""
        if missing:
            stats += propstat(missing, 404)
        return f"<D:response><D:href>{item.href}</D:href>{stats}</D:response>"

    def _values(self, item: Item) -> tuple[str, str]:
        """Return the properties that are there, and those that were asked for and are not."""
        dead = item.context.dead(item.entry)
        found: list[str] = []
        missing: list[str] = []
        for name, start, end, empty, live in self._plan:
            if name in dead and name not in _HIDDEN and (live is None or name in REPLACEABLE):
                found.append(dead[name])
                continue
            value = None if live is None else live(item)
            if value:
                found.append(f"{start}{value}{end}")
            elif value is not None:
                found.append(empty)
            elif not self._is_minimal and name not in self._optional:
                missing.append(empty)
        if dead and self._kind is PropfindKind.ALL:
            found += (dead[name] for name in _shown(dead) if name not in self._asked)
        return "".join(found), "".join(missing)

    def _names(self, item: Item) -> str:
        live = [name for name, function in LIVE.items() if function(item) is not None]
        return "".join(
            tags(name)[2] for name in dict.fromkeys([*live, *_shown(item.context.dead(item.entry))])
        )


def _shown(dead: Mapping[str, str]) -> Iterable[str]:
    return (name for name in dead if name not in _HIDDEN)
