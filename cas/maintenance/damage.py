"""What a check finds and tells, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cas.ids import Kind


class DamageKind(StrEnum):
    """What is wrong, by what mends it.

    CATALOG: the packs hold what the catalog has wrong; rebuilding it mends that. INCONSISTENT:
    bytes are as they were written, and contradict each other or the format.
    """

    MISSING = "missing"
    DAMAGED = "damaged"
    CATALOG = "catalog"
    INCONSISTENT = "inconsistent"


class Damage(NamedTuple):
    """One thing that is wrong. `pack` and `object_id` are empty where it is about none."""

    kind: DamageKind
    message: str
    pack: bytes = b""
    object_kind: Kind | None = None
    object_id: bytes = b""
    offset: int = 0


class Affected(NamedTuple):
    """A path that damage keeps from being read, in whole or in part.

    `volume` is the volume's name, empty for the registry. `states` are the names of snapshots
    and ids of commits in hex, as one writes them behind `@`; empty for the volume's present.
    """

    volume: str
    path: str
    states: tuple[str, ...]


@dataclass(slots=True)
class CheckSummary:
    """What was looked at, and how it is.

    `damaged` counts the damage that was told; of the paths that it hits, `affected` were named
    and `unnamed` not, because they are too many. `bytes_read` is plaintext in bytes, `objects`
    what the volumes reach, chunks not counted.
    """

    packs: int = 0
    packs_read: int = 0
    records_read: int = 0
    bytes_read: int = 0
    volumes: int = 0
    snapshots: int = 0
    commits: int = 0
    changes: int = 0
    objects: int = 0
    damaged: int = 0
    affected: int = 0
    unnamed: int = 0
    kinds: set[DamageKind] = field(default_factory=set)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damaged
