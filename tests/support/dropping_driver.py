"""A process that makes and deletes volumes and collects garbage, until it is killed.

    python -m tests.support.dropping_driver LOCATION SEED

Of the volumes `kept` nothing is ever deleted; `of N` come and go, some are brought back. What they
hold is partly what the kept one holds too.
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress

import cas
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=cas.Retention())
KEPT = "kept"
SHARED = 20
SIZE = 50_000


def main() -> None:
    location, seed = sys.argv[1], int(sys.argv[2])
    chance = random.Random(seed)
    with cas.open(location) as repository:
        for round_number in range(1_000_000):
            name = f"of {chance.randrange(4)}"
            there = {info.name for info in repository.volumes()}
            if name in there:
                repository.delete_volume(name)
                if chance.random() < 0.3:
                    with suppress(cas.NotFoundError):
                        cas.undelete_volume(repository, name)
            else:
                volume = repository.create_volume(name)
                put(volume, "shared", seeded_bytes(chance.randrange(SHARED), SIZE))
                put(volume, "own", seeded_bytes(1000 + seed + round_number, SIZE))
            if chance.random() < 0.5:
                repository.engine.chunks.open_packs.seal_current()
                cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)


if __name__ == "__main__":
    main()
