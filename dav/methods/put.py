"""PUT (RFC 9110, section 9.3.4): stored while it arrives, visible whole or not at all."""

from __future__ import annotations

from dav import transfers
from dav.answers import Answer
from dav.checksums import Checksums
from dav.client_times import read_times
from dav.creation import check_creatable, creatable
from dav.locations import Place
from dav.locked import check_unlocked
from dav.request import Request
from dav.room import check_disk, check_room
from dav.status import HttpError
from dav.storing import check_coding, commit_file, receive, stored


def put(request: Request) -> Answer:
    """Make a file of the request body, in place of what was there."""
    if request.header("Content-Range") is not None:
        raise HttpError(400, "a part of a file cannot be PUT; send all of it")
    check_coding(request)
    if request.location.place is Place.UPLOADS:
        return transfers.put_part(request)
    resource = creatable(request)
    if resource.is_directory:
        raise HttpError(405, f"{resource.path!r} is a folder")
    check_creatable(request, resource)
    if resource.location.is_collection_form:
        raise HttpError(409, "the address of a file has no slash at the end")
    request.check_conditions(resource)
    check_unlocked(request, resource)
    check_room(request, resource, request.content_length or 0)
    check_disk(request, request.content_length or 0)
    times, checksums = read_times(request.header), Checksums(request.header)
    request.close()  # Nothing stays pinned while the body comes, however long that takes.
    with resource.volume.upload() as upload:
        receive(request, upload.write, checksums)
        applied = commit_file(request, resource, upload, times, checksums)
    return stored(resource, applied, times)
