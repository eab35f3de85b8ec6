"""Garbage collection in a blob store that several gateways share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas.catalog import PackState
from cas.epochs import EpochRecord, read_epoch, update_epoch
from cas.retention import Retention
from cas.stores.memory import MemoryStore
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.gateways import Gateways, content, gateways, put
from tests.support.waiting import wait_until

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=Retention())


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as bucket:
        yield bucket


def collect(repository: cas.Repository, *, is_dry_run: bool = False) -> cas.CollectionReport:
    return cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0, is_dry_run=is_dry_run)


def packs(made: Gateways) -> set[str]:
    return {name for name, _ in made.bucket.list("packs")}


def record(repository: cas.Repository) -> EpochRecord:
    return read_epoch(repository.engine.store, repository.engine.chunks.identifier)[0]


def remove(repository: cas.Repository, path: str) -> None:
    with repository.volume("v").edit() as edit:
        edit.remove(path)


def test_what_nothing_names_is_deleted_and_all_gateways_go_on(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "large", seeded_bytes(1, 8 << 20))
    put(two, "kept", seeded_bytes(2, 1 << 20))
    assert content(two).keys() == {"large", "kept"}
    remove(two, "large")
    size = sum(size for _, size in made.bucket.list("packs"))
    report = collect(one)
    assert report.removed_packs == report.condemned_packs > 0
    assert sum(size for _, size in made.bucket.list("packs")) < size - (7 << 20)
    for repository in (one, two, made.open("three")):
        assert content(repository) == {"kept": seeded_bytes(2, 1 << 20)}
        assert_sound(repository)
    put(two, "again", seeded_bytes(1, 8 << 20))  # nothing of it is found where it was
    put(one, "more", seeded_bytes(1, 8 << 20))
    for repository in (one, two, made.open("four")):
        assert content(repository)["again"] == seeded_bytes(1, 8 << 20)
        assert_sound(repository)


def test_the_record_says_what_is_gone(made: Gateways) -> None:
    one = made.open("one")
    put(one, "a", seeded_bytes(1, 1 << 20))
    remove(one, "a")
    before = packs(made)
    collect(one)
    said = record(one)
    removed = {f"packs/{each.hex()[:2]}/{each.hex()}" for r in said.removed for each in r.packs}
    assert removed == before - packs(made)
    assert not said.condemned
    assert not said.collector
    assert said.ended_ns


def test_a_dry_run_changes_nothing(made: Gateways) -> None:
    one = made.open("one")
    put(one, "a", seeded_bytes(1, 1 << 20))
    remove(one, "a")
    assert isinstance(made.bucket, MemoryStore)
    before = dict(made.bucket.objects)
    report = collect(one, is_dry_run=True)
    assert report.condemned_packs > 0
    assert report.removed_packs == 0
    assert made.bucket.objects == before


def test_an_upload_that_leans_on_a_condemned_pack_is_refused_and_succeeds_anew(
    made: Gateways,
) -> None:
    one, two = made.open("one"), made.open("two")
    data = seeded_bytes(1, 4 << 20)
    put(one, "a", data)
    assert content(two) == {"a": data}
    remove(one, "a")
    volume = two.volume("v")
    upload = volume.upload()
    upload.write(data)  # found stored
    collect(one)
    edit = volume.edit()
    edit.put("b", upload)
    with pytest.raises(cas.StoreError) as caught:
        edit.commit()
    assert caught.value.transient
    put(two, "b", data)
    for repository in (one, two, made.open("three")):
        assert content(repository) == {"b": data}
        assert_sound(repository)


def test_an_upload_whose_own_packs_were_collected_is_refused(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    before = len(packs(made))
    volume = two.volume("v")
    upload = volume.upload()
    upload.write(seeded_bytes(1, 64 << 20))  # its first pack gets full, and is stored
    wait_until(lambda: len(packs(made)) > before, "a full pack")
    collect(one)
    edit = volume.edit()
    edit.put("b", upload)
    with pytest.raises(cas.StoreError):
        edit.commit()
    assert content(two) == {}
    assert_sound(two)


def test_what_a_view_showed_is_not_put_in_a_later_epoch(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    data = seeded_bytes(1, 2 << 20)
    with one.volume("v").edit() as edit:
        edit.make_directory("folder")
    put(one, "folder/a", data)
    other = two.create_volume("other")
    with two.volume("v").view() as view:
        entry = view.entry("folder")
        remove(one, "folder")
        collect(one)
        edit = other.edit()
        edit.attach("copy", entry, epoch=view.epoch, nodes=view.nodes)
        with pytest.raises((cas.ExpiredError, cas.StoreError)):
            edit.commit()
    assert_sound(two)


def test_small_packs_are_merged_chunks_and_nodes_apart(made: Gateways) -> None:
    one = made.open("one")
    for number in range(20):
        put(one, f"{number}", seeded_bytes(number, 2000))
    collect(one)
    with one.engine.catalog.read() as transaction:
        rows = [row for _, row in transaction.packs() if row.state is PackState.SEALED]
    assert len(rows) < 12
    assert len(content(made.open("two"))) == 20


def test_a_gateway_that_was_away_for_long_compares_with_a_list(
    made: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.epochs.REMOVED_LIMIT", 1)
    one, two = made.open("one"), made.open("two")
    data = seeded_bytes(1, 2 << 20)
    put(one, "a", data)
    assert content(two) == {"a": data}
    for number in range(3):
        put(one, "b", seeded_bytes(10 + number, 1 << 20))
        if number == 0:
            remove(one, "a")
        collect(one)
    assert record(one).forgotten
    put(two, "c", data)
    for repository in (one, two):
        assert content(repository)["c"] == data
        assert_sound(repository)


def test_one_collection_at_a_time_until_it_shows_no_life(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "a", seeded_bytes(1, 1 << 20))
    remove(one, "a")
    store, identifier = one.engine.store, one.engine.chunks.identifier
    now_ns = made.clock.now_ns()
    update_epoch(
        store,
        identifier,
        lambda _: EpochRecord(collector="ff" * 16, host="away", beat_ns=now_ns),
    )
    with pytest.raises(cas.LockedError, match="away"):
        collect(two)
    made.clock.advance(3700)  # type: ignore[attr-defined]
    assert collect(two).removed_packs > 0
    assert not record(two).collector


def test_deleted_volumes_are_dropped_everywhere(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    one.create_volume("gone")
    put(one, "a", seeded_bytes(1, 2 << 20), volume="gone")
    held = two.volume("gone")
    assert content(two, "gone")
    one.delete_volume("gone")
    made.clock.advance(1)  # type: ignore[attr-defined]
    report = collect(one)
    assert report.dropped_volumes == 1
    assert len(list(made.bucket.list("refs"))) == 2
    put(two, "b", b"2")
    with held.view() as view:
        assert not list(view.list())
    assert_sound(two)


def test_what_was_purged_goes_for_all_gateways(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "secret", seeded_bytes(1, 2 << 20))
    with two.volume("v").view() as view:
        entry = view.entry("secret")
    remove(one, "secret")
    cas.purge_path(one, one.volume("v"), "secret")
    cas.collect_garbage(one, grace_seconds=0)
    assert sum(size for _, size in made.bucket.list("packs")) < 1 << 20
    for repository in (one, two, made.open("three")):
        assert_sound(repository)
        assert not repository.engine.chunks.finds(entry.content)


def test_a_replica_is_made_while_gateways_go_on(made: Gateways, tmp_path: Path) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "a", seeded_bytes(1, 1 << 20))
    put(two, "b", b"2")
    cas.replicate(one, tmp_path / "replica")
    put(two, "c", b"3")
    remove(one, "a")
    collect(two)
    cas.replicate(one, tmp_path / "replica")
    with cas.open(tmp_path / "replica", clock=made.clock) as replica:
        assert content(replica) == {"b": b"2", "c": b"3"}
        assert_sound(replica)


def test_a_new_gateway_knows_what_deleted_volumes_held(made: Gateways) -> None:
    one = made.open("one")
    put(one, "file", seeded_bytes(1, 1 << 16))
    one.delete_volume("v")
    (found,) = cas.deleted_volumes(made.open("two"))
    assert (found.info.name, found.root.size) == ("v", 1 << 16)
