"""`casdav ls` and `casdav du`: what a folder holds, and how much."""

from __future__ import annotations

from collections.abc import Iterator

import click

import cas
from tools.entries import entry_members, entry_row, viewed
from tools.framework import Command
from tools.names import json_name, printable, size_text, time_text
from tools.parameters import PAST_LOCATION, Location
from tools.session import Session, pass_session


@click.command(
    cls=Command,
    examples="""
    casdav ls                      # the volumes
    casdav ls alice:/
    casdav ls -l alice:/photos
    casdav ls -0 alice:/ | xargs -0 -n1 echo
    casdav ls --json alice:/photos
    """,
)
@click.argument("place", metavar="[VOLUME[@WHEN]:/PATH]", type=PAST_LOCATION, required=False)
@click.option("-l", "--long", is_flag=True, help="Show mode, size and time too.")
@click.option("-R", "--recursive", is_flag=True, help="List what is below folders too.")
@click.option("-0", "--null", is_flag=True, help="Print exact names, each ended by a NUL.")
@pass_session
def ls(
    session: Session, place: Location | None, *, long: bool, recursive: bool, null: bool
) -> None:
    """List a folder, or the volumes when none is named.

    Names are printed with control characters escaped. A folder's size is that of all files below
    it. With --json each entry is one line.
    """
    with session.open() as repository:
        if place is None:
            _list_volumes(session, repository)
            return
        with viewed(repository, place) as (view, entry):
            rows: list[list[str]] = []
            for path, found in _entries(view, place.path, entry, recursive=recursive):
                name = path if recursive else path.rpartition("/")[2]
                if session.output.json:
                    session.output.message("entry", entry_members(path, found))
                elif null:
                    session.output.exact(name)
                elif long:
                    rows.append(entry_row(name, found))
                else:
                    session.output.text(printable(name) + ("/" if found.is_directory else ""))
            session.output.table(["", ">", "", ""], rows, headings=False)


@click.command(
    cls=Command,
    examples="""
    casdav du alice:/
    casdav du --depth 2 alice:/photos bob:/
    """,
)
@click.argument(
    "places", metavar="VOLUME[@WHEN]:/PATH...", type=PAST_LOCATION, nargs=-1, required=True
)
@click.option(
    "--depth", type=click.IntRange(0, 255), default=0, help="Show folders down to this depth."
)
@pass_session
def du(session: Session, places: tuple[Location, ...], depth: int) -> None:
    """Show how many bytes and files are at and below paths.

    These are the sums that the tree carries: the answer takes no longer for a large folder. It
    counts files as people see them, before deduplication and compression.
    """
    with session.open() as repository:
        rows = []
        for place in places:
            with viewed(repository, place) as (view, entry):
                for path, found in _folders(view, place.path, entry, depth):
                    members = {**json_name("volume", place.volume), **entry_members(path, found)}
                    session.output.message("usage", members)
                    shown = printable(str(place._replace(path=path)))
                    rows.append([size_text(found.size), f"{found.file_count:,}", shown])
        session.output.table([">SIZE", ">FILES", "PATH"], rows)


def _list_volumes(session: Session, repository: cas.Repository) -> None:
    for info in repository.volumes():
        with repository.volume(info.name).view() as view:
            root = view.root
        members: dict[str, object] = {"name": info.name, "owner": info.owner}
        members |= {"size": root.size, "files": root.files, "created": time_text(info.created_ns)}
        session.output.message("volume", members)
        session.output.text(f"{printable(info.name)}:")


def _entries(
    view: cas.View, path: str, entry: cas.Entry, *, recursive: bool
) -> Iterator[tuple[str, cas.Entry]]:
    if not entry.is_directory:
        yield path, entry
    elif recursive:
        for below, found in view.walk(path):
            if below != path:
                yield below, found
    else:
        for name, found in view.list(path):
            yield (f"{path}/{name}" if path else name), found


def _folders(
    view: cas.View, path: str, entry: cas.Entry, depth: int
) -> Iterator[tuple[str, cas.Entry]]:
    """Yield a path and the folders below it, parents first, down to the depth."""
    pending = [(path, entry, depth)]
    while pending:
        folder, found, levels = pending.pop()
        yield folder, found
        if levels and found.is_directory:
            below = [
                (f"{folder}/{name}" if folder else name, child, levels - 1)
                for name, child in view.list(folder)
                if child.is_directory
            ]
            pending += reversed(below)
