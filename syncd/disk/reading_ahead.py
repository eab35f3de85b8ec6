"""Reading large files in the background, so that small changes do not wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cas
from syncd.disk.folder import Folder
from syncd.disk.reading import ReadFile, read_file
from syncd.disk.signatures import Signature
from syncd.jobs import Check, Job, Jobs

LARGE: Final = 64 * 1024 * 1024
"""Bytes from which on a file is read in the background: less takes a tenth of a second."""

_Key = tuple[str, Signature]


class UnderWayError(Exception):
    """The file is being read; the next look, or one after it, has it."""


class Reader:
    """Reads files of a linked folder. One thread at a time; close it.

    Args:
        folder: the linked folder.
        keys: of content ids.
        on_node: is given the file nodes of what is read, by id, encoded; by any thread.
        tell: called when a large file has been read; by any thread. None has all of them read at
            once.
    """

    def __init__(
        self,
        folder: Folder,
        keys: cas.ContentKeys,
        on_node: Callable[[bytes, bytes], None] | None = None,
        tell: Callable[[], None] | None = None,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._on_node = on_node
        self._jobs = Jobs[_Key, ReadFile]("syncd-read", tell) if tell is not None else None
        self._asked: dict[_Key, Job[ReadFile]] = {}

    def read(self, path: str, signature: Signature) -> ReadFile:
        """Return what a file holds.

        Args:
            path: of the file on the disk.
            signature: how it looks now.

        Raises:
            UnderWayError: it is large, and is being read.
            ChangedError: it was written to, or replaced, meanwhile.
            OSError: it cannot be read, or is no file.
        """
        if self._jobs is None or signature.size < LARGE:
            return read_file(self._folder, path, self._keys, on_node=self._on_node)
        key = path, signature
        found = self._jobs.result(key)
        if found is not None:
            self._jobs.forget(key)
            return found
        self._asked[key] = Job(signature.size, self._work(path))
        self._jobs.add(key, self._asked[key])
        raise UnderWayError(path)

    def end_look(self) -> bool:
        """End the reading of what this look has not asked for; return whether anything is left."""
        if self._jobs is None:
            return False
        asked, self._asked = self._asked, {}
        self._jobs.want(asked)
        return bool(asked)

    def close(self) -> None:
        """End all reading."""
        if self._jobs is not None:
            self._jobs.close()

    def _work(self, path: str) -> Callable[[Check], ReadFile]:
        def work(check: Check) -> ReadFile:
            return read_file(
                self._folder,
                path,
                self._keys,
                on_chunk=lambda _: check(),
                on_node=self._on_node,
            )

        return work
