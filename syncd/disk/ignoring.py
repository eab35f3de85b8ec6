"""What stays out of the sync: `.syncignore`, rules of this device alone, litter of systems.

The patterns have the meaning they have in a `.gitignore`. A line that begins with `(?d)` says that
what it matches may be deleted when the folder around it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pathspec import GitIgnoreSpec

IGNORE_NAME: Final = ".syncignore"
"""The file at the top of a linked folder that holds its patterns; it is synced like any other."""

_DELETABLE: Final = "(?d)"

BUILT_IN: Final = (
    # what systems leave about
    "(?d).DS_Store",
    "(?d).AppleDouble/",
    "(?d).Spotlight-V100/",
    "(?d).fseventsd/",
    "(?d)Thumbs.db",
    "(?d)ehthumbs.db",
    "(?d)desktop.ini",
    ".Trash-*/",
    ".Trashes/",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    "lost+found/",
    # names that stand for a file which is open or half written
    "(?d).nfs*",
    "(?d).fuse_hidden*",
    "(?d).goutputstream-*",
    "(?d).~lock.*#",
    "(?d)~$*",
    "(?d).#*",
    "(?d).*.sw[a-p]",
    "(?d).casdav-export-*",
)
"""Patterns that hold in every folder; `!pattern` in `.syncignore` takes one back."""


class Ignored:
    """Which paths are left out. Thread-safe: it does not change.

    Args:
        lines: of `.syncignore`, then those of this device; a later line goes before an earlier.

    Attributes:
        lines: as given.
        mistakes: lines that are no patterns, each with what is wrong.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.lines = tuple(lines)
        self.mistakes: list[tuple[str, str]] = []
        every: list[str] = []
        deletable: list[str] = []
        for line in (*BUILT_IN, *self.lines):
            pattern = line.removeprefix(_DELETABLE)
            if not self._is_sound(pattern):
                continue
            every.append(pattern)
            if line.startswith(_DELETABLE):
                deletable.append(pattern)
        self._all = GitIgnoreSpec.from_lines(map(_matchable, every))
        self._deletable = GitIgnoreSpec.from_lines(map(_matchable, deletable))

    def _is_sound(self, pattern: str) -> bool:
        try:
            GitIgnoreSpec.from_lines([_matchable(pattern)])
        except ValueError as error:
            self.mistakes.append((pattern, str(error)))
            return False
        return True

    def matches(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether a path, relative to the top, is left out."""
        return self._all.match_file(_matchable(f"{path}/" if is_folder else path))

    def may_go(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether a path is left out and may be deleted along with its folder."""
        text = _matchable(f"{path}/" if is_folder else path)
        return self._all.match_file(text) and self._deletable.match_file(text)


def parse_lines(content: bytes) -> list[str]:
    """Return the lines of a file with patterns; a mark of the byte order is left out."""
    text = content.decode("utf-8-sig", "surrogateescape")
    return [line.rstrip("\r") for line in text.split("\n")]


def _matchable(text: str) -> str:
    """Return a path or pattern without line breaks, which the matching would trip over.

    What stands in for them is in no name: of surrogates, file names have only U+DC80 to U+DCFF.
    """
    return text.replace("\n", "\udc0a")
