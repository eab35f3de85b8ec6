"""The cache of packs on a gateway's disk."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from cas.errors import NotFoundError, StoreError
from cas.stores.base import ByteRange
from cas.stores.pack_cache import BLOCK_SIZE, READ_AHEAD, PackCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "packs/3f/3fa9"
MiB = 1 << 20


class Elsewhere:
    """Packs that are far away, and the ranges that were asked for."""

    def __init__(self) -> None:
        self.packs = {NAME: random.Random(7).randbytes(20 * MiB + 12_345)}
        self.asked: list[tuple[str, int, int]] = []
        self.is_away = False

    def fetch(self, name: str, byte_range: ByteRange) -> bytes:
        if self.is_away:
            raise StoreError("away", transient=True)
        if name not in self.packs:
            raise NotFoundError(name)
        self.asked.append((name, *byte_range))
        return self.packs[name][byte_range.start : byte_range.stop]


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def opened(tmp_path: Path, elsewhere: Elsewhere) -> Iterator[Callable[..., PackCache]]:
    """A function that opens a cache in the same directory, as a new process does."""
    made: list[PackCache] = []

    def open_cache(limit: int = 1 << 30) -> PackCache:
        made.append(PackCache(tmp_path / "cache", limit, elsewhere.fetch))
        return made[-1]

    yield open_cache
    for cache in made:
        cache.close()


def used(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/*"))


def test_any_range_is_what_the_pack_has(
    opened: Callable[..., PackCache], elsewhere: Elsewhere
) -> None:
    cache, content = opened(), elsewhere.packs[NAME]
    chance = random.Random(3)
    for _ in range(300):
        start = chance.randrange(len(content) + 5000)
        stop = start + chance.choice([0, 1, 4096, MiB, 3 * MiB])
        assert cache.get(NAME, ByteRange(start, stop)) == content[start:stop]


def test_what_was_read_is_not_asked_for_again_nor_after_a_restart(
    opened: Callable[..., PackCache], elsewhere: Elsewhere
) -> None:
    assert len(opened().get(NAME, ByteRange(5 * MiB, 5 * MiB + 4096))) == 4096
    assert elsewhere.asked == [(NAME, 5 * MiB, 6 * MiB)]
    elsewhere.is_away = True
    for cache in (opened(), opened()):
        found = cache.get(NAME, ByteRange(5 * MiB + 10, 5 * MiB + 20))
        assert found == elsewhere.packs[NAME][5 * MiB + 10 : 5 * MiB + 20]
        with pytest.raises(StoreError):
            cache.get(NAME, ByteRange(0, 10))


def test_who_reads_on_gets_four_blocks_with_a_request(
    opened: Callable[..., PackCache], elsewhere: Elsewhere
) -> None:
    cache, content = opened(), elsewhere.packs[NAME]
    found = [
        cache.get(NAME, ByteRange(start, start + MiB // 2))
        for start in range(0, len(content), MiB // 2)
    ]
    assert b"".join(found) == content
    blocks = -(-len(content) // BLOCK_SIZE)
    assert len(elsewhere.asked) <= blocks // READ_AHEAD + 4
    covered = sorted(start for _, start, _ in elsewhere.asked)
    assert len(set(covered)) == len(covered)


def test_a_block_that_was_damaged_is_fetched_anew(
    opened: Callable[..., PackCache], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    opened().get(NAME, ByteRange(0, 100))
    [block] = (tmp_path / "cache").glob("*/*-0")
    for damaged in (block.read_bytes()[:-1] + b"\0", b"", block.read_bytes()[:5000]):
        block.write_bytes(damaged)
        assert opened().get(NAME, ByteRange(0, 100)) == elsewhere.packs[NAME][:100]
    assert len(elsewhere.asked) == 4


def test_what_was_not_used_for_longest_goes_first(
    opened: Callable[..., PackCache], tmp_path: Path
) -> None:
    cache = opened(limit=6 * MiB)
    for number in range(0, 10, 2):
        cache.get(NAME, ByteRange(number * MiB, number * MiB + 1))
    for number, path in enumerate(sorted((tmp_path / "cache").glob("*/*-*"))):
        os.utime(path, (number * 1000, number * 1000))
    opened(limit=6 * MiB).get(NAME, ByteRange(0, 1))  # used again: it is the youngest now
    for number in range(11, 19, 2):
        cache.get(NAME, ByteRange(number * MiB, number * MiB + 1))
    assert used(tmp_path) <= 6 * MiB
    names = {path.name for path in (tmp_path / "cache").glob("*/*-*")}
    assert "3fa9-0" in names
    assert "3fa9-2" not in names


def test_a_pack_that_is_nowhere_is_not_found(opened: Callable[..., PackCache]) -> None:
    with pytest.raises(NotFoundError):
        opened().get("packs/00/00", ByteRange(0, 10))


def test_a_pack_that_was_here_is_kept_until_it_is_removed(
    opened: Callable[..., PackCache], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    path = tmp_path / "pack"
    path.write_bytes(elsewhere.packs[NAME])
    cache = opened()
    cache.put_file(NAME, path)
    assert cache.get(NAME, ByteRange(3, 9 * MiB)) == elsewhere.packs[NAME][3 : 9 * MiB]
    assert elsewhere.asked == []
    cache.remove(NAME)
    assert used(tmp_path) == 0


def test_a_disk_that_takes_nothing_is_no_error(
    opened: Callable[..., PackCache], elsewhere: Elsewhere, tmp_path: Path
) -> None:
    cache = opened()
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_bytes(b"no directory")
    assert cache.get(NAME, ByteRange(0, 100)) == elsewhere.packs[NAME][:100]
