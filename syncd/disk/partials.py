"""Large files on their way down, in syncd's own folder: what is here of one is gone on with.

A file is `partial-CONTENT` while it comes and `whole-CONTENT` once all of it is on the disk, which
lasts over a restart. Both go when their content is not wanted any more.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from syncd.disk.folder import Folder, names_in

_PARTIAL: Final = "partial-"
_WHOLE: Final = "whole-"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def is_kept(name: str) -> bool:
    """Whether a name in syncd's own folder is one of those that last."""
    return name.startswith((_PARTIAL, _WHOLE))


class Partials:
    """The large files of a linked folder that are not at their places yet. Thread-safe, as long as
    no two threads are at one content.
    """  # noqa: D205 - one sentence

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._may_be_some = True

    @contextmanager
    def opened(self, content: bytes) -> Iterator[int]:
        """Open what is here of a content, or a new file, for the block.

        Raises:
            OSError: it cannot be opened.
        """
        self._may_be_some = True
        descriptor = os.open(self._partial(content), _FLAGS, 0o600, dir_fd=self._folder.temporary)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def finish(self, content: bytes, descriptor: int) -> None:
        """Say that all of it is in the open file; it is on the disk on return.

        Raises:
            OSError: it cannot be written.
        """
        os.fsync(descriptor)
        self._rename(self._partial(content), self._whole(content))

    def has_whole(self, content: bytes) -> bool:
        """Whether all of a content is here."""
        with suppress(FileNotFoundError):
            os.stat(self._whole(content), dir_fd=self._folder.temporary, follow_symlinks=False)
            return True
        return False

    def take(self, content: bytes, name: str) -> int | None:
        """Give a whole file a name of its own; return its descriptor, None where there is none."""
        try:
            self._rename(self._whole(content), name)
        except FileNotFoundError:
            return None
        return os.open(
            name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder.temporary
        )

    def give_back(self, content: bytes, name: str) -> None:
        """Keep a whole file that was taken, and is not at its place, for the next attempt."""
        self._rename(name, self._whole(content))

    def drop(self, content: bytes) -> None:
        """Remove what is here of a content."""
        for name in (self._partial(content), self._whole(content)):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder.temporary)

    def sweep(self, wanted: Collection[bytes]) -> None:
        """Remove all but what is wanted still."""
        if not self._may_be_some:
            return
        kept = {name for content in wanted for name in self._names(content)}
        found = [name for name in names_in(self._folder.temporary) if is_kept(name)]
        for name in found:
            if name not in kept:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._folder.temporary)
        self._may_be_some = any(name in kept for name in found)

    def _names(self, content: bytes) -> tuple[str, str]:
        return self._partial(content), self._whole(content)

    def _partial(self, content: bytes) -> str:
        return f"{_PARTIAL}{content.hex()}"

    def _whole(self, content: bytes) -> str:
        return f"{_WHOLE}{content.hex()}"

    def _rename(self, old: str, new: str) -> None:
        directory = self._folder.temporary
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)
