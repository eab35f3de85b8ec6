"""LOCK and UNLOCK (RFC 4918, sections 6, 7, 9.10 and 9.11)."""

from __future__ import annotations

import re
import time
import uuid
from typing import Final

import cas
from dav import answers
from dav.addressed import Resource
from dav.answers import Answer
from dav.creation import check_creatable, creatable
from dav.dates import NANOSECONDS
from dav.identity import Right
from dav.lock_xml import active_lock, covers
from dav.locked import check_unlocked, lock_root
from dav.multistatus import resource_status
from dav.request import Request
from dav.status import HttpError
from dav.xml_requests import LockRequest, parse_lock, parse_timeout

# The angle brackets must be there; Windows at times and the npm package `webdav` leave them out.
_CODED_URL: Final = re.compile(r"[ \t]*(?:<([^<>\s]+)>|(urn:uuid:[0-9a-fA-F-]+))[ \t]*")


def lock(request: Request) -> Answer:
    """Take a lock, or refresh one (a request without a body)."""
    body = request.xml_body()
    resource = creatable(request)
    if not body.strip():
        return _refresh(request, resource)
    wanted = parse_lock(body)
    depth = request.depth("infinity")
    if depth == 1:
        raise HttpError(400, "LOCK has Depth 0 or infinity")
    check_creatable(request, resource)
    if resource.entry is not None:
        resource.visible_entry()
    elif resource.location.is_collection_form:
        raise HttpError(409, "there is no such folder; make it with MKCOL")
    request.check_conditions(resource)
    _check_count(request)
    new = _new_lock(request, resource, wanted, is_infinite=depth is None)
    if resource.entry is None:
        # The new name is a change of the folder, whose locks count (section 7.4).
        check_unlocked(request, resource)
    try:
        request.repository.locks.acquire(new)
    except cas.ConflictingLocksError as error:
        return _conflict(request, resource, error)
    is_created = resource.entry is None and _create(request, resource, new)
    headers = [("Lock-Token", f"<{new.token}>")]
    return _granted(request, resource, new, 201 if is_created else 200, headers)


def unlock(request: Request) -> Answer:
    """Give a lock up."""
    found = _CODED_URL.fullmatch(request.header("Lock-Token") or "")
    if found is None:
        raise HttpError(400, "UNLOCK needs a Lock-Token of the form <token>")
    resource = request.resource
    if request.principal.scope.read_only:
        raise HttpError(403, "this password only reads", condition="need-privileges")
    request.check_conditions(resource)
    held = _lock_here(request, resource, found[1] or found[2])
    if held is None:
        raise HttpError(
            409,
            "this lock is not on this resource",
            condition="lock-token-matches-request-uri",
        )
    if held.principal != request.principal.name and resource.right < Right.MANAGE:
        raise HttpError(403, f"the lock is {held.principal}'s", condition="need-privileges")
    request.repository.locks.release(held.token)
    return Answer(204)


def _refresh(request: Request, resource: Resource) -> Answer:
    """Refresh the one lock that the If header names (section 9.10.2)."""
    tokens = request.if_header.tokens
    if not tokens:
        raise HttpError(400, "LOCK needs a lockinfo body, or an If header with a lock to refresh")
    resource.check_writable()
    request.check_conditions(resource)
    held = [found for token in tokens if (found := _lock_here(request, resource, token))]
    if len(held) != 1:
        raise HttpError(
            412,
            "a refresh names exactly one lock of this resource",
            condition="lock-token-matches-request-uri",
        )
    if held[0].principal != request.principal.name:
        raise HttpError(403, f"the lock is {held[0].principal}'s", condition="need-privileges")
    seconds = parse_timeout(request.header("Timeout"), request.settings.lock_seconds)
    expires_ns = time.time_ns() + seconds * NANOSECONDS
    try:
        renewed = request.repository.locks.refresh(held[0].token, expires_ns, seconds)
    except cas.NotFoundError as error:
        raise HttpError(412, "the lock has just expired") from error
    return _granted(request, resource, renewed, 200, [])


def _lock_here(request: Request, resource: Resource, token: str) -> cas.Lock | None:
    """Return the lock with this token if the resource is in its scope."""
    found = request.repository.locks.get(token)
    if found is None or found.volume_id != resource.info.id or resource.is_past:
        return None
    return found if covers(found, resource.path) else None


def _check_count(request: Request) -> None:
    limit = request.settings.locks_per_user
    name = request.principal.name
    if sum(held.principal == name for held in request.repository.locks.all()) >= limit:
        raise HttpError(507, f"a user may hold {limit} locks; unlock some, or wait")


def _new_lock(
    request: Request, resource: Resource, wanted: LockRequest, *, is_infinite: bool
) -> cas.Lock:
    seconds = parse_timeout(request.header("Timeout"), request.settings.lock_seconds)
    now_ns = time.time_ns()
    return cas.Lock(
        token=uuid.uuid4().urn,
        volume_id=resource.info.id,
        path=resource.path,
        principal=request.principal.name,
        owner=wanted.owner_xml,
        shared=wanted.shared,
        infinite=is_infinite,
        timeout_seconds=seconds,
        expires_ns=now_ns + seconds * NANOSECONDS,
        created_ns=now_ns,
    )


def _create(request: Request, resource: Resource, new: cas.Lock) -> bool:
    """Make an empty file for a lock on a free name (section 7.3); whether it was made here."""
    tokens = request.lock_tokens | {new.token}
    edit = resource.volume.edit(author=request.principal.name, lock_tokens=tokens)
    edit.put(resource.path, cas.EMPTY_CONTENT, expect=cas.ABSENT)
    try:
        edit.commit()
    except cas.PreconditionError:
        return False  # Somebody has just made it; the lock is on what is there.
    except BaseException:
        request.repository.locks.release(new.token)
        raise
    return True


def _granted(
    request: Request,
    resource: Resource,
    held: cas.Lock,
    status: int,
    headers: list[tuple[str, str]],
) -> Answer:
    root = lock_root(request, resource.location, held)
    active = active_lock(held, root, time.time_ns())
    body = f'<D:prop xmlns:D="DAV:"><D:lockdiscovery>{active}</D:lockdiscovery></D:prop>'
    return answers.xml(status, body, headers)


def _conflict(request: Request, resource: Resource, error: cas.ConflictingLocksError) -> Answer:
    """Answer a lock that others prevent: 423, or 207 where they are on members (9.10.6)."""
    roots = {lock.path: lock_root(request, resource.location, lock) for lock in error.locks}
    here = [root for path, root in roots.items() if not _is_member(path, resource.path)]
    if here:
        raise HttpError(423, str(error), condition="no-conflicting-lock", hrefs=here) from error
    members = [resource_status(root, 423, "no-conflicting-lock", [root]) for root in roots.values()]
    return answers.multistatus([*members, resource_status(resource.href, 424)])


def _is_member(path: str, folder: str) -> bool:
    return path != folder and (not folder or path.startswith(folder + "/"))
