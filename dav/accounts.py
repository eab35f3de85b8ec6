"""Users: who they are, their home volume, their password, and the end of all that.

Every function takes the repository first and the author of the change last, for the journal.
All users are records of the registry, changed under preconditions: of two processes that make the
same user exactly one succeeds, and nobody can take the last admin away.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

import cas
from dav import app_passwords, passwords, records
from dav.identity import Role
from dav.records import User
from dav.registry import State, ensure_directory, read_state
from dav.usernames import check_user_name, is_user_name

FIRST_ADMIN: Final = "admin"
"""Name of the admin that the first start makes."""


def create_user(
    repository: cas.Repository,
    name: str,
    *,
    password: str | None = None,
    role: Role = Role.USER,
    quota: int | None = None,
    author: str = "",
) -> User:
    """Make a user, with a home volume that bears the user's name.

    Args:
        repository: where to make the user.
        name: see `dav.usernames` for the rule.
        password: the user's own; None for a user who signs in by app passwords alone.
        role: what the user may do to the repository.
        quota: bytes that the home volume may hold; None for no limit.
        author: who asked for it.

    Raises:
        InvalidError: the name or the password breaks its rule, or the quota is negative.
        AlreadyExistsError: there is such a user, or a volume of this name or owner.
    """
    check_user_name(name)
    _check_quota(quota)
    user = User(
        name=name,
        id=secrets.token_bytes(16),
        epoch=secrets.token_bytes(16),
        role=role,
        password=_hash(password, name),
        created_ns=time.time_ns(),
    )
    _check_volumes(repository, name)
    ensure_directory(repository, records.USERS, author)

    def put_user(edit: cas.Edit) -> None:
        edit.put_record(records.user_path(name), records.encode(user), expect=cas.ABSENT)

    try:
        repository.create_volume(name, owner=name, quota=quota, author=author, alongside=put_user)
    except cas.PreconditionError:
        raise cas.AlreadyExistsError(f"there is a user {name!r} already") from None
    return user


def get_user(repository: cas.Repository, name: str) -> User:
    """Return a user.

    Raises:
        NotFoundError: there is no such user.
    """
    user = read_state(repository).users.get(name)
    if user is None:
        raise cas.NotFoundError(f"there is no user {name!r}")
    return user


def list_users(repository: cas.Repository) -> list[User]:
    """Return all users by name."""
    return sorted(read_state(repository).users.values(), key=lambda user: user.name)


def set_password(
    repository: cas.Repository, name: str, password: str | None, author: str = ""
) -> User:
    """Change a user's own password, None for none, and end all sessions and JWTs of the user.

    App passwords stay: they are other secrets, and are revoked one by one.

    Raises:
        NotFoundError: there is no such user.
        InvalidError: the password breaks the rule.
    """
    stored = _hash(password, name)
    epoch = secrets.token_bytes(16)
    return _change(
        repository,
        name,
        author,
        lambda user: msgspec.structs.replace(user, password=stored, epoch=epoch),
    )


def replace_hash(repository: cas.Repository, user: User, stored: str) -> None:
    """Store the same password's hash with today's parameters, unless it was changed meanwhile."""

    def replace(current: User) -> User:
        if current.id != user.id or current.password != user.password:
            return current
        return msgspec.structs.replace(current, password=stored)

    _change(repository, user.name, user.name, replace)


def set_role(repository: cas.Repository, name: str, role: Role, author: str = "") -> User:
    """Make a user an admin, or no longer one.

    Raises:
        NotFoundError: there is no such user.
        ConflictError: this is the last admin.
    """
    return _change(repository, name, author, lambda user: msgspec.structs.replace(user, role=role))


def set_disabled(
    repository: cas.Repository, name: str, *, disabled: bool, author: str = ""
) -> User:
    """Shut a user out, with all sessions, JWTs and app passwords, or let the user in again.

    Sessions and JWTs end for good, app passwords work again later. All files stay.

    Raises:
        NotFoundError: there is no such user.
        ConflictError: this is the last admin.
    """
    epoch = secrets.token_bytes(16)
    return _change(
        repository,
        name,
        author,
        lambda user: msgspec.structs.replace(user, disabled=disabled, epoch=epoch),
    )


def set_quota(repository: cas.Repository, name: str, quota: int | None, author: str = "") -> None:
    """Limit the bytes that a user's home volume may hold; None for no limit.

    Raises:
        NotFoundError: there is no such user, or the home volume is gone.
        InvalidError: the quota is negative.
    """
    _check_quota(quota)
    get_user(repository, name)
    repository.set_quota(name, quota, author=author)


def delete_user(
    repository: cas.Repository, name: str, *, delete_home: bool = False, author: str = ""
) -> None:
    """Delete a user with all app passwords and grants.

    The home volume is kept unless asked otherwise: it still bears the name, so that no new user
    of this name can be made before it is deleted. Nobody can open it then but by a grant.

    Raises:
        NotFoundError: there is no such user.
        ConflictError: this is the last admin.
    """
    while True:
        user = get_user(repository, name)
        try:
            with repository.registry.edit(author=author) as edit:
                edit.require(partial(_require_other_admin, user=user))
                for path in _paths_of(read_state(repository), name):
                    edit.remove(path, expect=cas.EXISTS)
        except (cas.PreconditionError, cas.NotFoundError):
            continue  # An app password or grant went meanwhile, or the user: look again.
        break
    homes = [info for info in repository.volumes() if info.name == info.owner == name]
    if delete_home and homes:
        repository.delete_volume(name, author=author)


def ensure_admin(repository: cas.Repository, author: str = "") -> tuple[str, str] | None:
    """Make the first admin, with an app password, where the repository has no user at all.

    Returns:
        the admin's name and app password, to be shown once; None where there is a user already,
        or another process makes the first one at this moment.
    """
    if read_state(repository).users:
        return None
    try:
        user = create_user(repository, FIRST_ADMIN, role=Role.ADMIN, author=author)
    except cas.AlreadyExistsError:
        if read_state(repository).users:
            return None
        raise
    _, password = app_passwords.create_app_password(
        repository, user.name, "first start", author=author
    )
    return user.name, password


def _change(
    repository: cas.Repository, name: str, author: str, change: Callable[[User], User]
) -> User:
    """Apply a change to a user's record, again if another process changed it meanwhile."""
    registry = repository.registry
    path = records.user_path(name)
    while True:
        with registry.view() as view:
            entry = view.get(path) if is_user_name(name) else None
        if entry is None:
            raise cas.NotFoundError(f"there is no user {name!r}")
        before = records.decode(entry.content, User)
        after = change(before)
        if after == before:
            return before
        try:
            with registry.edit(author=author) as edit:
                if _is_active_admin(before) and not _is_active_admin(after):
                    edit.require(partial(_require_other_admin, user=before))
                expect = cas.EntryIs(registry.entry_id(entry))
                edit.put_record(path, records.encode(after), expect=expect)
        except cas.PreconditionError:
            continue
        return after


def _paths_of(state: State, name: str) -> list[str]:
    """Return the registry paths of all that belongs to a user."""
    tokens = [token.id for token in state.app_passwords.values() if token.user == name]
    granted = [volume_id for volume_id, grants in state.grants.items() if name in grants]
    devices = [device.id for device in state.devices.values() if device.user == name]
    return [
        records.user_path(name),
        *map(records.token_path, tokens),
        *map(records.device_path, devices),
        *(records.grant_path(volume_id, name) for volume_id in granted),
    ]


def _is_active_admin(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled


def _require_other_admin(tree: cas.TreeState, user: User) -> None:
    """Raise where the user is the last who can administer; runs inside the commit."""
    if not _is_active_admin(user):
        return
    for name, entry in tree.list(records.USERS):
        if name != user.name and _is_active_admin(records.decode(entry.content, User)):
            return
    raise cas.ConflictError(f"{user.name!r} is the last admin; make another user an admin first")


def _hash(password: str | None, name: str) -> str:
    """Return the hash to store, empty for no password; raise where it breaks the rule."""
    if password is None:
        return ""
    passwords.check_password_rule(password, name)
    if app_passwords.parse(password) is not None:
        raise cas.InvalidError("a password of one's own cannot look like an app password")
    return passwords.hash_password(password)


def _check_quota(quota: int | None) -> None:
    if quota is not None and quota < 0:
        raise cas.InvalidError("a quota cannot be negative")


def _check_volumes(repository: cas.Repository, name: str) -> None:
    """Raise where a new user of this name would come into somebody else's volume."""
    for volume in read_state(repository).volumes:
        if volume.name == name:
            raise cas.AlreadyExistsError(
                f"there is a volume {name!r} already; delete it or choose another user name"
            )
        if volume.owner == name:
            raise cas.AlreadyExistsError(
                f"the volume {volume.name!r} still belongs to a former user {name!r}; "
                "delete it or choose another user name"
            )
