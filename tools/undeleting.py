"""`casdav volume undelete`: a deleted volume comes back, while it is kept."""

from __future__ import annotations

import click

import cas
from tools.framework import Command
from tools.names import json_name, printable, short_time, size_text, time_text
from tools.session import Session, author, pass_session


@click.command(
    cls=Command,
    examples="""
    casdav volume list --deleted
    casdav volume undelete family
    casdav volume undelete family --as family-of-last-week
    """,
)
@click.argument("name")
@click.option("--as", "new_name", metavar="NAME", help="What it is to be called, if not as before.")
@pass_session
def undelete(session: Session, name: str, new_name: str | None) -> None:
    """Bring back the volume NAME that was deleted last, with its files, history and snapshots.

    Its owner, quota, grants and schedule of snapshots are as they were.
    """
    with session.open() as repository:
        volume = cas.undelete_volume(repository, name, new_name=new_name, author=author())
        with volume.view() as view:
            members = _members(volume.info, view.root)
    session.output.document(members)
    held = f"{members['files']:,} files, {size_text(view.root.size)}"
    session.output.done(f"brought back the volume {printable(volume.info.name)}: {held}")


def list_deleted(session: Session) -> None:
    """Print the deleted volumes that are still kept."""
    with session.open() as repository:
        found = list(cas.deleted_volumes(repository))
    session.output.document(
        [
            {
                **_members(each.info, each.root),
                "deleted": time_text(each.deleted_ns),
                "author": each.author,
            }
            for each in found
        ]
    )
    rows = [
        [
            printable(each.info.name),
            printable(each.info.owner) or "-",
            size_text(each.root.size),
            f"{each.root.files:,}",
            short_time(each.deleted_ns),
            printable(each.author) or "-",
        ]
        for each in found
    ]
    session.output.table(["NAME", "OWNER", ">SIZE", ">FILES", "DELETED", "BY"], rows)


def _members(info: cas.VolumeInfo, root: cas.Entry) -> dict[str, object]:
    return {
        **json_name("name", info.name),
        "owner": info.owner,
        "created": time_text(info.created_ns),
        "quota": info.quota,
        "size": root.size,
        "files": root.files,
        "folders": root.folders,
    }
