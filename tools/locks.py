"""`casdav lock`: the locks that WebDAV clients hold."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click

import cas
from tools.exits import Failure
from tools.framework import Group
from tools.names import json_name, printable, time_text
from tools.parameters import LOCATION, Location
from tools.session import Session, pass_session

_SECOND_NS = 1_000_000_000


@click.group(cls=Group)
def lock() -> None:
    """WebDAV locks: who holds which file, and how to break one that was left behind."""


@lock.command(
    "list",
    examples="""
    casdav lock list
    casdav lock list alice:/docs
    """,
)
@click.argument("place", metavar="[VOLUME:/PATH]", type=LOCATION, required=False)
@pass_session
def list_(session: Session, place: Location | None) -> None:
    """List the locks, or those at and below a path."""
    with session.open() as repository:
        names = {info.id: info.name for info in repository.volumes()}
        found = [
            _members(names.get(item.volume_id, "?"), item) for item in _locks(repository, place)
        ]
    session.output.document(found)
    now_ns = time.time_ns()
    rows = [
        [
            str(item["token"]),
            str(item["user"]),
            f"{item['scope']}{', all below' if item['depth'] == 'infinity' else ''}",
            _left(item["expires_ns"], now_ns),
            printable(f"{item['volume']}:/{item['path']}"),
        ]
        for item in found
    ]
    session.output.table(["TOKEN", "USER", "SCOPE", ">LEFT", "PATH"], rows)


@lock.command(
    "break",
    examples="""
    casdav lock break opaquelocktoken:2b0b51a2-8f83-4f0c-a3f0-6d0f3ad5a6c5
    casdav lock break --at alice:/docs --dry-run
    """,
)
@click.argument("tokens", metavar="[TOKEN...]", nargs=-1)
@click.option("--at", "place", type=LOCATION, help="Break all locks at and below this path.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say which locks would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def break_(
    session: Session,
    tokens: tuple[str, ...],
    place: Location | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take locks away from who holds them. What they have not saved yet may be refused."""
    if bool(tokens) == bool(place):
        raise click.UsageError("name locks by token, or all at a path with --at")
    with ExitStack() as stack:
        repository = stack.enter_context(session.open())
        names = {info.id: info.name for info in repository.volumes()}
        doomed = _named(repository, tokens) if tokens else _locks(repository, place)
        if doomed and not dry_run:
            session.output.confirm(f"Break {len(doomed)} locks?", yes=yes)
        for item in doomed:
            if not dry_run:
                repository.locks.release(item.token)
            path = printable(str(Location(names.get(item.volume_id, "?"), item.path)))
            verb = "would break" if dry_run else "broke"
            session.output.done(f"{verb} the lock of {item.principal} on {path}")
        members = [_members(names.get(item.volume_id, "?"), item) for item in doomed]
    session.output.document({"broken": not dry_run, "locks": members})


def _locks(repository: cas.Repository, place: Location | None) -> list[cas.Lock]:
    if place is None:
        return sorted(repository.locks.all(), key=lambda item: (item.volume_id, item.path))
    return repository.locks.below(repository.volume(place.volume).id, place.path)


def _named(repository: cas.Repository, tokens: tuple[str, ...]) -> list[cas.Lock]:
    found = []
    for token in tokens:
        item = repository.locks.get(token)
        if item is None:
            raise Failure(f"there is no lock {token!r}; see `casdav lock list`")
        found.append(item)
    return found


def _members(volume: str, item: cas.Lock) -> dict[str, object]:
    return {
        "token": item.token,
        **json_name("volume", volume),
        **json_name("path", item.path),
        "user": item.principal,
        "scope": "shared" if item.shared else "exclusive",
        "depth": "infinity" if item.infinite else "0",
        "created": time_text(item.created_ns),
        "expires": time_text(item.expires_ns),
        "expires_ns": item.expires_ns,
    }


def _left(expires_ns: object, now_ns: int) -> str:
    assert isinstance(expires_ns, int)  # noqa: S101 - `_members` made it
    return f"{max(0, expires_ns - now_ns) // _SECOND_NS} s"
