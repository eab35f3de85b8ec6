"""A simulation of gateways and collections over one bucket that runs the engine's own code.

Writers put the same few contents again and again, remove them, copy them between volumes and out
of the past, and hold on to uploads and views for long; collections keep nothing but the present and
overtake each other; machines die at any call and come back. What must hold: all that was
acknowledged is there, and whatever a ref names is whole.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

import cas
from cas.errors import MissingObjectError
from cas.maintenance import claims
from cas.opening import create_in
from cas.repository import Repository
from cas.retention import Retention
from cas.shared_commit import SharedCommitter
from cas.stores.memory import MemoryStore
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.corpus import seeded_bytes
from tests.support.gateways import MachineStore, content
from tests.support.simulation import Baton, DeadError, SimulatedStore, seeded

PATHS = ["a", "b"]
VOLUMES = ["v", "w"]
CONTENTS = [seeded_bytes(number, 3000) for number in range(6)]
PRESENT_ONLY = cas.VersionPolicy(versions=1, states=Retention())


class Machine:
    """One gateway: it dies and comes back."""

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._directory = run.directory / name
        self.is_dead = False
        self.open()

    def open(self) -> None:
        run = self._run
        store = SimulatedStore(
            run.bucket,
            self._directory,
            run.baton,
            0.0,
            is_late=True,
            has_old_lists=run.has_old_lists,
        )
        self.store = store
        self.repository = Repository(store, run.clock)
        store.faults = run.faults
        self.repository.upkeep.stop()  # it has no baton
        committer = self.repository.engine.committer
        assert isinstance(committer, SharedCommitter)
        committer.pause = lambda _: run.baton.pass_on()
        self.held: list[tuple[str, cas.FileWriter]] = []
        self.views: list[cas.View] = []

    def close(self) -> None:
        """End as a machine does that died: the store hears no more of it."""
        for view in self.views:
            view.close()
        self.store.dies_after = 0
        with suppress(DeadError):
            self.repository.close()


class Run:
    """One run, and what was acknowledged in it: numbers of changes, by volume and path."""

    def __init__(
        self, directory: Path, seed: int, faults: float, *, has_old_lists: bool = False
    ) -> None:
        self.has_old_lists = has_old_lists
        self.baton = Baton(seed)
        self.bucket = MemoryStore()
        self.clock = FakeClock()
        self.directory = directory
        self.faults = faults
        self.acknowledged: dict[tuple[str, str], tuple[int, bytes | None]] = {}
        self.collected = 0
        maker = MachineStore(self.bucket, directory / "maker")
        with create_in(maker, self.clock, is_shared=True) as repository:
            for name in VOLUMES:
                repository.create_volume(name)

    def run(self, writers: int, collectors: int, steps: int, *, deaths: float) -> None:
        self.collectors = collectors
        names = [f"writer-{n}" for n in range(writers)] + [f"gc-{n}" for n in range(collectors)]
        machines = {name: Machine(self, name) for name in names}
        acts = {name: self._write if "writer" in name else self._collect for name in names}
        self.baton.run(
            {
                name: lambda name=name: self._live(  # type: ignore[misc]
                    machines[name], acts[name], steps if "writer" in name else steps // 4, deaths
                )
                for name in names
            }
        )
        for machine in machines.values():
            machine.store.faults = 0.0
            machine.store.dies_after = None
            self.agree(machine.repository)
        fresh = MachineStore(self.bucket, self.directory / "fresh")
        with Repository(fresh, self.clock) as repository:
            self.agree(repository)
            cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
            self.agree(repository)
        for machine in machines.values():
            self.agree(machine.repository)
            machine.close()

    def _live(self, machine: Machine, act: object, steps: int, deaths: float) -> None:
        assert callable(act)
        for number in range(steps):
            if self.baton.random.random() < deaths:
                machine.store.dies_after = self.baton.random.randrange(40)
            self.clock.advance(1)
            try:
                act(machine, number)
            except DeadError:
                machine.close()
                machine.open()
            except (cas.ExpiredError, cas.LockedError, cas.ConflictError, cas.AlreadyExistsError):
                continue
            except cas.NotFoundError:
                continue  # what is to be copied is not there
            except MissingObjectError:  # as a list that is behind says
                if not self.has_old_lists:
                    raise
            except cas.StoreError as error:
                assert error.transient, error  # noqa: PT017 - others are not caught

    def _collect(self, machine: Machine, number: int) -> None:
        try:
            report = cas.collect_garbage(machine.repository, PRESENT_ONLY, grace_seconds=0)
        except MissingObjectError:
            assert self.collectors > 1  # another has dropped history that was looked at here
            return
        assert not report.damaged_packs
        self.collected += report.removed_packs

    def _write(self, machine: Machine, number: int) -> None:
        chance = self.baton.random
        name, path = chance.choice(VOLUMES), chance.choice(PATHS)
        volume = machine.repository.volume(name)
        match chance.randrange(12):
            case 0 | 1:
                upload = volume.upload()
                upload.write(chance.choice(CONTENTS))
                self._commit(volume, path, upload)
            case 2 | 10:
                upload = volume.upload()
                upload.write(chance.choice(CONTENTS))
                machine.held.append((name, upload))
            case 3 | 11 if machine.held:
                name, upload = machine.held.pop(chance.randrange(len(machine.held)))
                self._commit(machine.repository.volume(name), path, upload)
            case 4 | 8 | 9:
                edit = volume.edit(author="test")
                edit.remove(path)
                self._done(edit, name, path, None)
            case 5:
                machine.views.append(volume.view())
            case 6:
                last = self.acknowledged.get((name, path), (1, None))[0]
                machine.views.append(volume.at_sequence(chance.randint(1, last)))
            case 7 if machine.views:
                view = machine.views[chance.randrange(len(machine.views))]
                entry = view.entry(chance.choice(PATHS))
                data = named(volume, entry.content)
                edit = volume.edit(author="test")
                edit.attach(path, entry, epoch=view.epoch, nodes=view.nodes)
                self._done(edit, name, path, data)
            case _:
                with volume.view() as view:
                    for _, entry in view.walk():
                        with view.open(entry) as file:
                            assert file.read() in CONTENTS

    def _commit(self, volume: cas.Volume, path: str, upload: cas.FileWriter) -> None:
        data = upload.finish()
        edit = volume.edit(author="test")
        edit.put(path, data)
        self._done(edit, volume.name, path, named(volume, data.id))

    def _done(self, edit: cas.Edit, name: str, path: str, data: bytes | None) -> None:
        edit.commit()
        if edit.sequence > self.acknowledged.get((name, path), (0, None))[0]:
            self.acknowledged[name, path] = edit.sequence, data

    def agree(self, repository: Repository) -> None:
        """What was acknowledged, or something later, is there, and all is whole."""
        for name in VOLUMES:
            found = content(repository, name)
            assert set(found.values()) <= set(CONTENTS)
            volume = repository.volume(name)
            with volume.view() as view:
                newest = {
                    change.path.decode(): number
                    for number, change in enumerate(volume.changes(0, view.sequence), 1)
                }
            for (changed, path), (sequence, data) in self.acknowledged.items():
                if changed == name:
                    assert newest[path] >= sequence
                    assert newest[path] > sequence or found.get(path) == data
        assert_sound(repository)


def named(volume: cas.Volume, content_id: bytes) -> bytes:
    """Return the content of an id."""
    identify = volume._engine.chunks.identifier.chunk  # noqa: SLF001
    return next(each for each in CONTENTS if identify(each) == content_id)


@pytest.fixture(autouse=True)
def _overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let collections overtake each other at any time."""
    monkeypatch.setattr(claims, "OVERTAKEN_SECONDS", 0)


@pytest.mark.parametrize("seed", range(6))
def test_writers_and_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    seeded(monkeypatch, seed)
    run = Run(tmp_path, seed, faults=0.02 * (seed % 3))
    run.run(2, 1 + seed % 2, steps=20, deaths=0.05 * (seed % 2))


def test_a_check_finds_again_what_lay_in_a_pack_that_goes_while_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_long(tmp_path, monkeypatch, 5013)


@pytest.mark.soak
def test_writers_and_collections_whatever_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak_seed: int
) -> None:
    for part in range(20):
        run_long(tmp_path / str(part), monkeypatch, 20 * soak_seed + part)


def run_long(directory: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Run more machines for longer; how many, and what befalls them, depends on the seed."""
    part = seed % 20
    seeded(monkeypatch, seed)
    run = Run(directory, seed, faults=0.005 * part, has_old_lists=part % 4 == 3)
    run.run(2 + part % 2, 1 + part % 3, steps=40, deaths=0.02 * (part % 5))
