"""`casdav user`: add, list and delete users, set passwords and quotas."""

from __future__ import annotations

import sys

import click

import cas
from dav import accounts, app_passwords
from dav.identity import Role
from dav.records import User
from tools.exits import Exit, Failure
from tools.framework import Group
from tools.names import size_text, time_text
from tools.parameters import LIMIT, limit_of
from tools.session import Session, author, pass_session

_PASSWORD_SIZE_LIMIT = 4096


@click.group(cls=Group)
def user() -> None:
    """Users: each has a home volume of the same name."""


@user.command(
    examples="""
    casdav user add alice --admin
    casdav user add bob --quota 100G
    pass show bob | casdav user add bob --password-stdin
    """,
)
@click.argument("name")
@click.option("--admin", is_flag=True, help="Let the user administer the repository.")
@click.option("--quota", type=LIMIT, help="Bytes that the home volume may hold, as 100G.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--no-password", is_flag=True, help="Print an app password instead; set none.")
@pass_session
def add(
    session: Session,
    *,
    name: str,
    admin: bool,
    quota: int | None,
    password_stdin: bool,
    no_password: bool,
) -> None:
    """Add a user with a home volume. Asks for the password on a terminal."""
    if no_password and password_stdin:
        raise click.UsageError("--no-password and --password-stdin exclude each other")
    with session.open() as repository:
        password = None if no_password else _password(from_stdin=password_stdin)
        made = accounts.create_user(
            repository,
            name,
            password=password,
            role=Role.ADMIN if admin else Role.USER,
            quota=limit_of(quota),
            author=author(),
        )
        members = _members(repository, made)
        if no_password:
            _, secret = app_passwords.create_app_password(
                repository, name, "first", author=author()
            )
            members["app_password"] = secret
    session.output.document(members)
    session.output.done(f"added {'the admin' if admin else 'the user'} {name}")
    if no_password:
        session.output.text(f"app password, shown only now: {members['app_password']}")


@user.command("list", examples="casdav user list")
@pass_session
def list_(session: Session) -> None:
    """List the users with role, size and quota."""
    with session.open() as repository:
        found = [_members(repository, user) for user in accounts.list_users(repository)]
    session.output.document(found)
    rows = [
        [
            str(item["name"]),
            str(item["role"]) + (" (disabled)" if item["disabled"] else ""),
            _size(item["size"]),
            _size(item["quota"]),
            str(item["created"])[:10],
        ]
        for item in found
    ]
    session.output.table(["NAME", "ROLE", ">SIZE", ">QUOTA", "CREATED"], rows)


@user.command(
    examples="""
    casdav user passwd alice
    casdav user passwd alice --password-stdin < secret.txt
    """,
)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@pass_session
def passwd(session: Session, name: str, *, password_stdin: bool) -> None:
    """Change a user's password; it ends the user's sessions and JWTs, not app passwords."""
    with session.open() as repository:
        accounts.get_user(repository, name)
        password = _password(from_stdin=password_stdin)
        accounts.set_password(repository, name, password, author=author())
    session.output.document({"name": name, "changed": "password"})
    session.output.done(f"changed the password of {name}")


@user.command(
    examples="""
    casdav user quota bob 200G
    casdav user quota bob none
    """,
)
@click.argument("name")
@click.argument("size", type=LIMIT)
@pass_session
def quota(session: Session, name: str, size: int) -> None:
    """Limit how many bytes a user's home volume may hold, or set no limit."""
    limit = limit_of(size)
    with session.open() as repository:
        accounts.set_quota(repository, name, limit, author=author())
    session.output.document({"name": name, "quota": limit})
    shown = "no quota" if limit is None else f"a quota of {size_text(limit)}"
    session.output.done(f"{name} has {shown} now")


@user.command(
    examples="""
    casdav user delete bob --dry-run
    casdav user delete bob             # keeps the files, in the volume bob
    casdav user delete bob --delete-home --yes
    """,
)
@click.argument("name")
@click.option("--delete-home", is_flag=True, help="Delete the home volume with its files too.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, name: str, *, delete_home: bool, dry_run: bool, yes: bool) -> None:
    """Delete a user with all app passwords and grants; the home volume only when asked."""
    with session.open() as repository:
        members = _members(repository, accounts.get_user(repository, name))
        what = f"the user {name}"
        if delete_home:
            what += f" with the home volume ({_size(members['size'])})"
        if not dry_run:
            session.output.confirm(f"Delete {what}?", yes=yes)
            accounts.delete_user(repository, name, delete_home=delete_home, author=author())
    session.output.document(
        {**members, "deleted": not dry_run, "home_deleted": delete_home and not dry_run}
    )
    session.output.done(f"{'would delete' if dry_run else 'deleted'} {what}")


def _password(*, from_stdin: bool) -> str:
    """Return a new password: a line of standard input, or asked twice on a terminal."""
    if from_stdin:
        line = sys.stdin.readline(_PASSWORD_SIZE_LIMIT).rstrip("\r\n")
        if not line:
            raise Failure("standard input holds no password", Exit.USAGE)
        return line
    if not sys.stdin.isatty():
        raise Failure("nobody is there to type a password: use --password-stdin", Exit.USAGE)
    answer = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return str(answer)


def _members(repository: cas.Repository, user: User) -> dict[str, object]:
    """Return the JSON members of a user; size and quota of the home volume, None without one."""
    members: dict[str, object] = {
        "name": user.name,
        "role": str(user.role),
        "disabled": user.disabled,
        "has_password": bool(user.password),
        "created": time_text(user.created_ns),
        "size": None,
        "quota": None,
    }
    for info in repository.volumes():
        if info.name == user.name:
            with repository.volume(info.name).view() as view:
                members |= {"size": view.root.size, "quota": info.quota}
    return members


def _size(size: object) -> str:
    return size_text(size) if isinstance(size, int) else "-"
