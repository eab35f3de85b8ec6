"""OPTIONS and the Allow header (RFC 9110, section 9.3.7; RFC 4918, sections 10.1 and 18)."""

from __future__ import annotations

from typing import Final

import cas
from dav.answers import Answer
from dav.gate import PRINCIPAL
from dav.identity import Right
from dav.locations import Place
from dav.request import Request
from dav.status import HttpError

DAV_HEADERS: Final = (("DAV", "1, 2, 3"), ("MS-Author-Via", "DAV"))
"""What says that this is WebDAV: classes 1 to 3, and for Microsoft's clients."""

_EVERYTHING: Final = (
    "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
)
_READ: Final = "OPTIONS, GET, HEAD, PROPFIND"
_READ_IN_VOLUME: Final = "OPTIONS, GET, HEAD, PROPFIND, COPY"
_FILE: Final = "OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
_FOLDER: Final = "OPTIONS, GET, HEAD, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
_VOLUME_ROOT: Final = "OPTIONS, GET, HEAD, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK"
_NOTHING: Final = "OPTIONS, PUT, MKCOL, LOCK"
_UPLOADS: Final = "OPTIONS, MKCOL, PUT, MOVE, DELETE, PROPFIND"


def options(request: Request) -> Answer:
    """Answer OPTIONS, for any path and for `*`, existing or not."""
    return Answer(200, [*DAV_HEADERS, ("Allow", allow(request)), ("Accept-Ranges", "bytes")])


def allow(request: Request) -> str:
    """Return the methods that the target takes now, for this principal."""
    if request.environ.get("REQUEST_URI") == "*" or PRINCIPAL not in request.environ:
        return _EVERYTHING
    match request.location.place:
        case Place.UPLOADS:
            return _UPLOADS
        case Place.VOLUME | Place.SNAPSHOTS | Place.SNAPSHOT:
            return _allow_in_volume(request)
        case _:
            return _READ


def _allow_in_volume(request: Request) -> str:
    try:
        resource = request.resource
    except (HttpError, cas.CasError):
        return "OPTIONS"
    if resource.location.place is Place.SNAPSHOTS:
        return _READ
    if resource.right < Right.WRITE:
        return _READ_IN_VOLUME
    if resource.entry is None or resource.is_hidden:
        return _NOTHING
    if resource.location.is_volume_root:
        return _VOLUME_ROOT
    return _FOLDER if resource.is_directory else _FILE
