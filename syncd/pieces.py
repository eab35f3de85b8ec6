"""What sending and fetching share: a piece of a file, and how far a transfer is."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Piece(NamedTuple):
    """A chunk of a file: where in it, its id, its length in bytes."""

    offset: int
    id: bytes
    length: int


class Progress(Protocol):
    """Is told how far transfers are, in bytes of files, by any thread."""

    def moved(self, *, up: int = 0, down: int = 0) -> None:
        """So many bytes of content have gone up, or come down."""

    def spared(self, *, up: int = 0, down: int = 0) -> None:
        """So many bytes are dealt with that the other side, or this disk, had already."""


class Counted:
    """Counts what one job has done, and passes it on. One thread at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.done = 0

    def moved(self, *, up: int = 0, down: int = 0) -> None:
        """See `Progress`."""
        self.done += up + down
        self._progress.moved(up=up, down=down)

    def spared(self, *, up: int = 0, down: int = 0) -> None:
        """See `Progress`."""
        self.done += up + down
        self._progress.spared(up=up, down=down)
