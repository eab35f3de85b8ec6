"""The repository against a dict of paths: every operation, several handles, losses in between."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path as DiskPath
from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import cas
from tests.models import tree_model as model
from tests.models.steps import Step, paths, steps
from tests.models.tree_model import Path, RefusedError, Tree
from tests.support.checking import assert_sound
from tests.support.history import check_index, check_log

VOLUMES = ("one", "two")
MOST_HANDLES = 3
_PATIENCE_ROUNDS = 1000

names_of_snapshots = st.sampled_from(["daily", "1.0", "x_-"])
volumes = st.sampled_from(VOLUMES)
chosen = st.integers(0, 999)


def assert_same(view: cas.View, tree: Tree) -> None:
    found = model.read_tree(view)
    # Contents are long: of those that differ the message shows the paths.
    assert sorted(found.keys() ^ tree.keys()) == []
    assert [path for path in found if found[path] != tree[path]] == []


class Prompting(cas.Watcher):
    """Lets each handle say at once what its writes lean on; by itself it does every second."""

    def __init__(self, handles: list[cas.Repository]) -> None:
        self._handles = handles
        self._rounds = 0

    def advance(self, steps: int) -> None:
        if not steps:  # it waits
            self._rounds += 1
            assert self._rounds < _PATIENCE_ROUNDS, "what no write leans on is waited for"
            for handle in self._handles:
                handle.engine.process.keep_up()


class RepositoryMachine(RuleBasedStateMachine):
    """Handles on one repository; `trees` says what each volume must hold.

    `states` are the trees after each edit, with the number of its last change and the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = DiskPath(tempfile.mkdtemp(prefix="casdav-test-"))
        self.location = self.directory / "store"
        cas.create(self.location).close()
        self.handles = [self.open()]
        self.trees: dict[str, Tree] = {}
        self.views: list[tuple[cas.View, Tree]] = []
        self.states: dict[str, list[tuple[int, int, Tree]]] = {name: [] for name in VOLUMES}
        self.snapshots: dict[str, dict[str, Tree]] = {name: {} for name in VOLUMES}
        for name in VOLUMES:
            self.handles[0].create_volume(name)
            self.trees[name] = {}

    def open(self) -> cas.Repository:
        return cas.open(self.location)

    def now_ns(self) -> int:
        return time.time_ns()

    def handle(self, number: int) -> cas.Repository:
        return self.handles[number % len(self.handles)]

    @rule(number=chosen, name=volumes, several=st.lists(steps, min_size=1, max_size=4))
    def edit(self, number: int, name: str, several: list[Step]) -> None:
        volume = self.handle(number).volume(name)
        expected = dict(self.trees[name])
        is_refused = False
        try:
            for foresee, _ in several:
                foresee(expected)
        except RefusedError:
            is_refused = True
        edit = volume.edit(author="model")
        for _, act in several:
            act(edit, volume)
        if is_refused:
            with pytest.raises(cas.CasError):
                edit.commit()
            return
        edit.commit()
        assert len(edit.outcome) >= len(several)
        self.note(name, edit, expected)

    @rule(number=chosen, source=volumes, into=volumes, path=paths, overwrite=st.booleans())
    def attach_something(
        self,
        number: int,
        source: str,
        into: str,
        path: Path,
        overwrite: bool,  # noqa: FBT001
    ) -> None:
        """Attach what a view has, an old one or a new one, and close it behind that."""
        repository = self.handle(number)
        view, tree = repository.volume(source).view(), self.trees[source]
        if self.views and number % 2:
            view.close()
            view, tree = self.views.pop(number % len(self.views))
        with view:
            self.attach(view, tree, repository.volume(into), path, number, overwrite=overwrite)

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
        if not tree:
            return
        origin = sorted(tree)[number % len(tree)]
        subtree = {p[len(origin) :]: tree[p] for p in model.below(tree, origin)}
        expected = dict(self.trees[volume.name])
        edit = volume.edit()
        entry = view.entry(model.text(origin))
        edit.attach(
            model.text(path), entry, epoch=view.epoch, overwrite=overwrite, nodes=view.nodes
        )
        try:
            model.attach(expected, path, subtree, overwrite=overwrite)
        except RefusedError:
            with pytest.raises(cas.CasError):
                edit.commit()
            return
        try:
            edit.commit()
        except cas.ExpiredError:
            with volume.view() as newer:  # a collection has begun since the view was made
                assert view.epoch < newer.epoch
            return
        self.note(volume.name, edit, expected)

    def note(self, name: str, edit: cas.Edit, tree: Tree) -> None:
        self.trees[name] = tree
        if edit.sequence:  # 0: there was nothing to do
            self.states[name].append((edit.sequence, self.now_ns(), tree))

    @rule(number=chosen, name=volumes, which=chosen, by_time=st.booleans())
    def look_back(self, number: int, name: str, which: int, by_time: bool) -> None:  # noqa: FBT001
        """Pin a past state, as after an edit; what can be done with any view is done with it."""
        volume = self.handle(number).volume(name)
        if self.states[name]:
            sequence, time_ns, tree = self.states[name][which % len(self.states[name])]
            view = volume.at_time(time_ns) if by_time else volume.at_sequence(sequence)
            self.hold(name, view, tree)

    @rule(number=chosen, name=volumes, which=chosen)
    def roll_back(self, number: int, name: str, which: int) -> None:
        volume = self.handle(number).volume(name)
        if self.states[name]:
            sequence, _, tree = self.states[name][which % len(self.states[name])]
            with volume.at_sequence(sequence) as view, volume.edit() as edit:
                edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
            self.note(name, edit, tree)

    @rule(number=chosen, name=volumes, which=chosen)
    def undelete(self, number: int, name: str, which: int) -> None:
        """Bring back what an edit took away, where its folder and its name are free for it."""
        volume = self.handle(number).volume(name)
        removed = [item for item in volume.log("", recursive=True) if item.new is None]
        if not removed:
            return
        item = removed[which % len(removed)]
        path = tuple(item.path.split("/"))
        expected = dict(self.trees[name])
        with volume.at_sequence(item.sequence - 1) as view:
            tree = model.read_tree(view)
            subtree = {p[len(path) :]: tree[p] for p in model.below(tree, path)}
            edit = volume.edit()
            edit.attach(
                item.path,
                view.entry(item.path),
                epoch=view.epoch,
                nodes=view.nodes,
                overwrite=False,
                source=item.path,
            )
            try:
                model.attach(expected, path, subtree, overwrite=False)
            except RefusedError:
                with pytest.raises(cas.CasError):
                    edit.commit()
                return
            edit.commit()
        self.note(name, edit, expected)

    @rule(number=chosen, name=volumes, path=paths, which=chosen)
    def read_the_log(self, number: int, name: str, path: Path, which: int) -> None:
        handle = self.handle(number)
        volume = handle.volume(name)
        check_log(volume, model.text(path), which)
        check_index(handle.engine.history.open(volume.id))

    @rule(number=chosen, name=volumes)
    def pin_a_view(self, number: int, name: str) -> None:
        self.hold(name, self.handle(number).volume(name).view(), self.trees[name])

    def hold(self, name: str, view: cas.View, tree: Tree) -> None:
        self.views.append((view, tree))

    @precondition(lambda self: self.views)
    @rule(number=chosen)
    def close_a_view(self, number: int) -> None:
        view, tree = self.views.pop(number % len(self.views))
        with view:
            self.compare_view(view, tree)

    def compare_view(self, view: cas.View, tree: Tree) -> None:
        assert_same(view, tree)

    @rule(number=chosen, name=volumes, label=names_of_snapshots)
    def create_a_snapshot(self, number: int, name: str, label: str) -> None:
        volume = self.handle(number).volume(name)
        if label in self.snapshots[name]:
            with pytest.raises(cas.AlreadyExistsError):
                volume.create_snapshot(label)
        else:
            volume.create_snapshot(label)
            self.snapshots[name][label] = self.trees[name]

    @rule(number=chosen, name=volumes, label=names_of_snapshots)
    def remove_a_snapshot(self, number: int, name: str, label: str) -> None:
        edit = self.handle(number).volume(name).edit()
        edit.remove_snapshot(label)
        if self.snapshots[name].pop(label, None) is None:
            with pytest.raises(cas.NotFoundError):
                edit.commit()
        else:
            edit.commit()

    @rule(number=chosen, source=volumes, into=volumes, path=paths, overwrite=st.booleans())
    def attach_from_a_snapshot(
        self,
        number: int,
        source: str,
        into: str,
        path: Path,
        overwrite: bool,  # noqa: FBT001
    ) -> None:
        repository = self.handle(number)
        for snapshot in repository.volume(source).snapshots()[number % 3 :][:1]:
            tree = self.snapshots[source][snapshot.name]
            with repository.volume(source).at(snapshot.commit) as view:
                self.attach(view, tree, repository.volume(into), path, number, overwrite=overwrite)

    @rule(number=chosen)
    def checkpoint(self, number: int) -> None:
        self.handle(number).checkpoint()

    @rule(number=chosen)
    def collect(self, number: int) -> None:
        """Collect what nobody can reach: all history is younger than what is kept anyway."""
        for handle in self.handles:
            handle.engine.chunks.open_packs.seal_current()
        cas.collect_garbage(self.handle(number), grace_seconds=0, watcher=Prompting(self.handles))

    @precondition(lambda self: len(self.handles) < MOST_HANDLES)
    @rule()
    def open_another_handle(self) -> None:
        self.handles.append(self.open())

    @precondition(lambda self: len(self.handles) > 1)
    @rule(number=chosen)
    def close_a_handle(self, number: int) -> None:
        self.close_views()
        self.handles.pop(number % len(self.handles)).close()

    @rule(lose_catalog=st.booleans())
    def close_all_and_open(self, lose_catalog: bool) -> None:  # noqa: FBT001
        before = {name: self.entries(name) for name in VOLUMES}
        self.close_all()
        if lose_catalog:
            shutil.rmtree(self.location / "local" / "catalog")
        self.handles = [self.open()]
        assert {name: self.entries(name) for name in VOLUMES} == before

    @rule(number=chosen)
    def check(self, number: int) -> None:
        assert_sound(self.handle(number))

    @rule(number=chosen, name=volumes)
    def compare(self, number: int, name: str) -> None:
        volume = self.handle(number).volume(name)
        with volume.view() as view:
            assert_same(view, self.trees[name])
        snapshots = volume.snapshots()
        assert [each.name for each in snapshots] == sorted(self.snapshots[name])
        for snapshot in snapshots:
            with volume.at(snapshot.commit) as view:
                assert_same(view, self.snapshots[name][snapshot.name])

    def entries(self, name: str) -> list[tuple[str, cas.Entry]]:
        with self.handles[0].volume(name).view() as view:
            return [("", view.root), *view.walk()]

    def close_views(self) -> None:
        for view, tree in self.views:
            with view:
                self.compare_view(view, tree)
        self.views = []

    def close_all(self) -> None:
        self.close_views()
        for handle in self.handles:
            handle.close()
        self.handles = []

    def teardown(self) -> None:
        try:
            for name in VOLUMES if self.handles else ():
                self.compare(0, name)
            if self.handles:
                self.check(0)
            self.close_all()
        finally:
            for handle in self.handles:
                handle.close()
            shutil.rmtree(self.directory)


def run_machine(
    examples: int, step_count: int, machine: type[RuleBasedStateMachine] = RepositoryMachine
) -> None:
    chosen_settings: Any = settings(max_examples=examples, stateful_step_count=step_count)
    run_state_machine_as_test(machine, settings=chosen_settings)


def test_a_repository_is_a_dict_of_paths() -> None:
    run_machine(examples=25, step_count=25)


@pytest.mark.long
def test_a_repository_is_a_dict_of_paths_in_long_runs() -> None:
    run_machine(examples=80, step_count=60)


@pytest.mark.soak
def test_a_repository_is_a_dict_of_paths_whatever_the_seed(soak_seed: int) -> None:
    run_machine(examples=200, step_count=80, machine=seed(soak_seed)(RepositoryMachine))
