"""Volumes with rules of their own of what is kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

import cas
from cas.maintenance.policies import policies
from cas.maintenance.policy import CommitMark, decide
from cas.retention import CalendarSpan, Retention
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cas.kept import KeptStates

PRESENT_ONLY: Final = cas.VersionPolicy(versions=1, states=Retention())
ALL: Final = cas.VersionPolicy(every=CalendarSpan(years=9999), states=Retention(), audit=None)
DAY: Final = 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def collect(repository: cas.Repository, policy: cas.VersionPolicy = PRESENT_ONLY) -> None:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    cas.collect_garbage(repository, policy, grace_seconds=0)
    assert_sound(repository)


def states(repository: cas.Repository, name: str) -> list[bytes]:
    """Return what can be read of a file's past, the oldest first."""
    volume = repository.volume(name)
    found = []
    for sequence in range(1, volume.sequence() + 1):
        try:
            with volume.at_sequence(sequence) as view:
                if view.get("file") is not None:
                    found.append(read(view, "file"))
        except cas.NotKeptError:
            continue
    return found


def overwrite(volume: cas.Volume, clock: FakeClock) -> None:
    for number in range(3):
        clock.advance(DAY)
        put(volume, "file", b"%d" % number)


def test_each_volume_keeps_by_its_own_rules(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    other = repository.create_volume("other")
    for each in (volume, other):
        overwrite(each, clock)
    cas.set_volume_policy(repository, "v", ALL)
    collect(repository)
    assert states(repository, "v") == [b"0", b"1", b"2"]
    assert states(repository, "other") == [b"2"]
    cas.set_volume_policy(repository, "v", None)
    cas.set_volume_policy(repository, "other", ALL)
    collect(repository)
    assert states(repository, "v") == [b"2"]
    assert states(repository, "other") == [b"2"], "nothing comes back"


def test_what_is_given_is_what_is_found(repository: cas.Repository, volume: cas.Volume) -> None:
    assert cas.volume_policy(repository, volume.id) is None
    policy = cas.VersionPolicy(
        every=CalendarSpan(days=3),
        states=Retention(last=2, within_weekly=CalendarSpan(years=1, months=6)),
        versions=4,
        audit=CalendarSpan(hours=5),
    )
    cas.set_volume_policy(repository, "v", policy)
    assert cas.volume_policy(repository, volume.id) == policy
    with pytest.raises(cas.NotFoundError):
        cas.set_volume_policy(repository, "missing", policy)


def test_a_collection_that_meets_other_rules_deletes_nothing(
    repository: cas.Repository,
    volume: cas.Volume,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overwrite(volume, clock)

    def change_then_decide(
        commits: Sequence[CommitMark], policy: cas.VersionPolicy, now_ns: int
    ) -> KeptStates:
        cas.set_volume_policy(repository, "v", ALL)
        return decide(commits, policy, now_ns)

    monkeypatch.setattr("cas.maintenance.collecting.decide", change_then_decide)
    with pytest.raises(cas.ConflictError, match="other rules"):
        collect(repository)
    monkeypatch.undo()
    collect(repository)
    assert states(repository, "v") == [b"0", b"1", b"2"]


def test_rules_go_with_a_volume_that_is_dropped_and_stay_until_then(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    overwrite(volume, clock)
    cas.set_volume_policy(repository, "v", ALL)

    def known() -> set[bytes]:
        with repository.engine.catalog.read() as transaction:
            return set(policies(repository.engine.nodes, transaction))

    repository.delete_volume("v")
    month = cas.VersionPolicy(every=CalendarSpan(days=30), states=Retention())
    collect(repository, month)
    cas.undelete_volume(repository, "v")
    assert known() == {volume.id}
    assert states(repository, "v") == [b"0", b"1", b"2"]
    repository.delete_volume("v")
    repository.checkpoint()
    clock.advance(31 * DAY)
    collect(repository, month)
    assert known() == set()


def test_rules_that_cannot_be_read_stop_a_collection(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    overwrite(volume, clock)
    with repository.registry.edit() as edit:
        edit.make_directory("policies")
        edit.put_record(f"policies/{volume.id.hex()}", b"\x91\x01")
    with pytest.raises(cas.FormatError):
        collect(repository)
    assert states(repository, "v") == [b"0", b"1", b"2"]


def test_rules_hold_where_the_catalog_is_lost(tmp_path: Path, clock: FakeClock) -> None:
    with cas.create(tmp_path / "lost", clock=clock) as repository:
        overwrite(repository.create_volume("v"), clock)
        cas.set_volume_policy(repository, "v", ALL)
    shutil.rmtree(tmp_path / "lost" / "local")
    with cas.open(tmp_path / "lost", clock=clock) as repository:
        collect(repository)
        assert states(repository, "v") == [b"0", b"1", b"2"]
