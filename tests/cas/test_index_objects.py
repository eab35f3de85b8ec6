"""Index objects: what they tell of, how a gateway that begins with nothing uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas import index_format, index_objects
from cas.consolidation import consolidate, publish_without
from cas.opening import create_in
from cas.pack_index import PackIndex
from cas.stores.memory import MemoryStore
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.encrypted import KEY
from tests.support.gateways import Gateways, MachineStore, content, gateways, put
from tests.support.independent_encryption import Ring
from tests.support.independent_index import read_index


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as made:
        yield made


def index_of(repository: cas.Repository) -> PackIndex:
    return PackIndex(
        repository.engine.catalog,
        repository.engine.store,
        repository.engine.chunks.identifier.sealing,
    )


def index_names(machines: Gateways) -> set[str]:
    return {name for name, _ in machines.bucket.list("index")}


def fill(repository: cas.Repository, count: int, start: int = 0) -> dict[str, bytes]:
    """Put files, each in a commit and so in a pack of its own."""
    files = {f"{number:03}": seeded_bytes(number, 300) for number in range(start, start + count)}
    for path, data in files.items():
        put(repository, path, data)
    return files


def told_packs(index: PackIndex) -> list[bytes]:
    return [pack.id for each in index.objects.refresh() for pack in each.directory.packs]


def test_a_cold_gateway_asks_for_what_it_needs_alone(machines: Gateways) -> None:
    warm = machines.open("warm")
    files = fill(warm, 60)
    index = index_of(warm)
    assert consolidate(index, enough=1) == len(index.listed())
    assert isinstance(machines.clock, FakeClock)
    machines.clock.advance(60)  # or it looks at all these commits, for edits that come again
    cold = machines.open("cold")
    cold.upkeep.stop()
    with cold.volume("v").view() as view, view.open("007") as file:
        assert file.read() == files["007"]
    asked = machines.stores["cold"].called("get", "list", "size")
    assert asked.count("list packs") == 0
    assert len(asked) < 20
    with cold.engine.catalog.read() as transaction:
        assert transaction.counts()["packs"] < 6
    assert content(cold) == files
    assert_sound(cold)


def test_what_no_index_tells_of_is_found_by_a_listing(machines: Gateways) -> None:
    warm = machines.open("warm")
    files = fill(warm, 4)
    consolidate(index_of(warm), enough=1)
    files |= fill(warm, 4, start=4)
    cold = machines.open("cold")
    cold.upkeep.stop()
    assert content(cold) == files


def test_nothing_is_written_where_there_is_little_to_tell(machines: Gateways) -> None:
    warm = machines.open("warm")
    fill(warm, 3)
    assert consolidate(index_of(warm), enough=100) == 0
    assert not index_names(machines)


def test_small_objects_are_merged_and_large_ones_left(machines: Gateways) -> None:
    warm = machines.open("warm")
    index = index_of(warm)
    sizes = []
    for turn in range(8):
        fill(warm, 4, start=4 * turn)
        consolidate(index, enough=1)
        told = told_packs(index)
        assert len(told) == len(set(told)) == len(index.listed())
        sizes.append(len(index_names(machines)))
    assert max(sizes) <= 3


def test_an_object_is_split_where_it_gets_long(
    machines: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.consolidation._PACKS_LIMIT", 3)
    warm = machines.open("warm")
    files = fill(warm, 8)
    index = index_of(warm)
    consolidate(index, enough=1)
    assert len(index_names(machines)) > 2
    assert sorted(told_packs(index)) == sorted(pack.id for pack in index.listed())
    assert content(machines.open("cold")) == files


def test_all_of_an_index_is_entered_at_once(machines: Gateways) -> None:
    warm = machines.open("warm")
    fill(warm, 20)
    index = index_of(warm)
    consolidate(index, enough=1)
    cold = machines.open("cold")
    cold.upkeep.stop()
    machines.stores["cold"].called()
    assert index_of(cold).look_for_new()
    asked = machines.stores["cold"].called("get")
    assert set(asked) == {"get index"}
    assert not index_of(cold).look_for_new()
    with cold.engine.catalog.read() as entered, warm.engine.catalog.read() as known:
        assert entered.counts()["packs"] == known.counts()["packs"]
        assert entered.counts()["locations"] == known.counts()["locations"]
    assert_sound(cold)


@pytest.mark.parametrize("place", [0, 40, 10_000, -60, -10, -1])
def test_a_damaged_object_is_done_without_and_replaced(machines: Gateways, place: int) -> None:
    warm = machines.open("warm")
    files = fill(warm, 60)
    index = index_of(warm)
    consolidate(index, enough=1)
    (name,) = index_names(machines)
    stored = bytearray(machines.bucket.get(name))
    stored[place if place < 0 else min(place, len(stored) - 1)] ^= 1
    machines.bucket.delete(name)
    machines.bucket.put(name, bytes(stored))
    cold = machines.open("cold")
    cold.upkeep.stop()
    assert content(cold) == files
    again = index_of(cold)
    again.look_for_new()  # finds the damage, wherever it is
    for each in again.objects.refresh():
        again.objects.load(each, each.packs)
    consolidate(again, enough=1)
    assert name not in index_names(machines)
    assert set(told_packs(again)) == {pack.id for pack in again.listed()}


def test_an_object_of_another_name_is_damaged(machines: Gateways) -> None:
    warm = machines.open("warm")
    fill(warm, 3)
    index = index_of(warm)
    consolidate(index, enough=1)
    (name,) = index_names(machines)
    stored = machines.bucket.get(name)
    machines.bucket.delete(name)
    machines.bucket.put("index/" + "ab" * 16, stored)
    assert index_of(warm).objects.refresh() == []


def test_one_of_a_newer_program_is_left_alone(machines: Gateways) -> None:
    warm = machines.open("warm")
    files = fill(warm, 3)
    index = index_of(warm)
    consolidate(index, enough=1)
    (name,) = index_names(machines)
    stored = bytearray(machines.bucket.get(name))
    stored[-12] = 2  # the version
    machines.bucket.delete(name)
    machines.bucket.put(name, bytes(stored))
    again = index_of(warm)
    assert consolidate(again, enough=1) == len(again.listed())
    assert name in index_names(machines)
    assert content(machines.open("cold")) == files


def test_packs_that_go_are_told_of_no_more(machines: Gateways) -> None:
    warm = machines.open("warm")
    fill(warm, 10)
    index = index_of(warm)
    consolidate(index, enough=1)
    gone = [pack.id for pack in index.listed()][:4]
    publish_without(index, gone)
    told = told_packs(index)
    assert not set(told) & set(gone)
    assert len(told) == len(index.listed()) - 4
    before = index_names(machines)
    publish_without(index, gone)
    assert index_names(machines) == before


def test_a_pack_that_is_gone_misleads_nobody(machines: Gateways) -> None:
    """As where one gateway consolidates while another deletes."""
    warm = machines.open("warm")
    put(warm, "a", b"first")
    index = index_of(warm)
    (first,) = {pack.id for pack in index.listed()} - told_packs_of_others(machines, "a")
    consolidate(index, enough=1)
    data = machines.bucket.get(pack_name(first))
    machines.bucket.delete(pack_name(first))
    cold = machines.open("cold")
    cold.upkeep.stop()
    with pytest.raises(cas.IntegrityError, match="missing"):
        content(cold)
    machines.bucket.put(pack_name(first), data)
    assert content(cold) == {"a": b"first"}


def pack_name(pack_id: bytes) -> str:
    return f"packs/{pack_id.hex()[:2]}/{pack_id.hex()}"


def told_packs_of_others(machines: Gateways, path: str) -> set[bytes]:
    """Return the packs that were there before the file came, which is the only one."""
    with machines.open("looking") as repository:
        volume = repository.volume("v")
        with volume.view() as view:
            entry = view.get(path)
        assert entry is not None
        location = repository.engine.chunks.locate([entry.content])[0]
        with repository.engine.catalog.read() as transaction:
            return {row.id for number, row in transaction.packs() if number != location.pack}


def test_encrypted_ones_tell_nothing(tmp_path: Path) -> None:
    bucket, clock = MemoryStore(), FakeClock()
    maker = MachineStore(bucket, tmp_path / "maker")
    with create_in(maker, clock, KEY, is_shared=True) as repository:
        repository.create_volume("v")
    machines = Gateways(tmp_path, bucket, clock)
    try:
        warm = machines.open("warm", unlock=lambda: KEY)
        files = fill(warm, 8)
        index = index_of(warm)
        consolidate(index, enough=1)
        (name,) = index_names(machines)
        stored = bucket.get(name)
        for each in index.objects.refresh():
            for table in index.objects.load(each, each.packs):
                assert table.pack.id not in stored
                assert not any(bytes(place.id) in stored for place in table.places)
        cold = machines.open("cold", unlock=lambda: KEY)
        assert content(cold) == files
    finally:
        machines.close()


def test_a_long_directory_and_many_blocks(
    machines: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_format, "BLOCK_ROWS", 4)
    monkeypatch.setattr(index_objects, "_END_SIZE", 64)
    warm = machines.open("warm")
    files = fill(warm, 40)
    consolidate(index_of(warm), enough=1)
    cold = machines.open("cold")
    cold.upkeep.stop()
    with cold.volume("v").view() as view, view.open("020") as file:
        assert file.read() == files["020"]
    assert content(cold) == files
    assert_sound(cold)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_reader_that_has_only_the_document_sees_the_same(
    tmp_path: Path, key: cas.KeyFile | None
) -> None:
    bucket, clock = MemoryStore(), FakeClock()
    machine = MachineStore(bucket, tmp_path / "machine")
    with create_in(machine, clock, key, is_shared=True) as repository:
        repository.create_volume("v")
        fill(repository, 200)
        index = index_of(repository)
        consolidate(index, enough=1)
        footers = [
            (table.pack.id, table.places)
            for tables in index.read_tables(index.listed())
            for table in tables
        ]
    ((name, _),) = bucket.list("index")
    ring = None if key is None else Ring(json.loads(bucket.read("config")[0]), key.content)
    assert read_index(name, bucket.get(name), ring) == {
        pack_id: [(p.kind, p.codec, p.offset, p.stored_size, p.plain_size, p.id) for p in places]
        for pack_id, places in footers
    }
