"""Commits to a blob store that several gateways share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cas
from cas.shared_commit import SharedCommitter
from cas.stores.base import Payload, Token
from cas.stores.local import LocalStore
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.gateways import Gateways, MachineStore, content, gateways, put


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as bucket:
        yield bucket


def test_what_was_acknowledged_needs_nothing_of_the_machine(made: Gateways) -> None:
    one = made.open("one")
    put(one, "a", b"hello")
    assert content(made.open("two")) == {"a": b"hello"}
    assert content(one) == {"a": b"hello"}


def test_a_commit_is_one_pack_and_one_ref(made: Gateways) -> None:
    one = made.open("one")
    volume = one.volume("v")
    store = made.stores["one"]
    store.called()
    upload = volume.upload()
    upload.write(b"x" * 1000)
    with volume.edit() as edit:
        edit.make_directory("f")
        edit.put("f/a", upload)
        edit.copy("f", "g")
    assert store.called("put") == ["put packs", "put refs"]


def test_a_large_file_adds_a_put_for_each_full_pack(made: Gateways) -> None:
    one = made.open("one")
    store = made.stores["one"]
    store.called()
    data = seeded_bytes(1, 70 << 20)
    put(one, "large", data)
    assert store.called("put") == ["put packs"] * 3 + ["put refs"]
    assert content(made.open("two")) == {"large": data}


def test_a_read_costs_one_question_where_nothing_is_new(made: Gateways) -> None:
    one = made.open("one")
    put(one, "a", b"hello")
    volume, store = one.volume("v"), made.stores["one"]
    store.called()
    with volume.view() as view:
        view.list()
    assert store.calls == [("read", f"refs/{volume.id.hex()}")]


def test_a_read_that_begins_after_a_write_elsewhere_sees_it(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    for number in range(5):
        put(one, f"one-{number}", b"1" * number)
        assert f"one-{number}" in content(two)
        put(two, f"two-{number}", b"2" * number)
        assert f"two-{number}" in content(one)


def test_volumes_made_by_one_are_seen_by_others(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    one.create_volume("new", owner="alice")
    assert [info.name for info in two.volumes()] == ["new", "v"]
    put(two, "a", b"1", volume="new")
    assert content(one, "new") == {"a": b"1"}
    two.delete_volume("new")
    with pytest.raises(cas.NotFoundError):
        one.volume("new")


def test_both_writes_to_one_path_stay_in_history(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "a", b"first")
    put(two, "a", b"second")
    assert content(one) == {"a": b"second"}
    for repository in (one, two):
        sizes = [item.new.size for item in repository.volume("v").log("a") if item.new]
        assert sizes == [6, 5]


def test_conditions_are_looked_at_on_the_newest_state(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    volumes = [one.volume("v"), two.volume("v")]
    put(one, "a", b"first")
    with pytest.raises(cas.PreconditionError), volumes[1].edit() as edit:
        edit.put("a", volumes[1].upload(), expect=cas.ABSENT)
    with volumes[1].edit() as edit:
        edit.remove("a")
    with volumes[0].edit() as edit:
        edit.put("a", volumes[0].upload(), expect=cas.ABSENT)


def test_many_writers_on_two_gateways_lose_nothing(made: Gateways) -> None:
    repositories = [made.open("one"), made.open("two")]

    def write(repository: cas.Repository, name: str) -> None:
        for number in range(6):
            put(repository, f"{name}-{number}", f"{name} {number}".encode())

    threads = [
        threading.Thread(target=write, args=(repository, f"{index}-{writer}"))
        for index, repository in enumerate(repositories)
        for writer in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {
        f"{index}-{writer}-{number}": f"{index}-{writer} {number}".encode()
        for index in range(2)
        for writer in range(3)
        for number in range(6)
    }
    for repository in repositories:
        assert content(repository) == expected
        assert_sound(repository)


def test_an_edit_with_a_key_is_done_once_on_whatever_gateway(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    for repository, name in ((one, "a"), (two, "b"), (one, "c")):
        with repository.volume("v").edit(author="x", key=name) as edit:
            edit.make_directory(name)
    with two.volume("v").edit(author="x", key="a") as again:
        again.make_directory("a")
    assert again.was_done


def test_snapshots_rollback_and_the_past_on_another_gateway(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "f", b"old")
    one.volume("v").create_snapshot("s")
    put(two, "f", b"new")
    _, view = two.volume("v").at_snapshot("s")
    with view, view.open("f") as file:
        assert file.read() == b"old"
    volume = two.volume("v")
    with volume.at(volume.snapshot("s").commit) as past, volume.edit() as edit:
        edit.replace_root(past.root, epoch=past.epoch, nodes=past.nodes)
    assert content(one) == {"f": b"old"}


def test_a_repository_on_a_disk_used_as_a_bucket(tmp_path: Path) -> None:
    with gateways(tmp_path, LocalStore.create(tmp_path / "bucket")) as made:
        put(made.open("one"), "a", b"1")
        put(made.open("two"), "b", b"2")
        assert content(made.open("three")) == {"a": b"1", "b": b"2"}


def test_an_older_ref_that_is_put_back_is_noticed(made: Gateways) -> None:
    one = made.open("one")
    volume = one.volume("v")
    name = f"refs/{volume.id.hex()}"
    old, _ = made.bucket.read(name)
    put(one, "a", b"1")
    made.bucket.replace(name, old, made.bucket.read(name)[1])
    with pytest.raises(cas.IntegrityError, match="older state"):
        content(one)


class Outrun(MachineStore):
    """The store of a gateway before each of whose moves of a ref another one is faster."""

    def __init__(self, inner: MachineStore, rival: Callable[[], None]) -> None:
        super().__init__(inner.bucket, inner.machine_directory)
        self._rival = rival

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        if name.startswith("refs/"):
            self._rival()
        return super().replace(name, payload, expected)


def test_who_loses_to_a_busy_gateway_tries_on_as_often_as_at_first(made: Gateways) -> None:
    """With pauses that grew to seconds one of two gateways that wrote all the time never could."""
    busy = made.open("busy")
    rounds = iter(range(80))

    def write_once() -> None:
        number = next(rounds, None)
        if number is not None:
            put(busy, f"busy {number % 4}", b"%d" % number)

    slow = made.open("slow", wrap=lambda store: Outrun(store, write_once))
    pauses: list[float] = []
    committer = slow.engine.committer
    assert isinstance(committer, SharedCommitter)
    committer.pause = pauses.append
    put(slow, "slow", b"at last")
    assert len(pauses) == 80
    assert sum(pauses) < 80 * 0.1
    assert content(busy)["slow"] == b"at last"
