"""`casdav upgrade`: a repository to the newest format."""

from __future__ import annotations

import click

import cas
from tools.framework import Command
from tools.names import printable
from tools.session import Session, pass_session, repository_expected


@click.command(
    cls=Command,
    examples="""
    casdav upgrade --dry-run
    casdav upgrade --yes
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def upgrade(session: Session, *, dry_run: bool, yes: bool) -> None:
    """Bring a repository that nobody has open to the format of this program.

    An older program cannot open it afterwards: make a copy of it before. Where there is nothing to
    do, nothing is changed.
    """
    location = session.location()
    with repository_expected(location):
        planned = cas.upgrade(location, is_dry_run=True)
    if planned.steps and not dry_run:
        question = f"Upgrade {printable(location)} to format {planned.version}?"
        session.output.confirm(question, yes=yes)
        cas.upgrade(location)
    session.output.document(
        {
            "store": printable(location),
            "found": planned.found,
            "format": planned.version,
            "dry_run": dry_run,
            "steps": list(planned.steps),
        }
    )
    for step in planned.steps:
        session.output.text(step)
    if not planned.steps:
        done = f"format {planned.found} is the newest: nothing to do"
    else:
        verb = "would upgrade" if dry_run else "upgraded"
        done = f"{verb} {printable(location)} from format {planned.found} to {planned.version}"
    session.output.done(done)
