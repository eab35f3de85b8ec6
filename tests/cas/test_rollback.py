"""Taking a whole volume back: one change, as safe as any other, and undone in the same way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas
from tests.support.clock import FakeClock
from tests.support.volumes import put

State = dict[str, cas.Entry]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def state(view: cas.View) -> State:
    with view:
        return {"": view.root, **dict(view.walk())}


def roll_back(
    volume: cas.Volume, sequence: int, expect: cas.Expectation | None = None, **options: object
) -> cas.Edit:
    with volume.at_sequence(sequence) as view:
        edit = volume.edit(author="alice", **options)  # type: ignore[arg-type]
        edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes, expect=expect)
        edit.commit()
    return edit


def make_two_states(volume: cas.Volume) -> tuple[int, State]:
    with volume.edit() as edit:
        edit.make_directory("d/e", parents=True)
        for number in range(300):
            edit.put(f"d/f{number}", cas.EMPTY_CONTENT)
    with volume.edit() as edit:
        edit.set_properties("", mode=0o700, properties={"{x}y": "z"})
    sequence = put(volume, "d/e/x", b"old")
    old = state(volume.view())
    put(volume, "d/e/x", b"changed")
    with volume.edit() as edit:
        edit.move("d/e", "e")
        edit.set_properties("", mode=0o755, properties={})
        edit.remove("d")
    return sequence, old


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("is_lost", [False, True])
def test_all_is_as_it_was_also_after_a_crash_and_can_be_taken_back(
    tmp_path: Path, *, is_committed: bool, is_lost: bool
) -> None:
    source = cas.create(tmp_path / "store")
    volume = source.create_volume("v")
    sequence, old = make_two_states(volume)
    if is_committed:
        source.checkpoint()
    new = state(volume.view())
    snapshot = volume.create_snapshot("s") if is_committed else None
    edit = roll_back(volume, sequence)
    put(volume, "d/e/more", b"!")
    with volume.edit() as removal:
        removal.remove("d/e/more")
    again = state(volume.view())
    assert {**again, "d/e": old["d/e"], "d": old["d"], "": old[""]} == old
    assert again[""].mode == 0o700
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "store", crashed)
    source.close()
    if is_lost:
        shutil.rmtree(crashed / "local" / "catalog")
    with cas.open(crashed) as repository:
        volume = repository.volume("v")
        assert state(volume.view()) == again
        assert volume.snapshots() == ([snapshot] if snapshot else [])
        assert state(volume.at_sequence(edit.sequence)) == old
        assert edit.sequence == edit.sequence_before + 1
        roll_back(volume, edit.sequence_before)
        assert state(volume.view()) == new
        repository.checkpoint()
        assert state(volume.view()) == new
        assert cas.check_repository(repository).is_sound


def test_it_is_one_change_that_each_path_sees_in_its_own_way(
    volume: cas.Volume, clock: FakeClock
) -> None:
    clock.advance(3600)
    put(volume, "same", b"same")
    put(volume, "removed", b"1")
    first = put(volume, "changed", b"1")
    clock.advance(3600)
    put(volume, "changed", b"22")
    put(volume, "added", b"1")
    with volume.edit() as edit:
        edit.move("removed", "elsewhere")
    clock.advance(3600)
    edit = roll_back(volume, first)
    assert [each.sequence for each in volume.log("same")] == [2]
    for path, count, old, new in (
        ("changed", 3, 2, 1),
        ("added", 2, 1, None),
        ("removed", 3, None, 1),
        ("elsewhere", 3, 1, None),
    ):
        items = list(volume.log(path))
        assert len(items) == count, path
        assert items[0].sequence == edit.sequence
        assert items[0].old == items[1].new
        sizes = (items[0].old and items[0].old.size, items[0].new and items[0].new.size)
        assert sizes == (old, new)
    (whole, *_) = volume.log("")
    assert (whole.action, whole.author) == (cas.Action.COPY, "alice")


def test_locks_stand_in_the_way(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    sequence, _ = make_two_states(volume)
    lock = cas.Lock(
        token="t", volume_id=volume.id, path="e/x", principal="bob", expires_ns=clock.now_ns() + 99
    )
    repository.locks.acquire(lock)
    before = state(volume.view())
    with pytest.raises(cas.ConflictingLocksError) as caught:
        roll_back(volume, sequence)
    assert caught.value.locks == [lock]
    assert state(volume.view()) == before
    roll_back(volume, sequence, lock_tokens=frozenset({"t"}))
    assert repository.locks.all() == []  # what it protected is gone


def test_conditions_and_the_quota_are_checked(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    sequence = put(volume, "large", bytes(1000))
    with volume.edit() as edit:
        edit.remove("large")
    with pytest.raises(cas.PreconditionError):
        roll_back(volume, sequence, cas.EntryIs(bytes(32)))
    repository.set_quota("v", 999)
    with pytest.raises(cas.QuotaError):
        roll_back(volume, sequence)
    repository.set_quota("v", 1000)
    roll_back(volume, sequence)
    assert "large" in state(volume.view())


def test_an_edit_that_goes_on_and_one_that_fails_behind_it(volume: cas.Volume) -> None:
    sequence, old = make_two_states(volume)
    before = state(volume.view())
    with volume.at_sequence(sequence) as view:
        edit = volume.edit()
        edit.put("first", cas.EMPTY_CONTENT)
        edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
        edit.remove("first")
        with pytest.raises(cas.NotFoundError):
            edit.commit()
        assert state(volume.view()) == before
        edit = volume.edit()
        edit.put("first", cas.EMPTY_CONTENT)
        edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
        edit.move("d/e/x", "d/e/y")
        edit.commit()
    found = state(volume.view())
    assert "first" not in found
    assert found["d/e/y"] == old["d/e/x"]
    assert state(volume.at_sequence(edit.sequence_before)) == before
    assert state(volume.at_sequence(edit.sequence - 1)) == old


def test_a_folder_can_become_a_whole_volume_and_nothing_else_can(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    make_two_states(volume)
    other = repository.create_volume("w")
    with volume.view() as view:
        edit = other.edit()
        edit.replace_root(
            view.entry("e"),
            epoch=view.epoch,
            nodes=view.nodes,
            source="e",
            source_volume=volume.id,
        )
        edit.commit()
        with pytest.raises(cas.ConflictError):
            edit.replace_root(view.entry("e/x"), epoch=view.epoch, nodes=view.nodes)
    assert set(state(other.view())) == {"", "x"}
    assert [each.path for each in other.log("x", may_follow=lambda _: True)] == [
        "x",
        "e/x",
        "d/e/x",
        "d/e/x",
    ]
