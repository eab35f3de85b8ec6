"""`casdav log`: what happened to a path, by whom, and where its old versions are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from itertools import islice, takewhile

import click

import cas
from tools.changes import Version, coalesced, version_members, version_place
from tools.exits import Failure
from tools.framework import Command
from tools.names import printable, short_time, size_text
from tools.parameters import PAST, PAST_LOCATION, Location
from tools.session import Session, pass_session
from tools.when import view_at


@click.command(
    cls=Command,
    examples="""
    casdav log alice:/letter.odt
    casdav log alice:/photos --recursive --newer 7d
    casdav log alice@2026-11-22T10:00:/letter.odt --limit 1
    casdav cat 'alice@#1234:/letter.odt' > letter.odt      # a version that log has shown
    """,
)
@click.argument("place", metavar="VOLUME[@WHEN]:/PATH", type=PAST_LOCATION)
@click.option("-R", "--recursive", is_flag=True, help="Show what is below a folder too.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show the newest N.")
@click.option("--newer", type=PAST, help="Only what happened after this moment: 7d, 2026-11-22.")
@click.option("--all", "each", is_flag=True, help="Show each of several quick saves.")
@pass_session
def log(
    session: Session,
    *,
    place: Location,
    recursive: bool,
    limit: int | None,
    newer: int | None,
    each: bool,
) -> None:
    """Show what happened to a path, newest first: when, who, how large, what.

    The path may be gone. The last column is the version as a place, for `cat`, `export` or
    `restore`; of what was removed or moved away, its last version. The history of what was moved
    or copied goes on under its old path. Of a folder, its own changes are shown, or with
    --recursive also those of all that is in it.

    What one person saves at one path within a minute is one line, as programs save in several
    steps; --all shows each. With --json each is one line.
    """
    with session.open() as repository:
        volume = repository.volume(place.volume)
        names = {info.id: info.name for info in repository.volumes()}
        items = _items(volume, place, names, recursive=recursive)
        if newer is not None:
            items = takewhile(lambda item: item.time_ns > newer, items)
        versions = (Version(item, item.old) for item in items) if each else coalesced(items)
        purged = cas.PurgedVersions(repository)
        is_empty = True
        for version in islice(versions, limit):
            if is_empty and not session.output.json:
                session.output.text(_line("TIME", "WHO", "SIZE", "WHAT", "VERSION"))
            is_empty = False
            members = version_members(repository, volume, names, version, purged)
            session.output.message("change", members)
            if not session.output.json:
                session.output.text(_row(repository, names, version, purged))
        if not recursive and not session.output.json and _is_folder(volume, place):
            session.output.done("what happened to single files in it, --recursive shows")
        begins = _later_beginning(volume)
        is_all = newer is None and next(versions, None) is None
    if is_empty and newer is None:
        raise Failure(
            "; ".join(filter(None, [f"nothing is known of {printable(str(place))!r}", begins]))
        )
    if is_all and begins and not session.output.json:
        session.output.done(begins)


def _later_beginning(volume: cas.Volume) -> str:
    """Return where the volume's history begins, in words, if not with its first change."""
    begins = volume.beginning()
    return cas.beginning_text(begins) if begins is not None and begins.first_sequence > 1 else ""


def _is_folder(volume: cas.Volume, place: Location) -> bool:
    with volume.view() as view:
        entry = view.get(place.path)
    return entry is not None and entry.is_directory


def _items(
    volume: cas.Volume, place: Location, names: Mapping[bytes, str], *, recursive: bool
) -> Iterator[cas.LogItem]:
    before = None
    if place.when:
        with view_at(volume, place.when) as view:
            before = view.sequence + 1
    return volume.log(place.path, before=before, recursive=recursive, may_follow=names.__contains__)


def _row(
    repository: cas.Repository,
    names: Mapping[bytes, str],
    version: Version,
    purged: cas.PurgedVersions,
) -> str:
    item = version.item
    entry = item.new or version.old
    shown = _pasteable(version_place(names, version))
    if item.source is not None and version.what in {"moved", "copied"}:
        other = names.get(item.source_volume, "") if item.source_volume else ""
        shown += f"  from {printable(f'{other}:' if other else '')}/{printable(item.source)}"
    if item.target is not None:
        shown += f"  to /{printable(item.target)}"
    if version.changes > 1:
        shown += f"  ({version.changes} changes)"
    if entry is not None and purged.has(item.volume_id, version.sequence, entry):
        shown += "  (purged)"
    elif entry is not None and not cas.is_stored(repository, entry):
        shown += "  (content not kept)"
    return _line(
        short_time(item.time_ns),
        printable(item.author) or "-",
        "" if entry is None else size_text(entry.size),
        version.what,
        shown,
    )


def _line(time: str, who: str, size: str, what: str, rest: str) -> str:
    """Return a line of the table; its widths are set, as lines are shown while more are read."""
    return f"{time:<16}  {who:<14}  {size:>10}  {what:<10}  {rest}"


def _pasteable(place: Location) -> str:
    """Return the place as a word for a shell; the `#` of a change needs no quotes by itself."""
    shown = printable(str(place))
    quoted = shlex.quote(shown)
    return shown if shlex.quote(shown.replace("#", "", 1)) == shown.replace("#", "", 1) else quoted
