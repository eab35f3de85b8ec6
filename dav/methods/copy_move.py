"""COPY and MOVE (RFC 4918, sections 9.8 and 9.9): constant time, whatever the size.

Within a volume each is one operation of one commit, a copy out of its snapshots too. Between
volumes a copy is one commit as well; a move is a copy and then a removal, in that order: a crash
in between leaves both.
"""

from __future__ import annotations

import msgspec

import cas
from dav import transfers
from dav.addressed import Resource, representation_headers
from dav.answers import Answer
from dav.creation import check_creatable, creatable, may_overwrite
from dav.locations import Place
from dav.locked import check_unlocked
from dav.request import Request
from dav.status import HttpError


def copy(request: Request) -> Answer:
    """Copy a file or a folder, a folder with all that is in it or (Depth 0) bare."""
    source = _source(request)
    depth = request.depth("infinity")
    if depth == 1:
        raise HttpError(400, "COPY has Depth 0 or infinity")
    is_bare = source.is_directory and depth == 0
    target, overwrite = _target(request, source, is_bare=is_bare)
    request.check_conditions(source)
    if _is_in_volume_of(target, source) and source.path:
        edit = _edit(request, source, target)
        edit.copy(source.path, target.path, overwrite=overwrite, recursive=not is_bare)
        return _committed(edit, target)
    return _attach(request, source, target, overwrite=overwrite, is_bare=is_bare)


def move(request: Request) -> Answer:
    """Move a file or a folder."""
    if request.location.place is Place.UPLOADS:
        return transfers.assemble(request)
    source = _source(request)
    if source.is_directory and request.depth("infinity") is not None:
        raise HttpError(400, "MOVE of a folder has Depth infinity")
    source.check_writable()
    if source.location.is_volume_root:
        raise HttpError(403, "a volume cannot be moved")
    target, overwrite = _target(request, source, is_bare=False)
    request.check_conditions(source)
    if source.info.id == target.info.id:
        edit = _edit(request, source, target)
        edit.move(source.path, target.path, overwrite=overwrite)
        return _committed(edit, target)
    check_unlocked(request, source, with_members=True)
    answer = _attach(request, source, target, overwrite=overwrite, is_bare=False)
    _remove_moved(request, source)
    return answer


def _source(request: Request) -> Resource:
    resource = request.resource
    resource.visible_entry()
    if request.location.place is Place.SNAPSHOTS and request.method == "COPY":
        raise HttpError(403, "these are all snapshots; copy one of them, or something in one")
    return resource


def _target(request: Request, source: Resource, *, is_bare: bool) -> tuple[Resource, bool]:
    """Return what the Destination names, and whether it may be replaced.

    Raises:
        HttpError: 400, 403, 409, 412 or 502, as section 9.8.5 says.
    """
    overwrite = may_overwrite(request)
    target = creatable(request, request.destination())
    if target.location.is_volume_root:
        raise HttpError(403, "a volume cannot be replaced")
    check_creatable(request, target)
    if _is_in_volume_of(target, source):
        _check_apart(source.path, target.path, is_bare=is_bare)
    if not overwrite and target.entry is not None:
        raise HttpError(412, f"{target.path!r} is there already")
    return target, overwrite


def _is_in_volume_of(target: Resource, source: Resource) -> bool:
    """Whether both are of one tree as it is now, so that one can hold the other."""
    return source.info.id == target.info.id and not source.is_past


def _check_apart(source: str, target: str, *, is_bare: bool) -> None:
    """Raise where one holds the other: the copy would have no end, or replace its source.

    Raises:
        HttpError: 403.
    """
    if source == target:
        raise HttpError(403, "source and destination are the same")
    if _is_below(source, target):
        raise HttpError(403, "the destination holds the source; it would be replaced by it")
    if _is_below(target, source) and not is_bare:
        raise HttpError(403, "the destination is inside the source")


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def _edit(request: Request, source: Resource, target: Resource) -> cas.Edit:
    edit = target.volume.edit(author=request.principal.name, lock_tokens=request.lock_tokens)
    if request.is_conditional and _is_in_volume_of(target, source):
        edit.require(request.recheck(source))
    return edit


def _attach(
    request: Request, source: Resource, target: Resource, *, overwrite: bool, is_bare: bool
) -> Answer:
    """Copy between volumes, out of the past, or a root: the entry itself is put at the target."""
    view = request.view_of(source)
    entry = view.entry(source.path)
    if is_bare:
        entry = msgspec.structs.replace(entry, content=b"", size=0, files=0, folders=0)
    edit = _edit(request, source, target)
    edit.attach(
        target.path,
        entry,
        epoch=view.epoch,
        nodes=view.nodes,
        overwrite=overwrite,
        source=source.path,
        source_volume=source.info.id,
    )
    return _committed(edit, target)


def _remove_moved(request: Request, source: Resource) -> None:
    """Remove what was copied to another volume, unless it has changed since."""
    expect = cas.EntryIs(source.volume.entry_id(source.visible_entry()))
    edit = source.volume.edit(author=request.principal.name, lock_tokens=request.lock_tokens)
    edit.remove(source.path, expect=expect)
    try:
        edit.commit()
    except cas.PreconditionError as error:
        raise HttpError(
            409, f"{source.path!r} changed while it was moved: it was copied, and stays here too"
        ) from error


def _committed(edit: cas.Edit, target: Resource) -> Answer:
    edit.commit()
    [applied] = edit.outcome
    headers = representation_headers(target._replace(entry=applied.new))
    return Answer(201 if applied.created else 204, headers)
