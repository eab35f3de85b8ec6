"""Content put together from stored parts is the same as if all bytes had been written at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cas
from tests.support.corpus import seeded_bytes

KIB = 1024


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cas.Volume]:
    directory: Path = tmp_path_factory.mktemp("append")
    with cas.create(directory / "store") as repository:
        yield repository.create_volume("parts")


def store(volume: cas.Volume, content: bytes) -> cas.Content:
    with volume.upload() as upload:
        upload.write(content)
        return upload.finish()


def size_of_packs(store: Path) -> int:
    packs = [*store.glob("packs/*/*"), *store.glob("local/open/*")]
    return sum(pack.stat().st_size for pack in packs)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["random", "zeros", "sqlite"]),
            st.one_of(st.integers(0, 5000), st.integers(0, 1500 * KIB)),
        ),
        max_size=5,
    )
)
def test_appended_parts_make_the_content_of_one_stream(
    volume: cas.Volume, parts: list[tuple[str, int]]
) -> None:
    pieces = [
        {
            "random": seeded_bytes(number, size),
            "zeros": bytes(size),
            "sqlite": (b"SQLite format 3\0" + seeded_bytes(number, size))[:size],
        }[kind]
        for number, (kind, size) in enumerate(parts)
    ]
    stored = [store(volume, piece) for piece in pieces]
    with volume.upload() as joined:
        for content in stored:
            joined.append(content, epoch=0)
        found = joined.finish()
    assert found == store(volume, b"".join(pieces))


def test_appending_to_written_bytes_goes_on_behind_them(volume: cas.Volume) -> None:
    head, tail = seeded_bytes(1, 300 * KIB), seeded_bytes(2, 6000 * KIB)
    stored = store(volume, tail)
    with volume.upload() as upload:
        upload.write(head)
        upload.append(stored, epoch=0)
        upload.write(head)
        found = upload.finish()
    assert found == store(volume, head + tail + head)


def test_appending_large_parts_stores_only_what_lies_at_their_borders(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("parts")
        parts = [store(volume, seeded_bytes(seed, 8 * KIB * KIB)) for seed in range(4)]
        repository.checkpoint()
        before = size_of_packs(tmp_path / "store")
        with volume.upload() as upload:
            for part in parts:
                upload.append(part, epoch=0)
            with volume.edit() as edit:
                edit.put("joined", upload)
        added = size_of_packs(tmp_path / "store") - before
        assert added < 3 * 6 * 256 * KIB
        with volume.view() as view, view.open("joined") as file:
            assert file.read() == b"".join(seeded_bytes(seed, 8 * KIB * KIB) for seed in range(4))
