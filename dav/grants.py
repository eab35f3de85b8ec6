"""Who may do what with which volume: the one place where that is decided.

The owner of a volume manages it. Anybody else has the right that was granted, or none. The role
of admin gives no right to files: an admin makes users and volumes, grants and revokes, all in the
journal under the admin's name, but reads nobody's files unless they were granted. A credential's
scope can only narrow what its user may do.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import cas
from dav import records
from dav.identity import Method, Principal, Right
from dav.records import Grant
from dav.registry import Registry, State, ensure_directory, read_state

RIGHTS: Final = {"read": Right.READ, "write": Right.WRITE, "manage": Right.MANAGE}
"""The rights that can be granted, by the word people use."""


class VisibleVolume(NamedTuple):
    """A volume that a principal may open, and the right to it."""

    volume: cas.VolumeInfo
    right: Right


class Rights:
    """Answers for the repository as it is now. Thread-safe; an answer takes microseconds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def right(self, principal: Principal, volume: cas.VolumeInfo, path: str = "") -> Right:
        """Return what the principal may do at a path of a volume; `""` is the volume's root.

        With a credential that opens one folder, everything outside that folder is NONE, the
        folders above it too.
        """
        return right(self._registry.state(), principal, volume, path)

    def visible(self, principal: Principal) -> list[VisibleVolume]:
        """Return the volumes whose root the principal may read, by name."""
        state = self._registry.state()
        found = [VisibleVolume(volume, right(state, principal, volume)) for volume in state.volumes]
        return [volume for volume in found if volume.right >= Right.READ]

    def used_bytes(self, volume: cas.VolumeInfo) -> int:
        """Return the bytes that a volume's files take, as its quota counts them.

        Raises:
            NotFoundError: the volume was deleted meanwhile.
        """
        with self._registry.repository.volume(volume.name).view() as view:
            return view.root.size


def right(state: State, principal: Principal, volume: cas.VolumeInfo, path: str = "") -> Right:
    """Return what the principal may do at a path of a volume, by a given state."""
    user = state.users.get(principal.name)
    if user is None or user.disabled:
        return Right.NONE
    scope = principal.scope
    if scope.volume and (scope.volume != volume.name or not is_inside(path, scope.path)):
        return Right.NONE
    granted = Right.NONE
    if volume.owner == user.name:
        granted = Right.MANAGE
    else:
        grant = state.grants.get(volume.id, {}).get(user.name)
        if grant is not None and grant.user_id == user.id:
            granted = grant.right
    only_reads = scope.read_only or principal.method is Method.SESSION
    return min(granted, Right.READ) if only_reads else granted


def is_inside(path: str, folder: str) -> bool:
    """Return whether a path of a volume is a folder or below it; `""` holds everything.

    A path that is not in its plain form is inside nothing but the whole volume.
    """
    if not folder:
        return True
    names = path.strip("/").split("/")
    if any(name in {"", ".", ".."} for name in names):
        return False
    outer = folder.strip("/").split("/")
    return names[: len(outer)] == outer


def parse_right(word: str) -> Right:
    """Return the right that a word names.

    Raises:
        InvalidError: it names none.
    """
    try:
        return RIGHTS[word]
    except KeyError:
        raise cas.InvalidError(f"{word!r} is no right; use {', '.join(RIGHTS)}") from None


def grant(
    repository: cas.Repository, volume: str, user: str, right: Right, author: str = ""
) -> Grant:
    """Give a user a right on a volume, in place of the one the user had.

    Raises:
        NotFoundError: there is no such volume or user.
        InvalidError: the user owns the volume, or the right is NONE.
    """
    info = repository.volume(volume).info
    account = read_state(repository).users.get(user)
    if account is None:
        raise cas.NotFoundError(f"there is no user {user!r}")
    if right is Right.NONE:
        raise cas.InvalidError("a grant gives a right; revoke it instead")
    if info.owner == user:
        raise cas.InvalidError(f"{user!r} owns the volume {volume!r} and needs no grant")
    record = Grant(info.id, user, account.id, right, time.time_ns(), author)
    path = records.grant_path(info.id, user)

    def user_stands(tree: cas.TreeState) -> None:
        entry = tree.get(records.user_path(user))
        if entry is None or records.decode(entry.content, records.User).id != account.id:
            raise cas.NotFoundError(f"there is no user {user!r}")

    ensure_directory(repository, path.rpartition("/")[0], author)
    with repository.registry.edit(author=author) as edit:
        edit.require(user_stands)
        edit.put_record(path, records.encode(record))
    return record


def revoke(repository: cas.Repository, volume: str, user: str, author: str = "") -> None:
    """Take a user's grant on a volume away; the next request sees it.

    Raises:
        NotFoundError: there is no such volume, or no grant on it for the user.
    """
    info = repository.volume(volume).info
    if user not in read_state(repository).grants.get(info.id, {}):
        raise cas.NotFoundError(f"{user!r} has no grant on the volume {volume!r}")
    with repository.registry.edit(author=author) as edit:
        edit.remove(records.grant_path(info.id, user))


def list_grants(repository: cas.Repository, volume: str) -> list[Grant]:
    """Return the grants on a volume by user.

    Raises:
        NotFoundError: there is no such volume.
    """
    grants = read_state(repository).grants.get(repository.volume(volume).info.id, {})
    return [grants[user] for user in sorted(grants)]


def delete_volume(repository: cas.Repository, volume: str, author: str = "") -> None:
    """Delete a volume.

    The grants on it and its schedule name it by its id: they open nothing while it is gone, and
    come back with it.

    Raises:
        NotFoundError: there is no such volume.
        ConflictError: it is a user's home; delete the user instead.
    """
    if volume in read_state(repository).users:
        raise cas.ConflictError(f"{volume!r} is a user's home; delete the user with it instead")
    repository.delete_volume(volume, author=author)
