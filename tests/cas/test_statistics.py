"""Statistics: equal content counts once, without a look at any data pack."""

from __future__ import annotations

from itertools import pairwise

import pytest

import cas
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes

CONTENT = seeded_bytes(1, 300_000)
TEXT = b"compresses " * 2_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


def sums(repository: cas.Repository, *names: str) -> tuple[list[int], int]:
    """Return the bytes of distinct content of each volume, and of all together."""
    views = [repository.volume(name).view() for name in names]
    found, together = cas.sum_states(repository, views)
    for view in views:
        view.close()
    return [each.plain for each in found], together.plain


def test_what_volumes_share_counts_in_each_and_once_in_all(repository: cas.Repository) -> None:
    a, b = repository.create_volume("a"), repository.create_volume("b")
    for path in ("one", "two"):
        put(a, path, CONTENT)
    put(b, "three", CONTENT)
    assert sums(repository, "a", "b") == ([300_000, 300_000], 300_000)
    put(b, "four", CONTENT + b"!")
    each, together = sums(repository, "a", "b")
    assert each[0] == 300_000
    assert 300_000 < together == each[1] < 600_000
    repository.checkpoint()
    assert sums(repository, "a", "b") == (each, together)


def test_folders_links_and_properties_are_walked(repository: cas.Repository) -> None:
    volume = repository.create_volume("v")
    assert sums(repository, "v") == ([0], 0)
    with volume.edit() as edit:
        edit.make_directory("many")
        for number in range(2_000):
            edit.put(f"many/{number}", cas.EMPTY_CONTENT)
        edit.copy("many", "again")
        edit.make_symlink("link", "many")
    put(volume, "many/1999", TEXT)
    with volume.edit() as edit:
        edit.set_properties("many", properties={"{urn:x}long": "x" * 5_000})
    (found,), _ = sums(repository, "v")
    assert len(TEXT) + 5_000 < found < len(TEXT) + 5_100


def test_all_that_is_kept_is_told_with_history(repository: cas.Repository) -> None:
    volume = repository.create_volume("v")
    put(volume, "file", TEXT)
    put(volume, "file", CONTENT)
    with volume.edit() as edit:
        edit.remove("file")
    repository.checkpoint()
    kept = cas.sum_kept(repository)
    assert kept.content.plain >= len(TEXT) + len(CONTENT)
    assert len(CONTENT) < kept.content.stored < len(CONTENT) + len(TEXT)
    assert kept.content.objects >= 2
    assert kept.metadata.stored > 0


@pytest.mark.one_gateway
def test_growth_is_as_the_commits_have_it(repository: cas.Repository, clock: FakeClock) -> None:
    volume = repository.create_volume("v")
    assert cas.growth(repository, volume.id, 10) == []
    for number in range(30):
        put(volume, f"{number}", bytes(1_000))
        repository.checkpoint()
        clock.advance(86_400)
    every = cas.growth(repository, volume.id, 30)
    assert [point.files for point in every] == list(range(1, 31))
    assert [point.size for point in every] == [1_000 * files for files in range(1, 31)]
    days = {round((b.time_ns - a.time_ns) / 86_400e9) for a, b in pairwise(every)}
    assert days == {1}
    few = cas.growth(repository, volume.id, 4)
    assert [few[0].files, few[-1].files, len(few)] == [1, 30, 4]
    assert [point.files for point in cas.growth(repository, volume.id, 1)] == [1]
