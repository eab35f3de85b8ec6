"""`casdav index`: the catalog, which finds things fast and holds nothing of its own."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Group
from tools.names import printable, size_text
from tools.session import Session, pass_session, repository_expected


@click.group(cls=Group)
def index() -> None:
    """The catalog, which finds things fast and can be made anew from the packs."""


@index.command(
    examples="""
    casdav index rebuild --dry-run
    casdav index rebuild --yes
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what it would be made from.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def rebuild(session: Session, *, dry_run: bool, yes: bool) -> None:
    """Make the catalog anew from packs, refs and journal, damaged or gone as it may be.

    WebDAV locks and last-used times are gone afterwards; files, history and accounts are not. No
    other process may have the repository open. If something acknowledged cannot be read, the old
    catalog stays, and `casdav repair` says what is lost.
    """
    location = session.location()
    source = look_at(session, location)
    members: dict[str, object] = {
        "rebuilt": not dry_run,
        "packs": source.packs + source.open_packs,
        "size": source.size,
        "volumes": source.volumes,
        "objects": None,
        "problems": source.problems,
        "processes": source.processes,
    }
    if dry_run:
        session.output.document(members)
        _describe(session, source)
        return
    refuse_processes(source)
    session.output.confirm("Make the catalog anew? WebDAV locks are lost.", yes=yes)
    made = cas.rebuild_index(location, unlock=session.unlock)
    members |= {"packs": made.packs, "objects": made.objects, "volumes": made.volumes}
    session.output.document(members)
    session.output.done(
        f"made the catalog anew: {made.objects:,} objects in {made.packs:,} packs, "
        f"{made.volumes:,} volumes"
    )


def look_at(session: Session, location: str) -> cas.RebuildSource:
    """Return what there is at a location to make a catalog from.

    Raises:
        Failure: there is no repository.
    """
    with repository_expected(location):
        return cas.look_at_source(location, unlock=session.unlock)


def refuse_processes(source: cas.RebuildSource) -> None:
    """Raise where the repository is open.

    Raises:
        Failure: it is; the message says where.
    """
    if source.processes:
        raise Failure(
            f"the repository is open in another process ({', '.join(source.processes)}): stop it",
            Exit.LOCKED,
        )


def _describe(session: Session, source: cas.RebuildSource) -> None:
    output = session.output
    for problem in source.problems:
        output.text(f"damaged: {printable(problem)}")
    if source.processes:
        output.text(f"open in another process, which has to end: {', '.join(source.processes)}")
    output.text(
        f"would make the catalog anew from {source.packs:,} packs and {source.open_packs:,} open "
        f"ones ({size_text(source.size)}), {source.volumes:,} volumes"
    )
