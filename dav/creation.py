"""What has to hold where PUT, MKCOL, LOCK, COPY and MOVE make something new."""

from __future__ import annotations

import cas
from dav.addressed import Resource
from dav.identity import Right
from dav.locations import Location, Place
from dav.past import read_only
from dav.request import Request
from dav.status import HttpError


def creatable(request: Request, location: Location | None = None) -> Resource:
    """Return what is at an address where something may be made, by default the request's.

    Raises:
        HttpError: 405 for a collection that only the server fills, 403 where nothing can be made,
            as below `.snapshots`,
            409 below a volume that is not there.
    """
    where = location or request.location
    if where.is_past:
        raise read_only()
    if where.place in {Place.ROOT, Place.VOLUMES}:
        raise HttpError(405 if location is None else 403, "this is a list; nothing can be put here")
    if where.place is not Place.VOLUME:
        raise HttpError(403, "nothing can be made here; volumes are below /dav/")
    try:
        return request.resolve(where)
    except HttpError as error:
        if where.names:
            raise HttpError(409, f"there is no volume {where.volume!r}") from error
        raise HttpError(403, "a volume is made with `casdav volume create`") from error


def may_overwrite(request: Request) -> bool:
    """Return whether what is at the Destination may be replaced (RFC 4918, section 10.6).

    Raises:
        HttpError: 400 where the Overwrite header is neither T nor F.
    """
    value = (request.header("Overwrite") or "T").strip().upper()
    if value not in {"T", "F"}:
        raise HttpError(400, "Overwrite must be T or F")
    return value == "T"


def check_creatable(request: Request, resource: Resource) -> None:
    """Raise unless the principal may write here and there is a folder to write into.

    Raises:
        HttpError: 403; 409 where the folder above is missing or something that cannot be shown,
            such as a symbolic link, has the name.
    """
    if resource.right < Right.READ:
        raise HttpError(409, "there is no such folder")
    resource.check_writable()
    if resource.is_hidden:
        raise HttpError(409, f"{resource.path!r} is a link or the like; WebDAV cannot replace it")
    parent = parent_entry(request, resource)
    if parent is not None and not parent.is_directory:
        raise HttpError(409, f"the folder of {resource.path!r} is not there")


def parent_entry(request: Request, resource: Resource) -> cas.Entry | None:
    """Return the folder that a path stands in, None for a volume's root.

    Raises:
        HttpError: 409 where it is missing.
    """
    if not resource.path:
        return None
    _, view = request.view(resource.info.name)
    parent = view.get(resource.path.rpartition("/")[0])
    if parent is None:
        raise HttpError(409, f"the folder of {resource.path!r} is not there; make it with MKCOL")
    return parent
