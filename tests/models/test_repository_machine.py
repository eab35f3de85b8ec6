"""The repository against a dict of paths: every operation, several handles, losses in between."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path as DiskPath
from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import cas
from tests.models import tree_model as model
from tests.models.tree_model import Path, RefusedError, Tree
from tests.support.corpus import seeded_bytes

VOLUMES = ("one", "two")
MOST_HANDLES = 3

names = st.sampled_from(["a", "b", "c", "ä €"])
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
contents = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.builds(seeded_bytes, st.integers(0, 3), st.sampled_from([5_000, 300_000])),
    st.builds(bytes, st.sampled_from([70_000, 900_000])),
)
names_of_snapshots = st.sampled_from(["daily", "1.0", "x_-"])
dead_properties = st.dictionaries(
    st.sampled_from(["{DAV:}x", "{urn:y}z"]), st.sampled_from(["", "<v/>", "long " * 300])
)
volumes = st.sampled_from(VOLUMES)
chosen = st.integers(0, 999)

Step = tuple[Callable[[Tree], None], Callable[[cas.Edit, cas.Volume], None]]


def _put(path: Path, data: bytes) -> Step:
    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        upload = volume.upload()
        for start in range(0, len(data), 100_000):
            upload.write(data[start : start + 100_000])
        edit.put(model.text(path), upload)

    return lambda tree: model.put(tree, path, data), act


def _make_directory(path: Path, parents: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.make_directory(tree, path, parents=parents),
        lambda edit, _: edit.make_directory(model.text(path), parents=parents),
    )


def _make_symlink(path: Path, target: str) -> Step:
    return (
        lambda tree: model.make_symlink(tree, path, target),
        lambda edit, _: edit.make_symlink(model.text(path), target),
    )


def _remove(path: Path) -> Step:
    return (
        lambda tree: model.remove(tree, path),
        lambda edit, _: edit.remove(model.text(path)),
    )


def _move(source: Path, path: Path, overwrite: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.move(tree, source, path, overwrite=overwrite),
        lambda edit, _: edit.move(model.text(source), model.text(path), overwrite=overwrite),
    )


def _copy(source: Path, path: Path, overwrite: bool, recursive: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.copy(tree, source, path, overwrite=overwrite, recursive=recursive),
        lambda edit, _: edit.copy(
            model.text(source), model.text(path), overwrite=overwrite, recursive=recursive
        ),
    )


def _set_properties(path: Path, properties: dict[str, str]) -> Step:
    return (
        lambda tree: model.set_properties(tree, path, properties),
        lambda edit, _: edit.set_properties(model.text(path), properties=properties),
    )


def _put_many(path: Path, count: int, step: int) -> Step:
    """Make a folder with enough names that its tree splits, and change some of them."""

    def expect(tree: Tree) -> None:
        model.make_directory(tree, path, parents=True)
        for number in range(0, count, step):
            model.put(tree, (*path, f"n{number:03}"), b"%d" % (number + step))

    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        edit.make_directory(model.text(path), parents=True)
        for number in range(0, count, step):
            upload = volume.upload()
            upload.write(b"%d" % (number + step))
            edit.put(f"{model.text(path)}/n{number:03}", upload)

    return expect, act


def _put_folder(path: Path, count: int, data: bytes) -> Step:
    """Make a folder aside, with enough names that its tree splits and folders within it."""
    members: Tree = {("in",): model.FOLDER, ("in", "link"): model.Node("link", b"../a")}
    for number in range(count):
        members[f"n{number:03}",] = members["in", f"n{number:03}"] = model.Node("file", data)

    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        folder = volume.folder()
        within = folder.folder()
        stored = volume.store([data])
        folder.rely_on(stored)
        within.put_symlink("link", "../a", mtime_ns=1)
        for number in range(count):
            for each in (folder, within):
                each.put(f"n{number:03}", stored.contents[0], mtime_ns=1, mode=0o600)
            if number == count // 2:
                folder.put_folder("in", within, mtime_ns=1, mode=0o700)
        folder.put_folder("in", within, mtime_ns=1, mode=0o700)
        edit.put_folder(model.text(path), folder, mtime_ns=1)

    return lambda tree: model.put_folder(tree, path, members), act


steps = st.one_of(
    st.builds(_put, paths, contents),
    st.builds(_put, paths, contents),
    st.builds(_make_directory, paths, st.booleans()),
    st.builds(_make_directory, paths, st.just(value=True)),
    st.builds(_make_symlink, paths, st.sampled_from(["../a", "nowhere"])),
    st.builds(_remove, paths),
    st.builds(_move, paths, paths, st.booleans()),
    st.builds(_copy, paths, paths, st.booleans(), st.booleans()),
    st.builds(_set_properties, paths, dead_properties),
    st.builds(_put_folder, paths, st.sampled_from([0, 3, 150]), contents),
    st.builds(_put_many, paths, st.sampled_from([40, 150]), st.sampled_from([1, 7])),
)


def assert_same(view: cas.View, tree: Tree) -> None:
    found = model.read_tree(view)
    # Contents are long: of those that differ the message shows the paths.
    assert sorted(found.keys() ^ tree.keys()) == []
    assert [path for path in found if found[path] != tree[path]] == []


class RepositoryMachine(RuleBasedStateMachine):
    """Handles on one repository; `trees` says what each volume must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = DiskPath(tempfile.mkdtemp(prefix="casdav-test-"))
        self.location = self.directory / "store"
        self.handles = [cas.create(self.location)]
        self.trees: dict[str, Tree] = {}
        self.views: list[tuple[cas.View, Tree]] = []
        self.snapshots: dict[str, dict[str, Tree]] = {name: {} for name in VOLUMES}
        for name in VOLUMES:
            self.handles[0].create_volume(name)
            self.trees[name] = {}

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
        self.trees[name] = expected

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
        edit.attach(model.text(path), entry, epoch=view.epoch, overwrite=overwrite)
        try:
            model.attach(expected, path, subtree, overwrite=overwrite)
        except RefusedError:
            with pytest.raises(cas.CasError):
                edit.commit()
            return
        edit.commit()
        self.trees[volume.name] = expected

    @rule(number=chosen, name=volumes)
    def pin_a_view(self, number: int, name: str) -> None:
        self.views.append((self.handle(number).volume(name).view(), self.trees[name]))

    @precondition(lambda self: self.views)
    @rule(number=chosen)
    def close_a_view(self, number: int) -> None:
        view, tree = self.views.pop(number % len(self.views))
        with view:
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

    @precondition(lambda self: len(self.handles) < MOST_HANDLES)
    @rule()
    def open_another_handle(self) -> None:
        self.handles.append(cas.open(self.location))

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
        self.handles = [cas.open(self.location)]
        assert {name: self.entries(name) for name in VOLUMES} == before

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
                assert_same(view, tree)
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
            self.close_all()
        finally:
            for handle in self.handles:
                handle.close()
            shutil.rmtree(self.directory)


def _run(
    examples: int, step_count: int, machine: type[RuleBasedStateMachine] = RepositoryMachine
) -> None:
    chosen_settings: Any = settings(max_examples=examples, stateful_step_count=step_count)
    run_state_machine_as_test(machine, settings=chosen_settings)


def test_a_repository_is_a_dict_of_paths() -> None:
    _run(examples=25, step_count=25)


@pytest.mark.long
def test_a_repository_is_a_dict_of_paths_in_long_runs() -> None:
    _run(examples=400, step_count=60)


@pytest.mark.soak
def test_a_repository_is_a_dict_of_paths_whatever_the_seed(soak_seed: int) -> None:
    _run(examples=200, step_count=80, machine=seed(soak_seed)(RepositoryMachine))
