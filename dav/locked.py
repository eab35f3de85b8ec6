"""Locks in the way of a request: who they stop, and how that is said (RFC 4918, section 16)."""

from __future__ import annotations

from collections.abc import Iterable

import cas
from dav import answers
from dav.addressed import Resource
from dav.answers import Answer
from dav.locations import Location, Place
from dav.multistatus import resource_status
from dav.paths import href
from dav.request import Request
from dav.status import HttpError


def check_unlocked(request: Request, resource: Resource, *, with_members: bool = False) -> None:
    """Raise if locks forbid the request to change a resource; the commit checks it again.

    Args:
        request: its submitted tokens count.
        resource: what is to be changed; if it is new, its folder's locks count too.
        with_members: whether everything below is changed, and the name itself goes.

    Raises:
        ConflictingLocksError: they do.
    """
    table, volume_id, path = request.repository.locks, resource.info.id, resource.path
    changed = [path]
    if (with_members or resource.entry is None) and path:
        changed.append(path.rpartition("/")[0])
    locks = table.covering(volume_id, *changed)
    if with_members:
        locks = locks + table.below(volume_id, path)
    stopping = blocking(locks, request.lock_tokens)
    if stopping:
        raise cas.ConflictingLocksError(stopping)


def blocking(locks: Iterable[cas.Lock], tokens: frozenset[str]) -> list[cas.Lock]:
    """Return the locks that forbid a change; of several on one path any one's token is enough."""
    unique = {lock.token: lock for lock in locks}
    opened = {lock.path for lock in unique.values() if lock.token in tokens}
    return [lock for lock in unique.values() if lock.path not in opened]


def locked_answer(request: Request, problem: cas.ConflictingLocksError) -> Answer:
    """Return the answer for a change that locks forbid.

    Locks on or above what was to be changed are 423 for the request. Locks on members alone are
    told one by one in a 207; still nothing was changed.
    """
    places = [request.location]
    if request.method in {"COPY", "MOVE"}:
        places.append(request.destination())
    found = [
        (_href(request, lock, places), _is_on_member(request, lock, places))
        for lock in problem.locks
    ]
    if all(is_on_member for _, is_on_member in found):
        return answers.multistatus(
            resource_status(root, 423, "lock-token-submitted", [root])
            for root in dict.fromkeys(root for root, _ in found)
        )
    roots = list(dict.fromkeys(root for root, is_on_member in found if not is_on_member))
    return answers.error(
        HttpError(423, str(problem), condition="lock-token-submitted", hrefs=roots)
    )


def lock_root(request: Request, location: Location, lock: cas.Lock) -> str:
    """Return the href that a lock was taken on, as seen from a place in the same volume."""
    try:
        _, view = request.view(location.volume)
        entry = view.get(lock.path)
    except cas.CasError:
        entry = None  # The volume has just gone; its lock's address is still its address.
    return location.href_of(lock.path, is_collection=entry is not None and entry.is_directory)


def _place_of(request: Request, lock: cas.Lock, places: list[Location]) -> Location | None:
    for place in places:
        if place.place is Place.VOLUME:
            volume, _ = request.view(place.volume)
            if volume.id == lock.volume_id:
                return place
    return None


def _href(request: Request, lock: cas.Lock, places: list[Location]) -> str:
    place = _place_of(request, lock, places)
    if place is None:
        return href(lock.path.split("/"), is_collection=False)
    return lock_root(request, place, lock)


def _is_on_member(request: Request, lock: cas.Lock, places: list[Location]) -> bool:
    """Whether a lock is strictly below what the request names, in the lock's volume."""
    for place in places:
        if place.place is Place.VOLUME:
            volume, _ = request.view(place.volume)
            below = not place.path or lock.path.startswith(place.path + "/")
            if volume.id == lock.volume_id and below and lock.path != place.path:
                return True
    return False
