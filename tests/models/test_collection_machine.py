"""Collections that drop history: what is kept is readable, what is not is gone from the store."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import rule

import cas
from cas.catalog import PackState
from cas.file_nodes import objects_of
from cas.ids import Kind
from cas.maintenance.packing import DEAD_SHARE
from cas.packfile import HEADER_SIZE, RECORD_OVERHEAD, ROW_SIZE, TRAILER_SIZE, PackKind
from cas.retention import CalendarSpan, Retention
from tests.models import tree_model as model
from tests.models.steps import paths
from tests.models.test_repository_machine import (
    VOLUMES,
    Prompting,
    RepositoryMachine,
    chosen,
    run_machine,
    volumes,
)
from tests.models.tree_model import Path, Tree
from tests.support.clock import SECOND_NS, FakeClock
from tests.support.history import check_index

HOUR: Final = 3600
PRESENT_ONLY: Final = cas.VersionPolicy(versions=1, states=Retention())
POLICIES: Final = (
    PRESENT_ONLY,
    cas.VersionPolicy(versions=3, states=Retention(), audit=CalendarSpan(hours=4)),
    cas.VersionPolicy(every=CalendarSpan(hours=6), states=Retention(), audit=CalendarSpan(hours=1)),
    cas.VersionPolicy(
        every=CalendarSpan(hours=2), states=Retention(last=2), audit=CalendarSpan(hours=1)
    ),
    cas.VersionPolicy(every=CalendarSpan(hours=6), states=Retention(hourly=3)),
)


class CollectionMachine(RepositoryMachine):
    """The same, where history goes.

    Of each volume, states from the number `kept` on are there for sure, and those below `gone`
    are not, but for what snapshots name. In between the model does not know: there it depends on
    where checkpoints were made. What can be read is what it was in any case.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kept = dict.fromkeys(VOLUMES, 0)
        self.gone = dict.fromkeys(VOLUMES, 0)
        self.collected: dict[str, list[tuple[int, int]]] = {name: [] for name in VOLUMES}
        self.held: dict[int, str] = {}
        super().__init__()

    def open(self) -> cas.Repository:
        return cas.open(self.location, clock=self.clock)

    def now_ns(self) -> int:
        now = self.clock.now_ns()
        self.clock.advance(1)
        return now

    @rule(minutes=st.integers(1, 600))
    def pass_time(self, minutes: int) -> None:
        self.clock.advance(60 * minutes)

    @rule(number=chosen, policy=st.sampled_from(POLICIES))
    def collect_by(self, number: int, policy: cas.VersionPolicy) -> None:
        for handle in self.handles:
            handle.engine.chunks.open_packs.seal_current()
        repository = self.handle(number)
        for name in VOLUMES:
            self.expect(name, policy, repository.volume(name))
        with repository.engine.catalog.read() as transaction:
            before = {ordinal for ordinal, _ in transaction.packs()}
        watcher = Prompting(self.handles)
        report = cas.collect_garbage(repository, policy, grace_seconds=0, watcher=watcher)
        assert report.damaged_packs == []
        assert report.removed_packs == report.condemned_packs
        if policy is PRESENT_ONLY:
            self.assert_gone(repository, before)
        for name in VOLUMES:
            self.check_history(repository, repository.volume(name))

    def expect(self, name: str, policy: cas.VersionPolicy, volume: cas.Volume) -> None:
        """Note what a collection by this policy, now, keeps and drops."""
        with volume.view() as view:
            newest = view.sequence
        now = self.clock.now_ns()
        if policy.versions is not None:
            kept = gone = newest
        else:
            since = now - policy.every.hours * HOUR * SECOND_NS
            kept = min(
                (s for s, time_ns, _ in self.states[name] if time_ns > since), default=newest
            )
            # At the end of a collection there was a commit.
            gone = max((s for time_ns, s in self.collected[name] if time_ns <= since), default=0)
        self.kept[name] = max(self.kept[name], kept)
        if policy.states.is_empty:
            self.gone[name] = max(self.gone[name], gone)
        self.collected[name].append((now, newest))
        self.clock.advance(1)

    def assert_gone(self, repository: cas.Repository, before: set[int]) -> None:
        """Of the packs that there were before, no more is dead than is promised."""
        live: set[bytes] = set()
        for name in VOLUMES:
            volume = repository.volume(name)
            views = [volume.view(), *(volume.at(s.commit) for s in volume.snapshots())]
            for view in views:
                with view:
                    live |= _objects(view)
        used: Counter[int] = Counter()
        with repository.engine.catalog.read() as transaction:
            for object_id in live:
                location = transaction.location(object_id)
                assert location is not None
                if location.kind is Kind.CHUNK:
                    used[location.pack] += location.stored_size + RECORD_OVERHEAD + ROW_SIZE
            packs = list(transaction.packs())
        for ordinal, row in packs:
            assert row.state not in {PackState.CONDEMNED, PackState.REMOVED}
            if ordinal in before and row.state is PackState.SEALED and row.kind == PackKind.DATA:
                dead = row.size - used[ordinal] - HEADER_SIZE - TRAILER_SIZE
                assert used[ordinal]
                assert dead <= row.size * DEAD_SHARE

    def is_kept(self, name: str, sequence: int) -> bool:
        return sequence >= self.kept[name]

    def check_history(self, handle: cas.Repository, volume: cas.Volume) -> None:
        """Check that the history is whole, and begins before all that is kept for sure."""
        history = handle.engine.history.open(volume.id)
        check_index(history)
        begins = history.kept.begins
        if begins is not None:
            assert begins.last_sequence <= self.kept[volume.name]
            logged = [item.sequence for item in volume.log("", recursive=True)]
            assert all(sequence >= begins.first_sequence for sequence in logged)

    def is_gone(self, volume: cas.Volume, sequence: int) -> bool:
        if sequence >= self.gone[volume.name]:
            return False
        for snapshot in volume.snapshots():
            with volume.at(snapshot.commit) as view:
                if view.sequence == sequence:
                    return False
        return True

    @rule(number=chosen, name=volumes, which=chosen, by_time=st.booleans())
    def look_back(self, number: int, name: str, which: int, by_time: bool) -> None:  # noqa: FBT001
        if not self.states[name]:
            return
        sequence = self.states[name][which % len(self.states[name])][0]
        try:
            super().look_back(number, name, which, by_time)
        except cas.NotKeptError:
            assert not self.is_kept(name, sequence)
        else:
            assert not self.is_gone(self.handle(number).volume(name), sequence)

    @rule(number=chosen, name=volumes, which=chosen)
    def roll_back(self, number: int, name: str, which: int) -> None:
        if not self.states[name]:
            return
        sequence = self.states[name][which % len(self.states[name])][0]
        try:
            super().roll_back(number, name, which)
        except cas.NotKeptError:
            assert not self.is_kept(name, sequence)

    @rule(number=chosen, name=volumes, which=chosen)
    def undelete(self, number: int, name: str, which: int) -> None:
        dropped = None
        try:
            super().undelete(number, name, which)
        except cas.NotKeptError as error:
            dropped = error.sequence
        assert dropped is None or not self.is_kept(name, dropped)

    def attach(
        self,
        view: cas.View,
        tree: Tree,
        volume: cas.Volume,
        path: Path,
        number: int,
        *,
        overwrite: bool,
    ) -> None:
        try:
            super().attach(view, tree, volume, path, number, overwrite=overwrite)
        except cas.ExpiredError:
            self.may_be_gone(view)

    @rule(number=chosen, name=volumes, path=paths, which=chosen)
    def read_the_log(self, number: int, name: str, path: Path, which: int) -> None:
        """Changes stay if states do; what was in what they name may not be known any more."""
        handle = self.handle(number)
        volume = handle.volume(name)
        self.check_history(handle, volume)
        items = list(volume.log(model.text(path)))
        for item in items[which % 7 :: 7]:
            try:
                with volume.at_sequence(item.sequence) as view:
                    assert view.get(item.path) == item.new
            except cas.NotKeptError:
                assert not self.is_kept(name, item.sequence)

    @rule(number=chosen, name=volumes, several=st.sets(chosen, max_size=2))
    def prune_snapshots(self, number: int, name: str, several: set[int]) -> None:
        volume = self.handle(number).volume(name)
        found = volume.snapshots()
        pruned = {found[each % len(found)] for each in several if found}
        volume.remove_snapshots(pruned)
        for snapshot in pruned:
            del self.snapshots[name][snapshot.name]

    def hold(self, name: str, view: cas.View, tree: Tree) -> None:
        self.held[id(view)] = name
        super().hold(name, view, tree)

    def compare_view(self, view: cas.View, tree: Tree) -> None:
        try:
            super().compare_view(view, tree)
        except cas.ExpiredError:
            self.may_be_gone(view)

    def may_be_gone(self, view: cas.View) -> None:
        with self.handles[0].volume(VOLUMES[0]).view() as newer:
            assert view.epoch < newer.epoch
        assert not self.is_kept(self.held[id(view)], view.sequence)


def _objects(view: cas.View) -> set[bytes]:
    """Return the ids of what a state's files and dead properties are made of."""
    found: set[bytes] = set()
    for _, entry in [("", view.root), *view.walk()]:
        if entry.properties_id:
            found.add(entry.properties_id)
        if entry.is_file:
            content = cas.Content(entry.kind, entry.size, entry.content)
            found |= set(objects_of(view.nodes, content))
    return found


def test_what_is_kept_is_readable_and_what_is_not_is_gone() -> None:
    run_machine(examples=25, step_count=30, machine=CollectionMachine)


@pytest.mark.long
def test_what_is_kept_is_readable_and_what_is_not_is_gone_in_long_runs() -> None:
    run_machine(examples=60, step_count=60, machine=CollectionMachine)


@pytest.mark.soak
def test_what_is_kept_is_readable_whatever_the_seed(soak_seed: int) -> None:
    run_machine(examples=200, step_count=80, machine=seed(soak_seed)(CollectionMachine))
