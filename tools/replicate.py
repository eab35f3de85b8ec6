"""`casdav replicate`: a second store that holds the same repository."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import size_text
from tools.session import Session, pass_session
from tools.watching import StagePrinter


@click.command(
    cls=Command,
    examples="""
    casdav replicate /mnt/backup/casdav
    casdav replicate /mnt/backup/casdav --dry-run
    casdav --store /mnt/backup/casdav check --read-data      # is the replica sound?
    casdav --store /mnt/backup/casdav serve                  # it is a repository like any other
    """,
)
@click.argument("location", metavar="STORE2")
@click.option("-n", "--dry-run", is_flag=True, help="Only say how much would be copied.")
@pass_session
def replicate(session: Session, *, location: str, dry_run: bool) -> None:
    """Copy the repository to STORE2, or bring the copy there up to date.

    Only packs that it lacks are copied, and each is checked in full first. A server beside it goes
    on; the copy is the repository as it was when the command began. Cut off at any time, STORE2 is
    what it was before. What gc deleted here is deleted there. A copy that somebody has written to
    is left alone.
    """
    bar = session.output.progress("replicate", counted="packs", has_sizes=False)
    with session.open() as repository, bar as progress:
        watcher = StagePrinter(session.output, progress)
        report = cas.replicate(repository, location, is_dry_run=dry_run, watcher=watcher)
    session.output.document(
        {
            "dry_run": report.is_dry_run,
            "packs": report.packs,
            "size": report.size,
            "copied_packs": report.copied_packs,
            "copied_size": report.copied_size,
            "removed_packs": report.removed_packs,
            "volumes": report.volumes,
            "damaged_packs": report.damaged_packs,
        }
    )
    verb = "would copy" if dry_run else "copied"
    share = f"{report.copied_packs:,} of {report.packs:,} packs"
    session.output.done(f"{verb} {size_text(report.copied_size)}: {share}")
    if report.damaged_packs:
        names = ", ".join(report.damaged_packs[:3])
        message = f"{len(report.damaged_packs):,} packs are damaged and were not copied ({names})"
        raise Failure(f"{message}: run `casdav check --read-data`", Exit.INTEGRITY)
