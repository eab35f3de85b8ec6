"""`casdav diff`: what differs between two states."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from operator import add, sub
from typing import Final, NamedTuple

import click

import cas
from tools.entries import kind_word
from tools.framework import Command
from tools.names import json_name, printable, size_text
from tools.parameters import Location, LocationType
from tools.session import Session, pass_session
from tools.when import view_at

_ATTRIBUTES: Final = {
    "mtime_ns": "modified",
    "mode": "mode",
    "created_ns": "created",
    "content_type": "content_type",
    "properties": "properties",
    "properties_id": "properties",
}
_SIGNS: Final = {"added": "+", "removed": "-", "moved": "R"}


class StateType(LocationType):
    """`VOLUME[@WHEN][:/PATH]`: a state, or a folder or file in it."""

    def __init__(self) -> None:
        super().__init__(past=True)
        self.name = "VOLUME[@WHEN][:/PATH]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        """Return the place that the word names."""
        if isinstance(value, str) and not re.search(r":(/|$)", value):
            value = f"{value}:"
        return super().convert(value, param, ctx)


@click.command(
    cls=Command,
    examples="""
    casdav diff alice@monday alice@tuesday
    casdav diff alice@monday                        # against the present state
    casdav diff alice@monday:/photos alice:/photos --stat
    """,
)
@click.argument("old", type=StateType())
@click.argument("new", type=StateType(), required=False)
@click.option("--stat", is_flag=True, help="Only print the sums.")
@pass_session
def diff(session: Session, old: Location, new: Location | None, *, stat: bool) -> None:
    """Show what differs between two states, the older one first.

    `+` is added, `-` removed, `M` has other content, `U` other metadata alone, `T` is another kind
    of thing, `R` was moved. A folder that was added, removed or moved is one line.
    """
    new = new or old._replace(when="")
    with (
        session.open() as repository,
        view_at(repository.volume(old.volume), old.when) as before,
        view_at(repository.volume(new.volume), new.when) as after,
    ):
        for place, view in ((old, before), (new, after)):
            if view.get(place.path) is None and old.path != new.path:
                raise cas.NotFoundError(f"there is no {printable(str(place))!r}")
        if before.get(old.path) is None and after.get(new.path) is None:
            raise cas.NotFoundError(f"there is no {printable(str(old))!r} in either state")
        volume = repository.volume(new.volume)
        paths = {"path": new.path, "old_path": old.path}
        changes = volume.changes if old.volume == new.volume else None
        moves = cas.moves_between(before, after, **paths, changes=changes)
        sums = Sums()
        for difference in cas.diff(before, after, **paths, moves=moves):
            found = classify(difference)
            if found is None:
                continue
            sums.add(found)
            if not stat:
                session.output.message("difference", found.members())
                session.output.text(found.line())
    session.output.message("summary", sums.members())
    if stat:
        for line in sums.lines():
            session.output.text(line)


class Found(NamedTuple):
    """A difference as it is shown: `change` is a word of the JSON, `what` says what differs."""

    change: str
    difference: cas.Difference
    what: list[str]

    @property
    def entry(self) -> cas.Entry:
        """The entry that is told of: the new one, or of what was removed the old one."""
        entry = self.difference.new or self.difference.old
        assert entry is not None  # noqa: S101 - a difference has one of them
        return entry

    @property
    def sign(self) -> str:
        """The letter, as restic's where restic has one."""
        if self.change != "changed":
            return _SIGNS[self.change]
        return "T" if "kind" in self.what else "M" if "content" in self.what else "U"

    def members(self) -> dict[str, object]:
        """Return the JSON members."""
        path, old, new, source = self.difference
        entry = self.entry
        members: dict[str, object] = {
            "change": self.change,
            **json_name("path", path),
            "kind": kind_word(entry),
            "what": self.what,
            "old_size": None if old is None else old.size,
            "size": None if new is None else new.size,
        }
        if source is not None:
            members |= json_name("source", source)
        if entry.is_directory:
            members |= {"files": entry.files, "folders": entry.folders}
        return members

    def line(self) -> str:
        """Return the line for people."""
        path, _, _, source = self.difference
        end = "/" if self.entry.is_directory else ""
        moved = f"/{printable(source)}{end} -> " if source is not None else ""
        what = f"  ({', '.join(self.what)})" if self.what and self.sign != "M" else ""
        return f"{self.sign}  {moved}/{printable(path)}{end}{what}"


def classify(difference: cas.Difference) -> Found | None:
    """Return how a difference is shown; None for a folder of which only the content differs."""
    _, old, new, source = difference
    if old is None or new is None:
        return Found("added" if old is None else "removed", difference, [])
    what = []
    if kind_word(old) != kind_word(new):
        what.append("kind")
    elif old.content != new.content and not new.is_directory:
        what.append("content")
    for attribute, word in _ATTRIBUTES.items():
        # The time of a folder is that of the last change of its names.
        follows = attribute == "mtime_ns" and new.is_directory and old.content != new.content
        if getattr(old, attribute) != getattr(new, attribute) and not follows and word not in what:
            what.append(word)
    if source is not None:
        return Found("moved", difference, what)
    return Found("changed", difference, what) if what else None


class _Counts(NamedTuple):
    """Files, folders and bytes."""

    files: int = 0
    folders: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.folders:,} folders, {size_text(self.size)}"


class Sums:
    """Adds up differences; what was moved into or out of a folder is not counted with it."""

    def __init__(self) -> None:
        self._lines = dict.fromkeys(("added", "removed", "changed", "metadata_changed", "moved"), 0)
        self._counts = {"added": _Counts(), "removed": _Counts()}
        self._moved: dict[str, list[tuple[str, _Counts]]] = {"added": [], "removed": []}

    def add(self, found: Found) -> None:
        """Count a difference. Moves come before all others."""
        path, old, new, source = found.difference
        self._lines["metadata_changed" if found.sign == "U" else found.change] += 1
        if source is not None and old is not None and new is not None:
            insort(self._moved["removed"], (source, _counts(old)))
            insort(self._moved["added"], (path, _counts(new)))
        elif found.change in self._counts:
            counts = self._without_moved(found.change, path, _counts(found.entry))
            before = self._counts[found.change]
            self._counts[found.change] = _Counts(*map(add, before, counts))

    def members(self) -> dict[str, object]:
        """Return the JSON members."""
        members: dict[str, object] = dict(self._lines)
        for change, counts in self._counts.items():
            members[f"files_{change}"] = counts.files
            members[f"folders_{change}"] = counts.folders
            members[f"bytes_{change}"] = counts.size
        return members

    def lines(self) -> list[str]:
        """Return the sums for people."""
        lines = self._lines
        return [
            f"added:    {self._counts['added']}",
            f"removed:  {self._counts['removed']}",
            f"changed:  {lines['changed']:,}, and {lines['metadata_changed']:,} in metadata alone",
            f"moved:    {lines['moved']:,}",
        ]

    def _without_moved(self, change: str, folder: str, counts: _Counts) -> _Counts:
        moved = self._moved[change]
        top = ""
        for index in range(bisect_left(moved, (f"{folder}/",)), len(moved)):
            path, part = moved[index]
            if not path.startswith(f"{folder}/"):
                break
            if not top or not path.startswith(top):  # what is in it, is counted in it
                top = f"{path}/"
                counts = _Counts(*map(sub, counts, part))
        return counts


def _counts(entry: cas.Entry) -> _Counts:
    return _Counts(entry.file_count, entry.folder_count, entry.size)
