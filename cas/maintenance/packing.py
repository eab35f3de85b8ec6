"""Which packs a collection empties: a pure decision over how much of each is live."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from cas.formats import PACK_SIZE_TARGET
from cas.packfile import HEADER_SIZE, TRAILER_SIZE, PackKind

DEAD_SHARE: Final = 0.2
"""Share of a pack that may be dead: more, and what is live in it is written anew elsewhere."""
SMALL_SIZE: Final = PACK_SIZE_TARGET // 4
"""Bytes of live records below which a pack is small."""
OUTDATED_PACKS: Final = 8
"""Packs of an older key that one collection encrypts anew at most, or the share below if more."""
OUTDATED_SHARE: Final = 0.05
SMALL_PACKS: Final = 8
"""Small packs of one kind that there may be: from so many on, they are merged."""


class PackUse(NamedTuple):
    """A sealed pack: its ordinal, and its size and that of its live records in bytes.

    `is_outdated` says that an older key encrypts it than the one that encrypts what is new.
    """

    ordinal: int
    kind: int
    size: int
    live_size: int
    is_outdated: bool = False

    @property
    def dead_size(self) -> int:
        """Bytes that it would be smaller without what is dead in it."""
        return self.size - self.live_size - HEADER_SIZE - TRAILER_SIZE


def packs_to_empty(packs: Iterable[PackUse], condemned: Container[int]) -> list[PackUse]:
    """Return the packs to be emptied: first those from which the least is to be copied.

    Those that are condemned already are among them, and some that an older key encrypts.
    """
    chosen: list[PackUse] = []
    outdated: list[PackUse] = []
    small: dict[int, list[PackUse]] = {PackKind.DATA: [], PackKind.TREE: []}
    count = 0
    for pack in packs:
        count += 1
        is_dead = pack.dead_size > pack.size * DEAD_SHARE or not pack.live_size
        if is_dead or pack.ordinal in condemned:
            chosen.append(pack)
        elif pack.is_outdated:
            outdated.append(pack)
        elif pack.live_size < SMALL_SIZE:
            small.setdefault(pack.kind, []).append(pack)
    for alike in small.values():
        if len(alike) >= SMALL_PACKS:
            chosen += alike
    chosen += outdated[: max(OUTDATED_PACKS, int(count * OUTDATED_SHARE))]
    return sorted(chosen, key=lambda pack: pack.live_size)
