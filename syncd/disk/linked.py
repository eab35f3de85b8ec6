"""The parts of a linked folder that belong together while it is open."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from syncd.disk.applying import Applier, CopyName
from syncd.disk.folder import STATE_NAME, Folder
from syncd.disk.ignoring import IGNORE_NAME, Ignored, parse_lines
from syncd.disk.name_map import NameMap
from syncd.disk.partials import Partials
from syncd.disk.probing import Abilities, probe
from syncd.disk.state import LinkState
from syncd.disk.trash import Trash
from syncd.ports import StoppedError

_MARKER = "id"
_NO_PATTERNS = frozenset({errno.ENOENT, errno.EISDIR, errno.ELOOP})
_INODE_KEY = "inode of the marker"
_UNSTABLE_KEY = "inodes do not last"


@dataclass(slots=True)
class Linked:
    """An open folder with what looks after it."""

    folder: Folder
    state: LinkState
    abilities: Abilities
    names: NameMap
    new_mode: int
    ignored: Ignored
    applier: Applier
    trash: Trash
    partials: Partials

    def read_ignored(self, lines: list[str]) -> bool:
        """Take the patterns that hold now: of `.syncignore`, then those of this device.

        Returns:
            whether they are others than before.
        """
        patterns = _patterns(self.folder)
        if patterns is None:
            return False  # It cannot be read now: what it said holds.
        before, self.ignored = self.ignored, Ignored([*patterns, *lines])
        return self.ignored.lines != before.lines

    def close(self) -> None:
        """Close the folder."""
        self.folder.close()


def open_linked(
    root: Path, link_id: str, state: LinkState, copy_name: CopyName, new_mode: int
) -> Linked:
    """Open a linked folder and finish what the last process left in it.

    Raises:
        StoppedError: it is not there, or is not the one that was linked.
        OSError: it cannot be used.
    """
    check_marker(root, link_id)
    folder = Folder(root)
    try:
        _know_inodes(folder, state, root)
        abilities = probe(folder)
        names = NameMap(state.database, state.base, abilities)
        linked: Linked
        applier = Applier(folder, state.database, copy_name, lambda: linked.ignored)
        trash = Trash(folder, state.database, applier)
        partials = Partials(folder)
        linked = Linked(
            folder, state, abilities, names, new_mode, Ignored(), applier, trash, partials
        )
        trash.recover()
    except BaseException:
        folder.close()
        raise
    return linked


def check_marker(root: Path, link_id: str) -> None:
    """Raise unless the folder is there and is the one that was linked.

    Raises:
        StoppedError: it is not.
    """
    try:
        found = (root / STATE_NAME / _MARKER).read_text("ascii", "replace").strip()
    except FileNotFoundError as error:
        if not root.is_dir():
            raise StoppedError(f"{root} is not there: is its disk mounted?") from error
        raise StoppedError(
            f"{root} is not the folder that was linked, or its .syncd is gone: "
            "is its disk mounted? If it is, link it anew"
        ) from error
    except OSError as error:
        raise StoppedError(f"{root} cannot be read: {error.strerror}") from error
    if found != link_id:
        raise StoppedError(f"{root} is linked by somebody else ({found})")


def _know_inodes(folder: Folder, state: LinkState, root: Path) -> None:
    """Find out whether inodes last: that of the marker is another after each mount where not."""
    inode = str((root / STATE_NAME / _MARKER).stat().st_ino).encode()
    before = state.read(_INODE_KEY)
    if before is not None and before != inode:
        state.write(_UNSTABLE_KEY, b"1")
    if before != inode:
        state.write(_INODE_KEY, inode)
    folder.has_lasting_inodes = not state.read(_UNSTABLE_KEY)


def _patterns(folder: Folder) -> list[str] | None:
    """Return what `.syncignore` says; None where it is there and cannot be read."""
    try:
        with os.fdopen(folder.open_file(IGNORE_NAME), "rb") as file:
            return parse_lines(file.read())
    except OSError as error:
        return [] if error.errno in _NO_PATTERNS else None
