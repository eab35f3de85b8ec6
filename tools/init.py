"""`casdav init`: make a repository."""

from __future__ import annotations

import click

import cas
from tools.framework import Command
from tools.names import printable
from tools.session import Session, pass_session


@click.command(
    cls=Command,
    examples="""
    casdav init                    # where `casdav serve` looks by default
    casdav init /srv/casdav
    """,
)
@click.argument("place", metavar="[STORE]", required=False)
@pass_session
def init(session: Session, place: str | None) -> None:
    """Make a repository in a new or empty directory.

    It holds everything: files, history, users. Then add a user and serve it.
    """
    location = place or session.location()
    with cas.create(location) as repository:
        members = {"store": printable(location), "identity": repository.identity.hex()}
    session.output.document(members)
    session.output.done(f"made a repository in {printable(location)}")
    session.output.done("next: casdav user add NAME --admin, then casdav serve")
