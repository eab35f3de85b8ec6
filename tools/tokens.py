"""`casdav token`: app passwords for programs and devices, and short-lived JWTs."""

from __future__ import annotations

import time

import click

import cas
from dav import access_tokens, accounts, app_passwords
from dav.identity import Scope
from dav.records import AppPassword
from tools.framework import Group
from tools.names import printable, time_text
from tools.parameters import FUTURE, LOCATION, Location
from tools.session import Session, author, pass_session


@click.group(cls=Group)
def token() -> None:
    """App passwords and tokens: what programs and devices sign in with."""


@token.command(
    examples="""
    casdav token create alice --label phone
    casdav token create alice --label backup --read-only --expires 90d
    casdav token create alice --label scanner --only alice:/scans
    casdav token create alice --jwt
    """,
)
@click.argument("user")
@click.option("--label", default="", help="What it is for; shown in lists.")
@click.option("--read-only", is_flag=True, help="Let it read, never write.")
@click.option("--only", type=LOCATION, help="Let it open this volume or folder alone.")
@click.option("--expires", type=FUTURE, help="When it ends: 90d, or 2027-01-31. Default: never.")
@click.option("--jwt", is_flag=True, help="Make a JWT for Bearer; it lives 15 minutes.")
@pass_session
def create(
    session: Session,
    *,
    user: str,
    label: str,
    read_only: bool,
    only: Location | None,
    expires: int | None,
    jwt: bool,
) -> None:
    """Make an app password, or a JWT, and print it this once."""
    if jwt and (expires or label):
        raise click.UsageError("a JWT always lives 15 minutes, and has no label")
    scope = Scope(read_only, only.volume, only.path) if only else Scope(read_only)
    with session.open() as repository:
        if jwt:
            members = _jwt(repository, user, scope)
        else:
            made, secret = app_passwords.create_app_password(
                repository,
                user,
                label or "casdav token create",
                scope=scope,
                expires_ns=expires or 0,
                author=author(),
            )
            members = {**_members(repository, made), "secret": secret}
    session.output.document(members)
    session.output.text(str(members["secret"]))


@token.command(
    "list",
    examples="""
    casdav token list
    casdav token list alice
    """,
)
@click.argument("user", required=False, default="")
@pass_session
def list_(session: Session, user: str) -> None:
    """List app passwords: of one user, or of all. JWTs are not kept, and not listed."""
    with session.open() as repository:
        if user:
            accounts.get_user(repository, user)
        found = [
            _members(repository, item)
            for item in app_passwords.list_app_passwords(repository, user)
        ]
    session.output.document(found)
    rows = [
        [
            str(item["id"]),
            str(item["user"]),
            printable(str(item["label"])),
            _scope_text(item),
            str(item["expires"] or "never")[:10],
            str(item["last_used"] or "-")[:16].replace("T", " "),
        ]
        for item in found
    ]
    session.output.table(["ID", "USER", "LABEL", "SCOPE", "EXPIRES", "LAST USED"], rows)


@token.command(examples="casdav token revoke 7g2m0qk4xz")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@pass_session
def revoke(session: Session, ids: tuple[str, ...]) -> None:
    """End app passwords, by the ids that `casdav token list` shows."""
    with session.open() as repository:
        for token_id in ids:
            app_passwords.revoke_app_password(repository, token_id, author=author())
            session.output.done(f"revoked {token_id}")
    session.output.document({"revoked": list(ids)})


def _jwt(repository: cas.Repository, user: str, scope: Scope) -> dict[str, object]:
    account = accounts.get_user(repository, user)
    if scope.volume:
        repository.volume(scope.volume)
    issued = access_tokens.access_tokens(repository, time.time_ns).issue(account, scope)
    return {
        "user": user,
        "type": "jwt",
        "lifetime_seconds": access_tokens.LIFETIME_SECONDS,
        **_scope_members(scope),
        "secret": issued,
    }


def _members(repository: cas.Repository, item: AppPassword) -> dict[str, object]:
    used_ns = app_passwords.last_used_ns(repository, item.id)
    return {
        "id": item.id,
        "user": item.user,
        "type": "app-password",
        "label": item.label,
        "created": time_text(item.created_ns),
        "expires": time_text(item.expires_ns) if item.expires_ns else None,
        "expired": app_passwords.is_expired(item, time.time_ns()),
        "last_used": None if used_ns is None else time_text(used_ns),
        **_scope_members(item.scope),
    }


def _scope_members(scope: Scope) -> dict[str, object]:
    only = str(Location(scope.volume, scope.path)) if scope.volume else None
    return {"read_only": scope.read_only, "only": only}


def _scope_text(members: dict[str, object]) -> str:
    words = ["read" if members["read_only"] else "all"]
    if members["only"]:
        words.append(f"in {printable(str(members['only']))}")
    return " ".join(words)
