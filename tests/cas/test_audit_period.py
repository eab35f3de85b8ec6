"""Commits older than the audit period go, oldest first, and nothing takes that for a loss."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest

import cas
from cas.ids import Kind
from cas.journal import Commit
from cas.kept import KeptStates, kept_states
from cas.lost import lost_objects
from cas.objects import decode
from cas.registry import head_of
from cas.retention import CalendarSpan, Retention
from tests.support.checking import assert_sound, check
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.damage import damage_object
from tests.support.gateways import gateways
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY: Final = 86_400
GAP_DAYS: Final = 100
COMMITS: Final = 8
GONE: Final = 3
"""Of commits 100 days apart, the last one now: the fourth is the state a year ago."""
YEAR: Final = cas.VersionPolicy(
    every=CalendarSpan(days=30), states=Retention(), audit=CalendarSpan(years=1)
)


def with_versions(audit: CalendarSpan | None) -> cas.VersionPolicy:
    return cas.VersionPolicy(versions=2, states=Retention(), audit=audit)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def location(tmp_path: Path, clock: FakeClock) -> Path:
    """A repository of which a volume has a history of two years."""
    clock.advance(-COMMITS * GAP_DAYS * DAY)
    with cas.create(tmp_path / "store", clock=clock) as repository:
        volume = repository.create_volume("v")
        for number in range(COMMITS):
            clock.advance(GAP_DAYS * DAY)
            put(volume, "file", content(number))
            put(volume, f"n{number}", b"small")
            if number == 1:
                volume.create_snapshot("early")
            repository.checkpoint()
    return tmp_path / "store"


@pytest.fixture
def repository(location: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    with cas.open(location, clock=clock) as opened:
        yield opened


def content(number: int) -> bytes:
    return seeded_bytes(number, 100_000)


def collect(
    repository: cas.Repository, policy: cas.VersionPolicy = YEAR, *, is_dry_run: bool = False
) -> cas.CollectionReport:
    """Collect, and seal what was written: the next one finds it in packs that it may empty."""
    report = cas.collect_garbage(repository, policy, grace_seconds=0, is_dry_run=is_dry_run)
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    return report


def chain(repository: cas.Repository, upto: bytes = b"") -> list[tuple[bytes, Commit]]:
    """Return the commits of the volume, the oldest first."""
    found: list[tuple[bytes, Commit]] = []
    engine = repository.engine
    with engine.catalog.read() as transaction:
        commit_id = head_of(transaction, repository.volume("v").id).commit
    while commit_id and commit_id != upto:
        commit = decode(engine.chunks.get(Kind.COMMIT, commit_id), Commit)
        found.insert(0, (commit_id, commit))
        commit_id = commit.parent
    return found


def given_up(repository: cas.Repository) -> set[bytes]:
    engine = repository.engine
    with engine.catalog.read() as transaction:
        return set(lost_objects(engine.nodes, transaction))


def is_named(repository: cas.Repository, commit_id: bytes) -> bool:
    """Return whether a history reaches back to a commit that is not there."""
    with repository.engine.catalog.read() as transaction:
        wanted = head_of(transaction, repository.volume("v").id).commit
    while repository.engine.chunks.finds(wanted):
        commit = decode(repository.engine.chunks.get(Kind.COMMIT, wanted), Commit)
        wanted = kept(repository).parent(commit)
        if not wanted:
            return False
    return wanted == commit_id


def kept(repository: cas.Repository) -> KeptStates:
    engine = repository.engine
    with engine.catalog.read() as transaction:
        return kept_states(engine.nodes, transaction, repository.volume("v").id)


def test_what_is_older_is_gone_but_for_snapshots(repository: cas.Repository) -> None:
    volume = repository.volume("v")
    before = chain(repository)
    snapshot = volume.snapshot("early").commit
    report = collect(repository)
    collect(repository)
    gone, (first_id, first) = before[: -COMMITS + GONE], before[-COMMITS + GONE]
    assert report.dropped_commits == len(gone)
    chunks = repository.engine.chunks
    assert [chunks.finds(commit_id) for commit_id, _ in gone] == [
        commit_id == snapshot for commit_id, _ in gone
    ]
    assert not any(chunks.finds(commit.changes) for _, commit in gone)
    begins = volume.beginning()
    assert begins is not None
    assert begins.commit == first_id
    assert begins.last_sequence == first.last_sequence
    assert chain(repository, first.parent)[0] == (first_id, first)
    assert_sound(repository)
    with volume.at_snapshot("early")[1] as view, volume.at(snapshot) as same:
        assert read(view, "file") == read(same, "file") == content(1)
    assert volume.find_commit(snapshot.hex()[:12]) == snapshot


def test_the_log_ends_where_the_history_begins(repository: cas.Repository) -> None:
    volume = repository.volume("v")
    before = list(volume.log("", recursive=True))
    first = chain(repository)[-COMMITS + GONE][1].first_sequence
    collect(repository)
    assert list(volume.log("", recursive=True)) == [i for i in before if i.sequence >= first]
    assert [i.sequence for i in volume.log("file")][-1] == first
    assert list(volume.log("n1")) == []
    assert len(list(volume.changes(0, 10**6))) == volume.sequence() - first + 1


def test_what_is_older_is_refused_with_where_the_history_begins(
    repository: cas.Repository, clock: FakeClock
) -> None:
    volume = repository.volume("v")
    before = chain(repository)
    first_id, first = before[-COMMITS + GONE]
    lost_id = before[-COMMITS + GONE - 1][0]
    collect(repository)
    collect(repository)
    shown = f"history begins at .*Z, with #{first.last_sequence} .commit {first_id.hex()[:16]}"
    for sequence in (1, first.first_sequence - 1, first.last_sequence - 1):
        with pytest.raises(cas.BeforeHistoryError, match=shown) as caught:
            volume.at_sequence(sequence)
        assert caught.value.sequence == sequence
    for days in (401, 600, 5000):
        with pytest.raises(cas.BeforeHistoryError, match=shown):
            volume.at_time(clock.now_ns() - days * DAY * 10**9)
    with pytest.raises(cas.NotFoundError, match=shown):
        volume.find_commit(lost_id.hex()[:12])
    with pytest.raises(cas.NotKeptError, match="see the log"):  # thinned out, and in the log
        volume.at_sequence(first.last_sequence)
    with volume.at_time(clock.now_ns()) as view:
        assert read(view, "file") == content(COMMITS - 1)


def test_cursors_from_before_it_are_told_so(repository: cas.Repository) -> None:
    volume = repository.volume("v")
    first = chain(repository)[-COMMITS + GONE][1].first_sequence
    collect(repository)
    with pytest.raises(cas.NotKeptError):
        list(cas.numbered_changes(repository, volume, first - 2))
    found = list(cas.numbered_changes(repository, volume, first - 1))
    assert [each.sequence for each in found] == list(range(first, volume.sequence() + 1))


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (YEAR, COMMITS - GONE),
        (with_versions(CalendarSpan(years=1)), COMMITS - GONE),
        (with_versions(CalendarSpan(days=1)), 2),
        (with_versions(None), COMMITS),
        (cas.VersionPolicy(every=CalendarSpan(years=3), audit=CalendarSpan(days=1)), COMMITS),
        (cas.VersionPolicy(states=Retention(last=5), audit=CalendarSpan(days=1)), 5),
    ],
)
def test_states_that_are_kept_keep_what_was_since(
    repository: cas.Repository, policy: cas.VersionPolicy, left: int
) -> None:
    commits = chain(repository)
    collect(repository, policy)
    first = commits[-left][1].first_sequence if left < COMMITS else 1
    assert kept(repository).first == first
    assert_sound(repository)
    collect(repository, cas.VersionPolicy(audit=None))
    assert kept(repository).first == first, "it comes back"


def test_a_dry_run_says_how_much_and_a_second_collection_has_nothing_to_do(
    repository: cas.Repository,
) -> None:
    told = collect(repository, is_dry_run=True)
    assert kept(repository).begins is None
    done = collect(repository)
    assert told.dropped_commits == done.dropped_commits > 0
    again = collect(repository)
    assert again.dropped_commits == 0
    assert collect(repository).freed_size <= 0


def test_a_collection_that_is_cut_off_is_no_damage(repository: cas.Repository) -> None:
    volume = repository.volume("v")

    class Killing(cas.Watcher):
        def stage(self, name: str, total: int | None = None) -> None:
            if name == "looking at what is kept":
                raise KeyboardInterrupt

    first = chain(repository)[-COMMITS + GONE][1].first_sequence
    with pytest.raises(KeyboardInterrupt):
        cas.collect_garbage(repository, YEAR, grace_seconds=0, watcher=Killing())
    assert kept(repository).first == first
    assert_sound(repository)
    assert min(item.sequence for item in volume.log("", recursive=True)) == first
    with pytest.raises(cas.BeforeHistoryError):
        volume.at_sequence(first - 1)
    collect(repository)
    assert_sound(repository)


def test_the_index_of_changes_forgets_it_and_is_the_same_when_made_anew(
    repository: cas.Repository, location: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cas.maintenance.forgetting._ROWS_AT_ONCE", 2)
    monkeypatch.setattr("cas.maintenance.forgetting._ROWS_READ", 3)
    volume_id = repository.volume("v").id
    before = list(repository.volume("v").log("", recursive=True))

    def numbers(opened: cas.Repository) -> list[int]:
        with opened.engine.catalog.read() as transaction:
            tables = transaction.history()
            oldest = tables.run(volume_id, 0)
            assert oldest is not None
            found, _ = tables.paths_from(volume_id, b"", 10_000)
            return [oldest[1].first, *sorted({sequence for _, sequence in found})]

    assert numbers(repository)[0] == 1
    collect(repository)
    collect(repository)
    first = kept(repository).first
    left = numbers(repository)
    assert left[0] == min(left[1:]) == first > 1
    repository.close()
    shutil.rmtree(location / "local")
    with cas.open(location, clock=clock) as again:
        log = list(again.volume("v").log("", recursive=True))
        assert log == [item for item in before if item.sequence >= first]
        assert numbers(again) == left
        assert_sound(again)


def test_chains_hold_from_where_they_begin(repository: cas.Repository) -> None:
    commits = chain(repository)
    known = frozenset(commit_id for commit_id, _ in commits)
    collect(repository)
    collect(repository)
    for each in cas.follow_chains(repository, cas.Watcher(), known):
        assert not each.broken
        assert each.first == each.begins
        if not each.is_registry:
            assert each.first > 1
            assert each.known == {commit_id for commit_id, _ in commits[-COMMITS + GONE :]}
            assert each.commits == COMMITS - GONE


def test_a_replica_begins_there_too(
    repository: cas.Repository, tmp_path: Path, clock: FakeClock
) -> None:
    cas.replicate(repository, tmp_path / "replica")
    collect(repository)
    collect(repository)
    cas.replicate(repository, tmp_path / "replica")
    with cas.open(tmp_path / "replica", clock=clock) as replica:
        assert replica.volume("v").beginning() == repository.volume("v").beginning()
        assert kept(replica).first > 1
        assert_sound(replica)


@pytest.mark.parametrize("back", [COMMITS - GONE, COMMITS - GONE - 1, 2])
def test_a_lost_commit_is_told_from_the_beginning(
    location: Path, clock: FakeClock, back: int
) -> None:
    with cas.open(location, clock=clock) as repository:
        lost = chain(repository)[-back][0]
        collect(repository)
        collect(repository)
        assert_sound(repository)
    damage_object(location, lost)
    with cas.open(location, clock=clock) as repository:
        told = check(repository, cas.Share())
        assert lost.hex() in told.messages
        assert any(each.broken for each in cas.follow_chains(repository, cas.Watcher()))
        with pytest.raises(cas.IntegrityError):
            collect(repository)
        assert cas.repair_repository(repository).given_up == [lost]
        first = kept(repository).first
        assert not collect(repository).dropped_commits
        clock.advance(2 * GAP_DAYS * DAY)
        put(repository.volume("v"), "file", b"more")
        assert collect(repository).dropped_commits
        assert kept(repository).first > first
        assert given_up(repository) == ({lost} if is_named(repository, lost) else set())
        clock.advance(9 * GAP_DAYS * DAY)
        put(repository.volume("v"), "file", b"and more")
        repository.delete_volume("v")
        repository.checkpoint()
        assert collect(repository).damaged_packs == []
        assert given_up(repository) == set()
        clock.advance(GAP_DAYS * DAY)
        assert collect(repository).dropped_volumes == 1


@pytest.mark.parametrize("is_new", [False, True])
def test_a_gateway_that_was_away_learns_that_history_begins_later(
    tmp_path: Path, *, is_new: bool
) -> None:
    with gateways(tmp_path) as made:
        assert isinstance(made.clock, FakeClock)
        one = made.open("one")
        put(one.volume("v"), "file", content(0))
        if not is_new:
            assert read(made.open("two").volume("v"), "file") == content(0)
        for number in range(1, COMMITS):
            made.clock.advance(GAP_DAYS * DAY)
            put(one.volume("v"), "file", content(number))
            one.registry.edit().commit()
        cas.collect_garbage(one, YEAR, grace_seconds=0)
        cas.collect_garbage(one, YEAR, grace_seconds=0)
        begins = one.volume("v").beginning()
        assert begins is not None
        assert begins.first_sequence > 1
        two = made.open("two")
        assert read(two.volume("v"), "file") == content(COMMITS - 1)
        assert two.volume("v").beginning() == begins
        with pytest.raises(cas.BeforeHistoryError):
            two.volume("v").at_sequence(1)
        assert_sound(two)
