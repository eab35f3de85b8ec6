"""A simulation of several gateways over one bucket that runs the engine's own code.

What must hold: every write that was acknowledged is seen by whoever asks afterwards, through
every gateway; none is undone but by a later one; both writes of one path stay in history; check
is clean.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import cas
from cas.opening import create_in
from cas.repository import Repository
from cas.shared_commit import SharedCommitter
from cas.stores.memory import MemoryStore
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.gateways import MachineStore, content
from tests.support.simulation import Baton, SimulatedStore, one_thread_for_each, seeded

PATHS = ["a", "b", "c"]


class Run:
    """One run: gateways that write, and what they were told."""

    def __init__(self, directory: Path, seed: int, faults: float) -> None:
        self.baton = Baton(seed)
        self.bucket = MemoryStore()
        self.clock = FakeClock()
        self.directory = directory
        self.faults = faults
        self.acknowledged: list[bytes] = []
        self.last: dict[str, tuple[int, bytes]] = {}
        maker = MachineStore(self.bucket, directory / "maker")
        with create_in(maker, self.clock, is_shared=True) as repository:
            repository.create_volume("v")

    def run(self, names: list[str], steps: int) -> None:
        stores = {
            name: SimulatedStore(self.bucket, self.directory / name, self.baton, self.faults)
            for name in names
        }
        opened: dict[str, Repository] = {}
        for name, store in stores.items():
            with one_thread_for_each():
                repository = opened[name] = Repository(store, self.clock)
            repository.upkeep.stop()  # before its first turn: it has no baton
            committer = repository.engine.committer
            assert isinstance(committer, SharedCommitter)
            committer.pause = lambda _: self.baton.pass_on()
        self.baton.run(
            {
                name: lambda name=name: self._act(name, opened[name], steps)  # type: ignore[misc]
                for name in names
            }
        )
        for name, store in stores.items():
            store.faults = 0.0
            self._agree(opened[name])
        fresh = MachineStore(self.bucket, self.directory / "fresh")
        with Repository(fresh, self.clock) as repository:
            self._agree(repository)

    def _act(self, name: str, repository: Repository, steps: int) -> None:
        for number in range(steps):
            path = self.baton.random.choice(PATHS)
            data = f"{name} {number}".encode()
            before = self.last.get(path, (0, b""))
            try:
                volume = repository.volume("v")
                if self.baton.random.random() < 0.3:
                    self._look(volume, path, before)
                    continue
                upload = volume.upload()
                upload.write(data)
                with volume.edit(author=name) as edit:
                    edit.put(path, upload)
            except cas.StoreError as error:
                assert error.transient, error  # noqa: PT017 - others are not caught
                continue
            self.acknowledged.append(data)
            if edit.sequence > self.last.get(path, (0, b""))[0]:
                self.last[path] = edit.sequence, data

    def _look(self, volume: cas.Volume, path: str, before: tuple[int, bytes]) -> None:
        """What was acknowledged before this began is there, or something later is."""
        with volume.view() as view:
            assert view.sequence >= before[0]
            if before[0]:
                with view.open(path) as file:
                    seen = file.read()
                assert seen == before[1] or view.sequence > before[0]

    def _agree(self, repository: Repository) -> None:
        found = content(repository)
        volume = repository.volume("v")
        with volume.view() as view:
            newest = view.sequence
        written = []
        for change in volume.changes(0, newest):
            if change.new is not None and change.path:
                with volume.view() as view, view.open(change.new) as file:
                    written.append((change.path.decode(), file.read()))
        for data in self.acknowledged:
            assert [data for _, other in written if other == data] == [data]
        for path, data in written[::-1]:
            assert found.pop(path, data) == data or path not in found
        last = dict(written)
        assert content(repository) == last
        assert_sound(repository)


@pytest.mark.parametrize("seed", range(6))
def test_writers_on_three_gateways(tmp_path: Path, seed: int) -> None:
    Run(tmp_path, seed, faults=0.1).run(["one", "two", "three"], steps=6)


def test_the_same_seed_gives_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    for turn in ("first", "second"):
        seeded(monkeypatch, 3)
        run = Run(tmp_path / turn, 3, faults=0.2)
        run.run(["one", "two"], steps=5)
        orders.append(run.acknowledged)
    assert orders[0] == orders[1]


@pytest.mark.soak
def test_writers_on_three_gateways_whatever_the_seed(tmp_path: Path, soak_seed: int) -> None:
    for part in range(20):  # from a network that is seldom wrong to one that is often
        run = Run(tmp_path / str(part), 20 * soak_seed + part, faults=0.02 * part)
        run.run(["one", "two", "three"], steps=8)
