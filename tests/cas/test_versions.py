"""Versions of files that retention keeps where the states they were in are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from cas.retention import Retention
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read, remove

if TYPE_CHECKING:
    pass

TWO_VERSIONS = cas.VersionPolicy(versions=2, states=Retention())
LARGE = 3_000_000


def collect(repository: cas.Repository) -> None:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    cas.collect_garbage(repository, TWO_VERSIONS, grace_seconds=0)


def numbers(volume: cas.Volume, path: str) -> list[int]:
    return [item.sequence for item in volume.log(path)]


def make_versions(repository: cas.Repository, volume: cas.Volume) -> list[int]:
    """Make a file of three versions, of which a collection leaves two; return their numbers."""
    for seed in range(3):
        put(volume, "file", seeded_bytes(seed, LARGE))
        repository.checkpoint()
    put(volume, "other", b"!")
    found = numbers(volume, "file")
    collect(repository)
    return found


def test_a_version_may_be_kept_without_its_state(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    newest, middle, oldest = make_versions(repository, volume)
    assert numbers(volume, "file") == [newest, middle, oldest]  # what happened is never forgotten
    for sequence in (middle, oldest):
        with pytest.raises(cas.NotKeptError) as caught:
            volume.at_sequence(sequence)
        assert caught.value.sequence == sequence
    found = cas.stored_version(repository, volume, "/file/", middle)
    assert found is not None
    with volume.view() as view, view.open(found) as file:
        assert file.read() == seeded_bytes(1, LARGE)
    assert cas.stored_version(repository, volume, "file", oldest) is None
    kept = [item.new and cas.is_stored(repository, item.new) for item in volume.log("file")]
    assert kept == [True, True, False]


def test_it_can_be_put_back_and_stays(repository: cas.Repository, volume: cas.Volume) -> None:
    _, middle, _ = make_versions(repository, volume)
    with volume.view() as view, volume.edit() as edit:
        found = cas.stored_version(repository, volume, "file", middle)
        assert found is not None
        edit.attach("back", found, epoch=view.epoch, nodes=view.nodes)
    put(volume, "file", b"1")
    put(volume, "file", b"2")
    collect(repository)
    collect(repository)
    assert read(volume, "back") == seeded_bytes(1, LARGE)
    assert cas.check_repository(repository, reading=cas.Share(1.0)).is_sound


def test_what_was_collected_meanwhile_is_not_put_back(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    _, middle, _ = make_versions(repository, volume)
    with volume.view() as view:
        found = cas.stored_version(repository, volume, "file", middle)
        assert found is not None
        put(volume, "file", b"1")
        put(volume, "file", b"2")
        collect(repository)
        edit = volume.edit()
        edit.attach("back", found, epoch=view.epoch, nodes=view.nodes)
        with pytest.raises(cas.ExpiredError):
            edit.commit()
    assert cas.check_repository(repository, reading=cas.Share(1.0)).is_sound


def test_there_is_none_where_there_was_no_file(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.edit() as edit:
        edit.make_directory("d")
    put(volume, "d/file", b"1")
    made = numbers(volume, "d/file")[0]
    remove(volume, "d/file")

    def version(path: str, sequence: int) -> cas.Entry | None:
        return cas.stored_version(repository, volume, path, sequence)

    assert version("d/file", made) is not None
    assert version("d/file", made - 1) is None
    assert version("d/file", made + 1) is None
    assert version("d", made) is None
    assert version("nothing", made) is None


def test_whether_content_is_stored(repository: cas.Repository, volume: cas.Volume) -> None:
    put(volume, "file", b"1")
    with volume.edit() as edit:
        edit.make_symlink("link", "file")
    for _ in range(2):
        with volume.view() as view:
            for entry in (view.root, view.entry("file"), view.entry("link")):
                assert cas.is_stored(repository, entry)
        repository.checkpoint()
    other = cas.Entry(cas.EntryKind.CHUNK_FILE, 1, 0, 0o644, bytes(32))
    assert not cas.is_stored(repository, other)
