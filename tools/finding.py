"""`casdav find`: paths by name, kind, size and age."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

import click

import cas
from tools.entries import entry_members, kind_word, viewed
from tools.framework import Command
from tools.names import json_name, printable
from tools.parameters import PAST, PAST_LOCATION, SIZE, Location
from tools.session import Session, pass_session

_KINDS: Final = {"f": "file", "d": "folder", "l": "symlink"}


@dataclass(frozen=True)
class Criteria:
    """What a path must be to be found; None asks nothing. Sizes in bytes."""

    name: Callable[[str], object] | None = None
    kind: str | None = None
    larger: int | None = None
    smaller: int | None = None
    newer_ns: int | None = None
    older_ns: int | None = None

    def accept(self, path: str, entry: cas.Entry) -> bool:
        """Tell whether the path is to be found."""
        if self.kind is not None and kind_word(entry) != self.kind:
            return False
        if self.larger is not None and entry.size <= self.larger:
            return False
        if self.smaller is not None and entry.size >= self.smaller:
            return False
        if self.newer_ns is not None and entry.mtime_ns <= self.newer_ns:
            return False
        if self.older_ns is not None and entry.mtime_ns >= self.older_ns:
            return False
        return self.name is None or self.name(path.rpartition("/")[2]) is not None


@click.command(
    cls=Command,
    examples="""
    casdav find alice:/ --name '*.jpg' --larger 5M
    casdav find alice:/docs --kind f --newer 7d
    casdav find alice:/ --kind d --name old -0 | xargs -0 -n1 echo
    """,
)
@click.argument("place", metavar="VOLUME[@WHEN]:/PATH", type=PAST_LOCATION)
@click.option("--name", metavar="PATTERN", help="The last name, with * ? [..]; case counts.")
@click.option("-i", "--ignore-case", is_flag=True, help="Let --name match either case.")
@click.option("--kind", type=click.Choice(sorted(_KINDS)), help="File, folder (d) or symlink.")
@click.option("--larger", type=SIZE, help="Over this size; of a folder, all that is below it.")
@click.option("--smaller", type=SIZE, help="Under this size.")
@click.option("--newer", type=PAST, help="Modified after this moment: 7d, or 2026-11-22.")
@click.option("--older", type=PAST, help="Modified before this moment.")
@click.option("-0", "--null", is_flag=True, help="Print exact paths, each ended by a NUL.")
@pass_session
def find(
    session: Session,
    *,
    place: Location,
    name: str | None,
    ignore_case: bool,
    kind: str | None,
    larger: int | None,
    smaller: int | None,
    newer: int | None,
    older: int | None,
    null: bool,
) -> None:
    """Find paths at and below a path; all that is asked must hold.

    Finding nothing is no error. With --json each path is one line.
    """
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    criteria = Criteria(
        re.compile(translate(name), flags).match if name is not None else None,
        _KINDS[kind] if kind else None,
        larger,
        smaller,
        newer,
        older,
    )
    with session.open() as repository, viewed(repository, place) as (view, entry):
        if criteria.accept(place.path, entry):
            _print(session, place, entry, null=null)
        if not entry.is_directory:
            return
        for path, found in view.walk(place.path):
            if path != place.path and criteria.accept(path, found):
                _print(session, place._replace(path=path), found, null=null)


def _print(session: Session, place: Location, entry: cas.Entry, *, null: bool) -> None:
    if session.output.json:
        members = {**json_name("volume", place.volume), **entry_members(place.path, entry)}
        session.output.message("entry", members)
    elif null:
        session.output.exact(str(place))
    else:
        session.output.text(printable(str(place)))
