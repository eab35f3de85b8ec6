"""`casdav volume`: create, list and delete volumes, share them, limit them."""

from __future__ import annotations

from typing import TypedDict

import click

import cas
from dav import accounts, grants, schedules
from tools.framework import Group
from tools.freshening import freshness
from tools.names import json_name, printable, size_text, time_text
from tools.parameters import LIMIT, limit_of
from tools.retaining import retention
from tools.scheduling import schedule, schedule_text
from tools.session import Session, author, pass_session
from tools.undeleting import list_deleted, undelete


@click.group(cls=Group)
def volume() -> None:
    """Volumes: versioned trees, a user's home or a shared space."""


@volume.command(
    examples="""
    casdav volume create family
    casdav volume create projects --owner alice --quota 500G
    """,
)
@click.argument("name")
@click.option("--owner", default="", help="The user who manages it; none if not given.")
@click.option("--quota", type=LIMIT, help="Bytes that it may hold, as 500G.")
@pass_session
def create(session: Session, name: str, owner: str, quota: int | None) -> None:
    """Make an empty volume. Grant it to users with `casdav volume grant`."""
    with session.open() as repository:
        if owner:
            accounts.get_user(repository, owner)
        made = repository.create_volume(name, owner=owner, quota=limit_of(quota), author=author())
        session.output.document(dict(_members(repository, made.info)))
    session.output.done(f"made the volume {printable(name)}")


@volume.command(
    "list",
    examples="""
    casdav volume list
    casdav volume list --json
    casdav volume list --deleted
    """,
)
@click.option("--deleted", is_flag=True, help="List those that `undelete` can bring back instead.")
@pass_session
def list_(session: Session, *, deleted: bool) -> None:
    """List the volumes with owner, size, quota, grants and the schedule of snapshots."""
    if deleted:
        list_deleted(session)
        return
    with session.open() as repository:
        found = [_members(repository, info) for info in repository.volumes()]
    session.output.document(found)
    rows = [
        [
            printable(str(item["name"])),
            printable(str(item["owner"] or "-")),
            size_text(item["size"]),
            "-" if item["quota"] is None else size_text(item["quota"]),
            ", ".join(f"{user}:{right}" for user, right in item["grants"].items()) or "-",
            schedule_text(item["schedule"]),
        ]
        for item in found
    ]
    session.output.table(["NAME", "OWNER", ">SIZE", ">QUOTA", "GRANTS", "SCHEDULE"], rows)


@volume.command(
    examples="""
    casdav volume delete family --dry-run
    casdav volume delete family --yes
    """,
)
@click.argument("name")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, name: str, *, dry_run: bool, yes: bool) -> None:
    """Delete a volume with its files. A user's home goes with the user.

    What it held is kept as long as versions are (`gc.keep_within` of the settings, 30 days): until
    then `casdav volume undelete` brings it back.
    """
    with session.open() as repository:
        info = repository.volume(name).info
        members = _members(repository, info)
        what = f"{members['files']:,} files, {size_text(members['size'])}"
        if not dry_run:
            question = f"Delete the volume {printable(name)} with {what}?"
            session.output.confirm(question, yes=yes)
            grants.delete_volume(repository, name, author=author())
    session.output.document({**members, "deleted": not dry_run})
    verb = "would delete" if dry_run else "deleted"
    session.output.done(f"{verb} the volume {printable(name)}: {what}")


@volume.command(
    examples="""
    casdav volume grant family bob read
    casdav volume grant family carol manage
    """,
)
@click.argument("name", metavar="VOLUME")
@click.argument("user")
@click.argument("right", type=click.Choice(list(grants.RIGHTS)))
@pass_session
def grant(session: Session, name: str, user: str, right: str) -> None:
    """Give a user a right on a volume, in place of the one the user had."""
    with session.open() as repository:
        grants.grant(repository, name, user, grants.parse_right(right), author=author())
    session.output.document({**json_name("volume", name), "user": user, "right": right})
    session.output.done(f"{user} may now {right} {printable(name)}")


@volume.command(examples="casdav volume revoke family bob")
@click.argument("name", metavar="VOLUME")
@click.argument("user")
@pass_session
def revoke(session: Session, name: str, user: str) -> None:
    """Take away what a user was granted on a volume."""
    with session.open() as repository:
        grants.revoke(repository, name, user, author=author())
    session.output.document({**json_name("volume", name), "user": user, "right": None})
    session.output.done(f"{user} has no grant on {printable(name)} any more")


@volume.command(
    examples="""
    casdav volume quota family 200G
    casdav volume quota family none
    """,
)
@click.argument("name", metavar="VOLUME")
@click.argument("size", type=LIMIT)
@pass_session
def quota(session: Session, name: str, size: int) -> None:
    """Limit how many bytes a volume's files may hold, or set no limit."""
    limit = limit_of(size)
    with session.open() as repository:
        repository.set_quota(name, limit, author=author())
    session.output.document({**json_name("volume", name), "quota": limit})
    shown = "no quota" if limit is None else f"a quota of {size_text(limit)}"
    session.output.done(f"{printable(name)} has {shown} now")


volume.add_command(retention)
volume.add_command(freshness)
volume.add_command(schedule)
volume.add_command(undelete)


class _Members(TypedDict):
    name: str
    owner: str
    created: str | None
    quota: int | None
    size: int
    files: int
    folders: int
    grants: dict[str, str]
    schedule: dict[str, int] | None


def _members(repository: cas.Repository, info: cas.VolumeInfo) -> _Members:
    with repository.volume(info.name).view() as view:
        root = view.root
    return {
        "name": info.name,
        "owner": info.owner,
        "created": time_text(info.created_ns),
        "quota": info.quota,
        "size": root.size,
        "files": root.files,
        "folders": root.folders,
        "grants": {
            grant.user: grant.right.name.lower()
            for grant in grants.list_grants(repository, info.name)
        },
        "schedule": schedules.kept(repository, info.id),
    }
