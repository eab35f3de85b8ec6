"""A volume as it was after any change, and at any time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cas
from tests.support.clock import SECOND_NS, FakeClock
from tests.support.volumes import put


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def content(view: cas.View, path: str) -> bytes | None:
    with view:
        if view.get(path) is None:
            return None
        with view.open(path) as file:
            return file.read()


def read_all(view: cas.View) -> dict[str, cas.Entry]:
    with view:
        return {"": view.root, **dict(view.walk())}


def make_states(repository: cas.Repository, volume: cas.Volume) -> dict[int, dict[str, cas.Entry]]:
    """Change everything that can change, with commits in between; return each state."""
    states = {}

    def note(edit: cas.Edit) -> None:
        states[edit.sequence] = read_all(volume.view())

    for number in range(3):
        with volume.edit() as edit:
            edit.make_directory(f"d{number}/in", parents=True)
            for each in range(40):
                edit.put(f"d{number}/in/f{each}", cas.EMPTY_CONTENT)
        note(edit)
        with volume.edit() as edit:  # of a folder that this very edit changes
            edit.put(f"d{number}/in/more", cas.EMPTY_CONTENT)
            edit.move(f"d{number}/in", f"d{number}/out")
            edit.copy(f"d{number}", f"copy{number}")
        note(edit)
        with volume.edit() as edit:
            edit.set_properties("", properties={"{x}y": str(number)})
            edit.remove(f"d{number}/out/f1")
        note(edit)
        if number < 2:
            volume.create_snapshot(f"s{number}")
            repository.checkpoint()
    return states


def test_every_state_is_there_in_commits_between_them_and_behind_them(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    states = make_states(repository, volume)
    for sequence, state in states.items():
        assert read_all(volume.at_sequence(sequence)) == state
    assert volume.at_sequence(3).sequence == 3


@pytest.mark.parametrize("is_lost", [False, True], ids=["kept", "lost"])
def test_every_state_is_there_in_another_process_whatever_became_of_the_catalog(
    tmp_path: Path, *, is_lost: bool
) -> None:
    with cas.create(tmp_path / "store") as repository:
        states = make_states(repository, repository.create_volume("v"))
    if is_lost:
        shutil.rmtree(tmp_path / "store" / "local" / "catalog")
    with cas.open(tmp_path / "store") as repository:
        volume = repository.volume("v")
        assert {number: read_all(volume.at_sequence(number)) for number in states} == states


def test_there_is_nothing_before_the_first_change_and_behind_the_last(volume: cas.Volume) -> None:
    last = put(volume, "a", b"1")
    with pytest.raises(cas.NotFoundError, match=f"from #1 to #{last}"):
        volume.at_sequence(last + 1)
    for sequence in (-1, 0):
        with pytest.raises(cas.BeforeHistoryError, match=r"history begins at .*Z, with #1\b"):
            volume.at_sequence(sequence)


@pytest.mark.parametrize("commits_after", [(), (1,), (0, 1, 2, 3), (3,)])
def test_a_time_is_the_state_of_that_moment(
    repository: cas.Repository,
    volume: cas.Volume,
    clock: FakeClock,
    commits_after: tuple[int, ...],
) -> None:
    start = clock.now_ns()
    for number in range(4):
        clock.advance(10)
        put(volume, "a", b"%d" % number)
        if number in commits_after:
            clock.advance(3)
            repository.checkpoint()
            clock.advance(-3)
    for number in range(4):
        moment = start + (number + 1) * 10 * SECOND_NS
        before = b"%d" % (number - 1) if number else None
        assert content(volume.at_time(moment), "a") == b"%d" % number
        assert content(volume.at_time(moment + 5 * SECOND_NS), "a") == b"%d" % number
        assert content(volume.at_time(moment - 1), "a") == before
    assert content(volume.at_time(clock.now_ns() + 10**18), "a") == b"3"
    with pytest.raises(cas.NotFoundError, match="history begins at"):
        volume.at_time(start - 1)


@pytest.mark.parametrize("is_committed", [False, True])
def test_time_stands_still_where_the_clock_was_set_back(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock, *, is_committed: bool
) -> None:
    start = clock.now_ns()
    for step, data in ((100, b"1"), (-50, b"2"), (100, b"3")):
        clock.advance(step)
        put(volume, "a", data)
        if is_committed:
            repository.checkpoint()
    found = [content(volume.at_time(start + s * SECOND_NS), "a") for s in (50, 99, 100, 149, 150)]
    assert found[:2] == [None, None]
    assert found[2] in {b"1", b"2"}
    assert found[3:] == [b"2", b"3"]


def test_a_past_state_outlives_what_happens_while_it_is_open(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.edit() as edit:
        edit.make_directory("d")
        edit.put("d/a", cas.EMPTY_CONTENT)
        edit.put("d/b", cas.EMPTY_CONTENT)
    put(volume, "later", b"")
    view = volume.at_sequence(edit.sequence - 1)
    for _ in range(3):
        put(volume, "d/c", b"!")
        repository.checkpoint()
    assert set(read_all(view)) == {"", "d", "d/a"}


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_folder_of_a_state_between_commits_can_be_attached(
    tmp_path: Path, *, is_committed: bool, is_lost: bool
) -> None:
    source = cas.create(tmp_path / "store")
    volume = source.create_volume("v")
    with volume.edit() as edit:
        edit.make_directory("d/in", parents=True)
        for number in range(400):
            edit.put(f"d/f{number}", cas.EMPTY_CONTENT)
        edit.put("d/in/x", cas.EMPTY_CONTENT)
        edit.remove("d")
    if is_committed:
        source.checkpoint()
    with volume.at_sequence(edit.sequence - 1) as view:
        expected = view.entry("d")
        with volume.edit() as back:
            back.attach("back", expected, source="d", epoch=view.epoch, nodes=view.nodes)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "store", copy)
    source.close()
    if is_lost:
        shutil.rmtree(copy / "local" / "catalog")
    with cas.open(copy) as repository:
        found = read_all(repository.volume("v").view())
        assert len([path for path in found if path.startswith("back")]) == 403
        assert found["back"] == expected


def test_commits_are_found_by_what_they_begin_with(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    put(volume, "a", b"1")
    commit = volume.create_snapshot("s").commit
    other = repository.create_volume("w")
    for size in (64, 63, 8):
        assert volume.find_commit(commit.hex()[:size]) == commit
    with pytest.raises(cas.NotFoundError, match="no commit begins"):
        other.find_commit(commit.hex())
    for _ in range(20):
        put(volume, "a", b"2")
        repository.checkpoint()
    with pytest.raises(cas.NotFoundError, match="several"):
        volume.find_commit("")
