"""MKCOL (RFC 4918, section 9.3)."""

from __future__ import annotations

from dav import transfers
from dav.addressed import representation_headers
from dav.answers import Answer
from dav.client_times import read_times
from dav.creation import check_creatable, creatable
from dav.locations import Place
from dav.request import Request
from dav.status import HttpError


def mkcol(request: Request) -> Answer:
    """Make a folder. Its parent must be there, and nothing may be at its address."""
    if request.has_body:
        raise HttpError(415, "MKCOL takes no body")
    if request.location.place is Place.UPLOADS:
        return transfers.begin(request)
    resource = creatable(request)
    if resource.entry is not None:
        raise HttpError(405, f"{resource.path!r} exists already")
    check_creatable(request, resource)
    request.check_conditions(resource)
    times = read_times(request.header)
    with resource.volume.edit(
        author=request.principal.name, lock_tokens=request.lock_tokens
    ) as edit:
        if request.is_conditional:
            edit.require(request.recheck(resource))
        edit.make_directory(resource.path, mtime_ns=times.mtime_ns)
    made = resource._replace(entry=edit.outcome[-1].new)
    return Answer(201, [*representation_headers(made), *times.accepted])
