"""DELETE (RFC 4918, section 9.6): one operation, whatever the size of what goes."""

from __future__ import annotations

from dav import transfers
from dav.answers import Answer
from dav.locations import Place
from dav.request import Request
from dav.status import HttpError


def delete(request: Request) -> Answer:
    """Remove a file or a folder with all that is in it, all of it or nothing."""
    location = request.location
    if location.place is Place.UPLOADS:
        return transfers.abandon(request)
    resource = request.resource
    resource.visible_entry()
    if resource.is_directory and request.depth("infinity") is not None:
        raise HttpError(400, "DELETE of a folder has Depth infinity")
    resource.check_writable()
    if location.is_volume_root:
        raise HttpError(403, "a volume is deleted with `casdav volume delete`")
    request.check_conditions(resource)
    with resource.volume.edit(
        author=request.principal.name, lock_tokens=request.lock_tokens
    ) as edit:
        if request.is_conditional:
            edit.require(request.recheck(resource))
        edit.remove(resource.path)
    return Answer(204)
