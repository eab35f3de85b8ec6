"""What a write leans on until it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from cas.errors import StoreError
from cas.packs import OpenPack


@dataclass(slots=True)
class Reliance:
    """The open packs that a write leans on, for its new chunks or those it found there."""

    packs: set[OpenPack] = field(default_factory=set)

    def check(self) -> None:
        """Raise where a pack has failed, so that what leans on it is not committed.

        Raises:
            StoreError: send the data again; transient.
        """
        if any(pack.failed for pack in self.packs):
            raise StoreError("writing to the disk failed: send the data again", transient=True)
