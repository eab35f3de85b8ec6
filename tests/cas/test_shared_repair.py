"""A repair by one of several gateways, while the others serve and write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas.epochs import read_epoch
from cas.pack_reader import pack_blob_name
from cas.packfile import RECORD_OVERHEAD
from cas.stores.memory import MemoryStore
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.encrypted import KEY
from tests.support.gateways import CutOff, Gateways, content, gateways, put

DATA = {name: seeded_bytes(number, 12_000) for number, name in enumerate("abcd")}
PRESENT_ONLY = cas.VersionPolicy(versions=1, states=cas.Retention())


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateways]:
    with gateways(tmp_path, key=request.param) as bucket:
        yield bucket


def put_all(repository: cas.Repository) -> None:
    """Put all files by one commit: they lie in one pack."""
    volume = repository.volume("v")
    with volume.edit() as edit:
        for name, data in DATA.items():
            upload = volume.upload()
            upload.write(data)
            edit.put(name, upload)


def place_of(repository: cas.Repository, data: bytes) -> tuple[str, int]:
    """Return the name of the pack that holds a small file, and where its bytes are there."""
    chunk = repository.engine.chunks.identifier.chunk(data)
    with repository.engine.catalog.read() as transaction:
        location = transaction.location(chunk)
        assert location is not None
        row = transaction.pack(location.pack)
    assert row is not None
    return pack_blob_name(row.id), location.offset + RECORD_OVERHEAD


def damage(made: Gateways, repository: cas.Repository, data: bytes) -> str:
    """Flip a bit of a small file in the bucket; return the name of its pack."""
    assert isinstance(made.bucket, MemoryStore)
    name, offset = place_of(repository, data)
    stored = bytearray(made.bucket.objects[name])
    stored[offset + 5] ^= 1
    made.bucket.objects[name] = bytes(stored)
    return name


def readable(repository: cas.Repository) -> set[str]:
    """Return the names of the files that can be read; none of them shows other bytes."""
    found = set()
    with repository.volume("v").view() as view:
        for name, _ in view.list():
            try:
                with view.open(name) as file:
                    assert file.read() == DATA[name]
            except cas.IntegrityError:
                continue
            found.add(name)
    return found


def assert_whole(made: Gateways, *repositories: cas.Repository) -> None:
    for repository in (*repositories, made.open("fresh")):
        assert content(repository) == DATA
        assert_sound(repository)


def test_what_is_sound_goes_on_being_read_and_what_is_lost_is_stored_again(
    made: Gateways,
) -> None:
    one, two = made.open("one"), made.open("two")
    put_all(one)
    assert readable(two) == set(DATA)
    name = damage(made, one, DATA["b"])
    report = cas.repair_repository(one)
    (pack,) = report.packs
    assert (pack_blob_name(pack.id), pack.lost) == (name, 1)
    assert name not in dict(made.bucket.list("packs"))
    assert (one.directory / "quarantine" / pack.id.hex()).exists()
    for repository in (one, two, made.open("three")):
        assert readable(repository) == {"a", "c", "d"}
    put(two, "b", DATA["b"])  # it does not count as stored
    assert_whole(made, one, two)
    record, _ = read_epoch(one.engine.store, one.engine.chunks.identifier)
    assert not record.condemned
    cas.collect_garbage(two, PRESENT_ONLY, grace_seconds=0)
    assert_whole(made, one, two)


def test_a_pack_that_is_missing_is_forgotten_by_all(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    for path, data in DATA.items():
        put(one, path, data)
    assert readable(two) == set(DATA)
    name, _ = place_of(one, DATA["c"])
    made.bucket.delete(name)
    (pack,) = cas.repair_repository(one).packs
    assert pack.is_missing
    for repository in (one, two, made.open("three")):
        assert readable(repository) == {"a", "b", "d"}
    put(two, "c", DATA["c"])
    cas.collect_garbage(two, PRESENT_ONLY, grace_seconds=0)
    for repository in (one, two, made.open("four")):
        assert content(repository) == DATA


def test_a_sound_copy_in_another_pack_is_used(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    uploads = []
    for repository in (one, two):  # neither knows what the other has
        upload = repository.volume("v").upload()
        upload.write(DATA["a"])
        uploads.append((repository.volume("v"), upload))
    for number, (volume, upload) in enumerate(uploads):
        with volume.edit() as edit:
            edit.put(f"{number}", upload)
    put_all(one)
    one.catch_up()
    damage(made, one, DATA["a"])
    (pack,) = cas.repair_repository(one).packs
    assert pack.lost == 0
    for repository in (one, two):
        assert content(repository)["a"] == DATA["a"]
        assert_sound(repository)


def test_an_upload_that_leans_on_a_damaged_pack_goes_on_or_is_sent_again(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put_all(one)
    assert readable(two) == set(DATA)
    edits = {}
    for name in ("a", "b"):
        upload = two.volume("v").upload()
        upload.write(DATA[name])
        edits[name] = two.volume("v").edit()
        edits[name].put(name, upload)
    damage(made, one, DATA["b"])
    cas.repair_repository(one)
    edits["a"].commit()
    with pytest.raises(cas.StoreError, match="send the data again"):
        edits["b"].commit()
    put(two, "b", DATA["b"])
    assert_whole(made, one, two)


def test_a_repair_that_was_cut_off_is_gone_on_with(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put_all(one)
    name = damage(made, one, DATA["b"])
    dying = made.open("dying", wrap=lambda store: CutOff(store.bucket, store.machine_directory))
    with pytest.raises(cas.StoreError, match="line is cut"):
        cas.repair_repository(dying)
    assert name in dict(made.bucket.list("packs"))
    assert readable(two) == {"a", "c", "d"}
    put(two, "b", DATA["b"])
    cas.repair_repository(two)
    cas.collect_garbage(one, PRESENT_ONLY, grace_seconds=0)
    assert name not in dict(made.bucket.list("packs"))
    assert_whole(made, one, two)


def test_a_dry_run_and_a_sound_repository_change_nothing(made: Gateways) -> None:
    one = made.open("one")
    put_all(one)
    assert isinstance(made.bucket, MemoryStore)
    assert cas.repair_repository(one).is_clean
    damage(made, one, DATA["b"])
    before = {k: v for k, v in made.bucket.objects.items() if k != "epoch"}
    assert cas.repair_repository(one, is_dry_run=True).packs[0].lost == 1
    assert {k: v for k, v in made.bucket.objects.items() if k != "epoch"} == before


def test_a_damaged_ref_is_named_and_nothing_is_done(made: Gateways) -> None:
    one = made.open("one")
    put_all(one)
    assert isinstance(made.bucket, MemoryStore)
    name, _ = next(iter(made.bucket.list("refs")))
    _, token = made.bucket.read(name)
    made.bucket.replace(name, b"x" * 80, token)
    with pytest.raises(cas.IntegrityError):
        cas.repair_repository(one)
