"""What is in the linked folder now: names, kinds and signatures, without reading any content."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from syncd.disk.folder import STATE_NAME, Folder
from syncd.disk.signatures import Signature


class Kind(IntEnum):
    """What a name in the folder is."""

    FILE = 1
    FOLDER = 2
    LINK = 3
    SPECIAL = 4
    """A socket, a pipe, a device, or the root of another disk: not synced, but told of."""


class Seen(NamedTuple):
    """A name as a walk met it. `is_executable` is the owner's bit."""

    kind: Kind
    signature: Signature
    is_executable: bool
    has_other_names: bool = False
    """Whether it is a file with hard links."""


_KINDS: Final = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.LINK}
_SPECIALS: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


def seen_of(folder: Folder, status: os.stat_result) -> Seen:
    """Return what a stat of something in a folder shows."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), Kind.SPECIAL)
    if status.st_dev != folder.device:
        kind = Kind.SPECIAL
    is_executable = bool(status.st_mode & stat.S_IXUSR)
    has_other_names = kind is Kind.FILE and status.st_nlink > 1
    return Seen(kind, folder.signature(status), is_executable, has_other_names)


def special_words(folder: Folder, status: os.stat_result) -> str:
    """Return in words what something that is not synced is."""
    if status.st_dev != folder.device:
        return "the root of another disk"
    return _SPECIALS.get(stat.S_IFMT(status.st_mode), "a special file")


def look(folder: Folder, path: str) -> Seen | None:
    """Return what is at a path now, None where nothing is.

    Raises:
        OSError: it cannot be told, which is not the same as nothing being there.
    """
    try:
        return seen_of(folder, folder.status(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def list_folder(folder: Folder, path: str) -> dict[str, Seen]:
    """Return what is in a folder, syncd's own folder at the top left out.

    Raises:
        OSError: it cannot be listed.
    """
    found: dict[str, Seen] = {}
    with folder.directory(path) as descriptor, os.scandir(descriptor) as items:
        for item in items:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # It went meanwhile.
            found[item.name] = seen_of(folder, status)
    if not path:
        found.pop(STATE_NAME, None)
    return found


class Listing(NamedTuple):
    """A folder as a walk met it; `failure` where it could not be listed."""

    path: str
    names: dict[str, Seen]
    failure: OSError | None = None


def walk(folder: Folder, top: str = "", enter: Callable[[str], bool] = bool) -> Iterator[Listing]:
    """Yield each folder from `top` on, parents first, with what is in it.

    Links are not followed and other disks not entered. What `enter` says no to is not listed
    (by default all is);
    what cannot be listed is yielded with the failure, and the walk goes on.
    """
    pending = [top]
    while pending:
        path = pending.pop()
        try:
            names = list_folder(folder, path)
        except OSError as error:
            yield Listing(path, {}, error)
            continue
        yield Listing(path, names)
        prefix = f"{path}/" if path else ""
        below = (prefix + name for name, seen in names.items() if seen.kind is Kind.FOLDER)
        pending.extend(sorted((inner for inner in below if enter(inner)), reverse=True))
