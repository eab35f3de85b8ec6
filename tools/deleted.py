"""What was deleted: the newest at a path, and all below a folder."""

from __future__ import annotations

from collections.abc import Iterator

import cas
from tools.entries import entry_members
from tools.exits import Exit, Failure
from tools.names import json_name, printable, short_time, size_text, time_text
from tools.parameters import Location
from tools.session import Session

_PASSING_NS = 60 * 1_000_000_000
"""What was at a path for less than this is a step of a program that saves."""


def newest_removal(
    volume: cas.Volume, place: Location, *, is_elsewhere: bool, newer_ns: int | None
) -> cas.LogItem:
    """Return the change that deleted what was last at the place.

    With `is_elsewhere` it goes to another place: whether the name is in use does not matter.

    Raises:
        Failure: nothing was deleted there, or something is there now.
    """
    shown = printable(str(place))
    for item in volume.log(place.path):
        if item.path != place.path or (newer_ns is not None and item.time_ns <= newer_ns):
            break
        if item.new is None and item.target is None:
            return item
        if is_elsewhere:
            continue
        if item.target is not None:
            there = printable(str(Location(place.volume, item.target)))
            raise Failure(f"{shown} was not deleted, but moved to {there}")
        message = f"{shown} exists: say with --to where the deleted one shall go"
        raise Failure(f"{message}; for a version of what is there see `casdav log`", Exit.CONFLICT)
    raise Failure(f"nothing that is known was deleted at {shown}")


def list_deleted(
    session: Session,
    repository: cas.Repository,
    place: Location,
    *,
    newer_ns: int | None,
    each: bool,
) -> None:
    """Print what was deleted at and below the place and is not there now, newest first.

    With `each`, also what was there for a moment only, as temporary files are.
    """
    volume = repository.volume(place.volume)
    rows = []
    passing: list[cas.LogItem] = []
    purged = cas.PurgedVersions(repository)
    for item, entry in deleted(
        volume, place.path, newer_ns=newer_ns, passing=None if each else passing
    ):
        when = f"#{item.sequence - 1}"
        is_purged = purged.has(item.volume_id, item.sequence - 1, entry)
        is_kept = not is_purged and cas.is_stored(repository, entry)
        found = Location(place.volume, item.path, when)
        members = {
            **json_name("volume", place.volume),
            **entry_members(item.path, entry),
            "when": when,
            "deleted": time_text(item.time_ns),
            "author": item.author,
            "kept": is_kept,
        }
        session.output.message("deleted", members)
        rows.append(
            [
                short_time(item.time_ns),
                printable(item.author) or "-",
                size_text(entry.size),
                f"{entry.file_count:,}",
                printable(str(found)) + ("" if is_kept else "  (content not kept)"),
            ]
        )
    session.output.table(["DELETED", "BY", ">SIZE", ">FILES", "LAST VERSION"], rows)
    if not rows:
        session.output.done("nothing was deleted that is not there again")
        if passing:
            less = f"{len(passing):,} that were there for less than a minute are not listed"
            session.output.done(f"{less}: --all lists them")


def deleted(
    volume: cas.Volume, path: str, *, newer_ns: int | None, passing: list[cas.LogItem] | None
) -> Iterator[tuple[cas.LogItem, cas.Entry]]:
    """Yield what was deleted at and below a path, and is not there now, with its last entry.

    What was there for a moment only goes to the list `passing`, if there is one.
    """
    seen: set[str] = set()
    with volume.view() as present:
        for item in volume.log(path, before=present.sequence + 1, recursive=True):
            if newer_ns is not None and item.time_ns <= newer_ns:
                return
            if item.old is None or item.new is not None or item.target is not None:
                continue
            if item.path in seen or present.get(item.path) is not None:
                continue
            if passing is not None and _was_passing(volume, item):
                passing.append(item)
            else:
                yield item, item.old
            seen.add(item.path)


def _was_passing(volume: cas.Volume, removal: cas.LogItem) -> bool:
    """Tell whether what was removed had come to its path a moment before."""
    for earlier in volume.log(removal.path, before=removal.sequence):
        if abs(removal.time_ns - earlier.time_ns) >= _PASSING_NS:
            return False
        if earlier.old is None:
            return True
    return False
