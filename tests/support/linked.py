"""A linked folder as tests use it: its parts put together, and short ways to say common things."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syncd.disk.applying import Applier
from syncd.disk.ignoring import Ignored
from syncd.disk.staging import Manner, Staged, stage_file, stage_link, temporary_name
from syncd.disk.trash import Trash

if TYPE_CHECKING:
    from syncd.disk.database import Database
    from syncd.disk.folder import Folder
    from syncd.disk.signatures import Signature
    from syncd.disk.steps import Outcome, Step

TIME_NS: Final = 1_700_000_000_123_456_789


def copy_name(path: str, number: int) -> str:
    stem, dot, suffix = path.rpartition(".")
    return f"{stem or suffix} (copy{number or ''}){dot}{suffix if stem else ''}"


class Linked:
    def __init__(self, folder: Folder, database: Database) -> None:
        self.folder = folder
        self.database = database
        self.ignored = Ignored()
        self.applier = Applier(folder, database, copy_name, lambda: self.ignored)
        self.trash = Trash(folder, database, self.applier)

    @property
    def root(self) -> Path:
        return self.folder.root

    def write(self, path: str, content: bytes) -> Signature:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)
        return self.signature(path)

    def signature(self, path: str) -> Signature:
        return self.folder.signature(os.lstat(self.root / path))

    def stage(self, content: bytes, *, is_executable: bool = False) -> Staged:
        manner = Manner(TIME_NS, is_executable, 0o644)
        return stage_file(self.folder, temporary_name(), [content], manner)

    def stage_link(self, target: str) -> Staged:
        return stage_link(self.folder, temporary_name(), target, TIME_NS)

    def apply(self, *steps: Step) -> list[Outcome]:
        return self.applier.apply(steps, lambda _: None)

    def tree(self) -> dict[str, bytes | str | None]:
        """Return what the user sees: content of files, text of links, None for folders."""
        return tree_of(self.root)

    def hidden(self) -> list[str]:
        """Return what lies in syncd's own folder."""
        return [
            f"{part}/{name}"
            for part in ("tmp", "trash")
            for name in names_of(self.root / ".syncd" / part)
        ]


def names_of(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def tree_of(root: Path) -> dict[str, bytes | str | None]:
    found: dict[str, bytes | str | None] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name != ".syncd"]
        for name in (*folders, *files):
            path = Path(folder) / name
            status = path.lstat()
            content: bytes | str | None = None
            if stat.S_ISLNK(status.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            found[path.relative_to(root).as_posix()] = content
    return found
