"""`casdav purge`: what must not be found again, taken out of all history."""

from __future__ import annotations

import base64
import os
from contextlib import ExitStack

import click

import cas
from tools.framework import Command
from tools.names import json_name, printable, size_text
from tools.parameters import LOCATION, Location
from tools.session import Session, author, pass_session
from tools.watching import StagePrinter


@click.command(
    cls=Command,
    examples="""
    casdav purge alice:/passwords.txt --dry-run
    casdav purge alice:/passwords.txt --yes
    casdav gc                                  # deletes the bytes
    """,
)
@click.argument("place", metavar="VOLUME:/PATH", type=LOCATION)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def purge(session: Session, place: Location, *, dry_run: bool, yes: bool) -> None:
    """Take the content of what was once at a path, and below it, out of all history.

    It cannot be undone. No older state and no snapshot gives the content back any more, under
    whatever name the volume had it then; the next `casdav gc` deletes the bytes. Names, sizes and
    times stay in the history. Content that the volume has elsewhere now, or other volumes have,
    stays there: --dry-run says so.

    What is at the path now has to be removed first. Replicas follow with their next `replicate`
    and a `gc` of their own.
    """
    with session.open() as repository, ExitStack() as shown:
        bar = session.output.progress("purge", counted="steps", has_sizes=False)
        watcher = StagePrinter(session.output, shown.enter_context(bar))

        def confirm(found: cas.PurgeReport) -> None:
            shown.close()  # a question is asked below a bar that has ended
            question = f"Purge {printable(str(place))} for good: {_summary(found)}?"
            session.output.confirm(question, yes=yes)

        found = cas.purge_path(
            repository,
            repository.volume(place.volume),
            place.path,
            author=author(),
            is_dry_run=dry_run,
            confirm=confirm,
            watcher=watcher,
        )
    session.output.document(_members(place, found))
    verb = "would purge" if dry_run else "purged"
    session.output.done(f"{verb} {printable(str(place))}: {_summary(found)}")
    for line in _remarks(found):
        session.output.done(line)


def _summary(found: cas.PurgeReport) -> str:
    return f"{found.contents:,} contents of files, {size_text(found.size)}"


def _remarks(found: cas.PurgeReport) -> list[str]:
    lines = []
    if len(found.paths) > 1:
        names = ", ".join(f"/{printable(path)}" for path in found.paths)
        lines.append(f"it was at {names}")
    if found.snapshots:
        lines.append(f"snapshots without it from now on: {', '.join(found.snapshots)}")
    if found.shared:
        places = ", ".join(printable(f"{volume}:/{path}") for volume, path in found.shared_at)
        lines.append(f"{found.shared:,} of the contents stay, as they are elsewhere: {places}")
    if not found.is_dry_run:
        lines.append("`casdav gc` deletes the bytes")
    return lines


def _members(place: Location, found: cas.PurgeReport) -> dict[str, object]:
    paths = [json_name("path", path) for path in found.paths]
    members: dict[str, object] = {
        **json_name("volume", place.volume),
        **json_name("path", place.path),
        "paths": [path["path"] for path in paths],
        "contents": found.contents,
        "size": found.size,
        "shared": found.shared,
        "shared_at": [
            {**json_name("volume", volume), **json_name("path", path)}
            for volume, path in found.shared_at
        ],
        "snapshots": found.snapshots,
        "purged": not found.is_dry_run,
    }
    if any("path_base64" in path for path in paths):
        exact = map(os.fsencode, found.paths)
        members["paths_base64"] = [base64.b64encode(path).decode() for path in exact]
    return members
