"""Where tests have their repositories: on the disk, or with `--in-bucket` in a real bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.seaweed import Seaweed, new_bucket

_buckets: list[tuple[Seaweed, str]] = []


@contextmanager
def repositories_in_buckets(server: Seaweed, durability: str) -> Iterator[None]:
    """Let `location_of` return places in the server's bucket until the end of the block."""
    _buckets.append((server, durability))
    try:
        yield
    finally:
        _buckets.pop()


def location_of(path: Path) -> str:
    """Return the location of a new repository: the path, or a bucket with its local part there."""
    if not _buckets:
        return str(path)
    server, durability = _buckets[-1]
    return new_bucket(server).url(local=str(path), durability=durability)
