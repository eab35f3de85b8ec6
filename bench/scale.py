"""How much a run measures: `quick` for minutes, `full` for the figures that are quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


@dataclass(frozen=True)
class Scale:
    """Sizes and counts of one run. Sizes are bytes."""

    name: str
    rounds: int
    source_tree: int
    mixed_tree: int
    checked_tree: int
    """Of the repositories of which every byte is read: the start of a command weighs little."""
    stream: int
    long_stream: int
    """Of the transfers during which memory is watched."""
    listed: int
    """Entries of the folder that is listed."""
    small_puts: int
    """Small PUTs of one round, by all clients together."""
    folders: tuple[int, ...]
    """Files of the folders that are copied, moved and deleted."""
    directories: tuple[int, ...]
    """Entries of the directories in which one entry is changed, in memory."""
    committed: tuple[int, ...]
    """The same in a repository, which takes minutes to fill with a million."""
    stored: tuple[int, int]
    """Files of the stores that are opened again: few and many."""
    packs: int
    """Packs of a bucket that a gateway with an empty disk begins with."""
    synced_files: int
    """Small files of a folder that is kept in sync."""
    synced_file: int
    """The one large file beside them."""
    watched_files: int
    """Files of a folder in which nothing happens."""


SCALES: Final = {
    scale.name: scale
    for scale in (
        Scale(
            "quick",
            rounds=3,
            source_tree=64 * MIB,
            mixed_tree=96 * MIB,
            checked_tree=256 * MIB,
            stream=256 * MIB,
            long_stream=1 * GIB,
            listed=10_000,
            small_puts=1_000,
            folders=(10_000, 100_000),
            directories=(50, 10_000, 1_000_000),
            committed=(50, 10_000, 100_000),
            stored=(1_000, 100_000),
            packs=1_000,
            synced_files=2_000,
            synced_file=128 * MIB,
            watched_files=10_000,
        ),
        Scale(
            "full",
            rounds=5,
            source_tree=256 * MIB,
            mixed_tree=512 * MIB,
            checked_tree=1 * GIB,
            stream=1 * GIB,
            long_stream=5 * GIB,
            listed=10_000,
            small_puts=4_000,
            folders=(10_000, 100_000),
            directories=(50, 10_000, 1_000_000),
            committed=(50, 10_000, 1_000_000),
            stored=(1_000, 1_000_000),
            packs=10_000,
            synced_files=10_000,
            synced_file=1 * GIB,
            watched_files=100_000,
        ),
    )
}
