"""What an import decides, without doing it: pairs of names, what to do with one, the totals."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import NamedTuple

import cas
from tools.source_tree import Excluded, special_kind


class Pair(NamedTuple):
    """A name of a folder: whether the source has it, and what the volume has under it."""

    name: str
    is_outside: bool
    existing: cas.Entry | None


def merge(names: Iterable[str], there: Iterable[tuple[str, cas.Entry]]) -> Iterator[Pair]:
    """Yield each name that either side has, once. Both must come in the order of their bytes."""
    listing = iter(there)
    inside = next(listing, None)
    if inside is None:
        for name in names:
            yield Pair(name, is_outside=True, existing=None)
        return
    for name in names:
        key = os.fsencode(name)
        while inside is not None and os.fsencode(inside[0]) < key:
            yield Pair(inside[0], is_outside=False, existing=inside[1])
            inside = next(listing, None)
        if inside is not None and inside[0] == name:
            yield Pair(name, is_outside=True, existing=inside[1])
            inside = next(listing, None)
        else:
            yield Pair(name, is_outside=True, existing=None)
    while inside is not None:
        yield Pair(inside[0], is_outside=False, existing=inside[1])
        inside = next(listing, None)


class Wish(Enum):
    """What is to be done with a name that the source has."""

    BRING = auto()
    """Make it, or compare it with what is there."""
    REPLACE = auto()
    """Remove what is there, which is of another kind, and make it."""
    REFUSE = auto()
    """Report it as a problem."""


def decide(status: os.stat_result, existing: cas.Entry | None, *, delete: bool) -> Wish:
    """Return what to do with a name, by what it is outside and in the volume.

    A folder with something in it gives way to a file only with `delete`.
    """
    if special_kind(status) is not None:
        return Wish.REFUSE
    if existing is None:
        return Wish.BRING
    if stat.S_ISDIR(status.st_mode):
        return Wish.BRING if existing.is_directory else Wish.REPLACE
    if existing.is_directory:
        is_empty = not existing.content
        return Wish.REPLACE if delete or is_empty else Wish.REFUSE
    if stat.S_ISREG(status.st_mode) and not existing.is_file:
        return Wish.REPLACE
    return Wish.BRING


class Doomed(NamedTuple):
    """What is to go from the volume: its path outside and there, and what it holds.

    Whatever others put there meanwhile does not go with it.
    """

    source: str
    target: str
    content: bytes

    def remove(self, edit: cas.Edit) -> None:
        """Have the edit remove it, if it is as it was."""
        edit.remove(self.target, expect=cas.ContentIs(self.content))


def doomed(
    view: cas.View, source: str, target: str, entry: cas.Entry, excluded: Excluded
) -> list[Doomed]:
    """Return what goes when a path, which has this entry, is to be removed.

    That is the path itself, if nothing within it is excluded; else all that neither is nor holds
    what is excluded.
    """
    whole = Doomed(source, target, entry.content)
    if not entry.is_directory or not excluded.has_patterns:
        return [whole]
    parts: list[Doomed] = []
    is_whole = True
    for name, member in view.list(target):
        within = f"{source}/{name}"
        if excluded.matches(within, is_directory=member.is_directory):
            is_whole = False
            continue
        below = doomed(view, within, f"{target}/{name}", member, excluded)
        is_whole = is_whole and [part.source for part in below] == [within]
        parts += below
    return [whole] if is_whole else parts


@dataclass
class Totals:
    """What an import did, for its summary.

    `undecided` counts files that a dry run would have to read.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    attributes_set: int = 0
    directories_added: int = 0
    removed: int = 0
    excluded: int = 0
    mount_points: int = 0
    undecided: int = 0
    problems: int = 0
    files_read: int = 0
    bytes_read: int = 0

    def members(self) -> dict[str, int]:
        """Return the totals as the summary's JSON members."""
        return asdict(self)
