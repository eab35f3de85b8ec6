"""Purges among edits, copies, moves, snapshots, rollbacks and collections, beside a simple model.

The model is a dictionary of paths for each change. What was at the purged path itself has to go,
what was never at any of the paths that the purge tells of has to stay.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from pathlib import Path

_TOPS = ("a", "b", "c", "d", "e", "f", "g")
_FILES = ("a", "b", "c", "f", "g", "d/x", "d/y", "e/x")
_SHARED = seeded_bytes(99, 150_000)  # chunks that several contents have
_STEPS = 90

_Tree = dict[str, bytes]


def _content(number: int) -> bytes:
    return (_SHARED if number % 3 == 0 else b"") + seeded_bytes(number, 400)


class _Machine:
    """A volume and its model: `states` by the number of the change that led to them."""

    def __init__(self, repository: cas.Repository, random: Random) -> None:
        self._repository = repository
        self._volume = repository.create_volume("v")
        self._random = random
        self._now: _Tree = {}
        self._states: dict[int, _Tree] = {}
        self._purges: list[tuple[int, set[bytes]]] = []
        self._snapshots: list[tuple[str, int]] = []

    def step(self) -> None:
        """Do one thing, chosen by chance."""
        steps = [self.put] * 5 + [self.transfer] * 2 + [self.remove] * 4
        steps += [self.snapshot, self.purge, self.purge, self.purge, self.bring_back, self.collect]
        self._random.choice(steps)()
        self._states[self._volume.sequence()] = dict(self._now)

    def put(self) -> None:
        path = self._random.choice(_FILES)
        folder = path.rpartition("/")[0]
        if folder in self._now or _below(self._now, path):
            return
        if self._is_folder(path):
            return
        if folder:
            with self._volume.edit() as edit:
                edit.make_directory(folder, parents=True)
            self._states[self._volume.sequence()] = dict(self._now)
        self._now[path] = _content(self._random.randrange(12))
        put(self._volume, path, self._now[path])

    def transfer(self) -> None:
        """Copy or move a file or folder, over whatever is there."""
        source, target = self._random.sample(_TOPS, 2)
        if not self._exists(source):
            return
        is_move = self._random.random() < 0.6
        with self._volume.edit() as edit:
            (edit.move if is_move else edit.copy)(source, target)
        moved = _at(self._now, source)
        self._drop(target)
        if is_move:
            self._drop(source)
        self._now |= {target + path.removeprefix(source): moved[path] for path in moved}

    def remove(self) -> None:
        path = self._random.choice(_TOPS + _FILES)
        if self._exists(path):
            with self._volume.edit() as edit:
                edit.remove(path)
            self._drop(path)

    def snapshot(self) -> None:
        name = f"s{len(self._snapshots)}"
        sequence = self._volume.sequence()
        if sequence:
            self._states[sequence] = dict(self._now)
            self._volume.create_snapshot(name)
            self._snapshots.append((name, sequence))

    def purge(self) -> None:
        path = self._random.choice(_TOPS + _FILES)
        if self._exists(path):
            return
        upto = self._volume.sequence()
        self._states[upto] = dict(self._now)
        ever = {c for state in self._states.values() for c in _at(state, path).values()}
        try:
            report = cas.purge_path(self._repository, self._volume, path)
        except cas.NotFoundError:
            assert not ever
            return
        assert self._volume.sequence() > upto  # what is there now has a past again
        may = {
            content
            for state in self._states.values()
            for told in report.paths
            for content in _at(state, told).values()
        }
        assert len(ever) <= report.contents <= len(may)
        # Which of those at its other paths belong to it, the engine says.
        gone = ever | {content for content in may - ever if self._has_gone(content)}
        self._purges.append((upto, gone))

    def bring_back(self) -> None:
        """Roll back to a snapshot."""
        if not self._snapshots:
            return
        name, sequence = self._random.choice(self._snapshots)
        _, view = self._volume.at_snapshot(name)
        with view, self._volume.edit() as edit:
            edit.replace_root(view.root, epoch=view.epoch, nodes=view.nodes)
        state = self._states[sequence]
        self._now = {p: c for p, c in state.items() if not self._is_purged(c, sequence)}

    def collect(self) -> None:
        self._repository.checkpoint()
        self._repository.engine.chunks.open_packs.seal_current()
        cas.collect_garbage(self._repository, grace_seconds=0)
        assert_sound(self._repository)

    def compare(self) -> None:
        """Read the present, all snapshots, and all states between them."""
        with self._volume.view() as view:
            assert {p: read(view, p) for p, e in view.walk() if e.is_file} == self._now
        for name, sequence in self._snapshots:
            _, view = self._volume.at_snapshot(name)
            self._compare_state(view, sequence)
        for sequence in self._states:
            if 0 < sequence < self._volume.sequence():
                self._compare_state(self._volume.at_sequence(sequence), sequence)

    def _compare_state(self, view: cas.View, sequence: int) -> None:
        with view:
            files = [path for path, entry in view.walk() if entry.is_file]
            assert sorted(files) == sorted(self._states[sequence])
            for path in files:
                content = self._states[sequence][path]
                expected = None if self._is_purged(content, sequence) else content
                assert _read(view, path) == expected, (sequence, path)

    def _is_purged(self, content: bytes, sequence: int) -> bool:
        return any(sequence <= upto and content in gone for upto, gone in self._purges)

    def _has_gone(self, content: bytes) -> bool:
        """Return whether the newest state of the past that has it does not give it."""
        for sequence in sorted(self._states, reverse=True):
            paths = [p for p, c in self._states[sequence].items() if c == content]
            if paths and 0 < sequence < self._volume.sequence():
                with self._volume.at_sequence(sequence) as view:
                    return _read(view, paths[0]) is None
        return False

    def _exists(self, path: str) -> bool:
        with self._volume.view() as view:
            return view.get(path) is not None

    def _is_folder(self, path: str) -> bool:
        with self._volume.view() as view:
            entry = view.get(path)
            return entry is not None and entry.is_directory

    def _drop(self, path: str) -> None:
        for below in _at(self._now, path):
            del self._now[below]


def _below(tree: _Tree, path: str) -> _Tree:
    return {p: c for p, c in tree.items() if p.startswith(f"{path}/")}


def _at(tree: _Tree, path: str) -> _Tree:
    return _below(tree, path) | ({path: tree[path]} if path in tree else {})


def _read(view: cas.View, path: str) -> bytes | None:
    try:
        with view.open(path) as file:
            return bytes(file.read())
    except cas.PurgedError:
        return None


@pytest.mark.parametrize("seed", range(8))
def test_purges_take_what_they_say_and_nothing_else(tmp_path: Path, seed: int) -> None:
    with cas.create(tmp_path / "store") as repository:
        machine = _Machine(repository, Random(seed))
        for _ in range(_STEPS):
            machine.step()
        machine.compare()
        machine.collect()
        machine.compare()
