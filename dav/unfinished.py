"""What the unfinished uploads of a user hold in the reserved volume, and how much they may."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import cas

FOLDER: Final = "transfers"
"""Where unfinished uploads are kept in the reserved volume, by user and then by upload."""
PART_LIMIT: Final = 10_000
"""Parts of one upload."""


UPLOAD_LIMIT: Final = 1000
"""Unfinished uploads of one user, of the drive and of the API together."""


class State(Protocol):
    """A view of the reserved volume, or its state inside a commit."""

    def get(self, path: str, /) -> cas.Entry | None:
        """Return what is at a path."""


class Held(NamedTuple):
    """What is held beside one part, which is about to be stored or replaced.

    Attributes:
        parts: how many other parts the same upload has.
        size: their bytes.
        elsewhere: the bytes of all other uploads of the user.
    """

    parts: int
    size: int
    elsewhere: int


def has_too_many(state: State, user: str) -> bool:
    """Return whether a user can begin no upload before another one has ended."""
    total = state.get(f"{FOLDER}/{user}")
    return total is not None and total.folders >= UPLOAD_LIMIT


def held(state: State, user: str, upload: str, part: str) -> Held:
    """Return what a user's unfinished uploads hold. Takes the same time for few parts and many."""
    total, own, replaced = (
        state.get(path)
        for path in (
            f"{FOLDER}/{user}",
            f"{FOLDER}/{user}/{upload}",
            f"{FOLDER}/{user}/{upload}/{part}",
        )
    )
    own_size = own.size if own else 0
    return Held(
        (own.files if own else 0) - (1 if replaced else 0),
        own_size - (replaced.size if replaced else 0),
        (total.size if total else 0) - own_size,
    )
