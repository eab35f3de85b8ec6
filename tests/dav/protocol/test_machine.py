"""The drive over HTTP against a dict of paths: every answer and the whole tree after each step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dav.paths import href
from tests.support.drive import Client, Drive

Path = tuple[str, ...]
Place = tuple[int, int, str]
Tree = dict[Path, bytes | None]
"""Paths to contents; None is a folder. The root, `()`, is always one."""

names = st.sampled_from(["a", "b", "ü ?", "%41"])
places = st.tuples(st.integers(0, 999), st.integers(0, 2), names)
"""Where in the present tree to act; see `DriveMachine.place`."""
contents = st.sampled_from([b"", b"x", b"longer content " * 7000])


def below(path: Path, folder: Path) -> bool:
    return len(path) > len(folder) and path[: len(folder)] == folder


class DriveMachine(RuleBasedStateMachine):
    """Each rule sends one request and says by the model what must come back."""

    drive: Drive
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.root = self.drive.folder("machine")
        self.tree: Tree = {(): None}

    def place(self, chosen: Place) -> Path:
        """Return a path that is there, a name in what is there or one at the root.

        Paths at random would hardly ever meet.
        """
        number, kind, name = chosen
        there = sorted(self.tree)[number % len(self.tree)]
        if kind == 0 and there:
            return there
        return (*there, name) if len(there) < 3 else (name,)

    def url(self, path: Path) -> str:
        return self.root + href(path, is_collection=False).removeprefix("/")

    def has_folder_for(self, path: Path) -> bool:
        return path[:-1] in self.tree and self.tree[path[:-1]] is None

    def drop(self, path: Path) -> None:
        self.tree = {
            one: what for one, what in self.tree.items() if one != path and not below(one, path)
        }

    @rule(at=places, content=contents)
    def put(self, at: Place, content: bytes) -> None:
        path = self.place(at)
        status = self.client("PUT", self.url(path), content).status
        if path in self.tree and self.tree[path] is None:
            assert status == 405
        elif not self.has_folder_for(path):
            assert status == 409
        else:
            assert status == (204 if path in self.tree else 201)
            self.tree[path] = content

    @rule(at=places)
    def mkcol(self, at: Place) -> None:
        path = self.place(at)
        status = self.client("MKCOL", self.url(path)).status
        if path in self.tree:
            assert status == 405
        elif not self.has_folder_for(path):
            assert status == 409
        else:
            assert status == 201
            self.tree[path] = None

    @rule(at=places)
    def delete(self, at: Place) -> None:
        path = self.place(at)
        status = self.client("DELETE", self.url(path)).status
        assert status == (204 if path in self.tree else 404)
        self.drop(path)

    @rule(at=places)
    def get(self, at: Place) -> None:
        path = self.place(at)
        reply = self.client("GET", self.url(path))
        assert reply.status == (200 if path in self.tree else 404)
        if self.tree.get(path) is not None:
            assert reply.body == self.tree[path]

    @rule(
        source_at=places,
        destination_at=places,
        is_move=st.booleans(),
        overwrite=st.booleans(),
        is_bare=st.booleans(),
    )
    def copy_or_move(
        self,
        *,
        source_at: Place,
        destination_at: Place,
        is_move: bool,
        overwrite: bool,
        is_bare: bool,
    ) -> None:
        source, destination = self.place(source_at), self.place(destination_at)
        is_bare = is_bare and not is_move and self.tree.get(source, b"") is None
        headers = {"Destination": self.url(destination), "Overwrite": "T" if overwrite else "F"}
        if is_bare:
            headers["Depth"] = "0"
        method = "MOVE" if is_move else "COPY"
        status = self.client(method, self.url(source), None, headers).status
        assert status == self.expected(source, destination, overwrite=overwrite, is_bare=is_bare)
        if status not in {201, 204}:
            return
        moved = {
            destination + one[len(source) :]: what
            for one, what in self.tree.items()
            if one == source or (below(one, source) and not is_bare)
        }
        self.drop(destination)
        if is_move:
            self.drop(source)
        self.tree |= moved

    def expected(self, source: Path, destination: Path, *, overwrite: bool, is_bare: bool) -> int:
        if source not in self.tree:
            return 404
        if not self.has_folder_for(destination):
            return 409
        if (
            source == destination
            or below(source, destination)
            or (below(destination, source) and not is_bare)
        ):
            return 403
        if destination in self.tree:
            return 204 if overwrite else 412
        return 201

    @invariant()
    def the_listing_is_the_tree(self) -> None:
        found = set(self.client("PROPFIND", self.root, None, {"Depth": "infinity"}).responses)
        expected = {
            self.url(path) + ("/" if what is None and path else "")
            for path, what in self.tree.items()
        }
        assert found == expected


@pytest.fixture
def machine(drive: Drive) -> Iterator[type[DriveMachine]]:
    client = drive.client()
    yield type("Machine", (DriveMachine,), {"drive": drive, "client": client})
    client.connection.close()


def test_the_drive_does_what_a_dict_does(machine: type[DriveMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30))


@pytest.mark.soak
def test_the_drive_does_what_a_dict_does_whatever_the_seed(
    machine: type[DriveMachine], soak_seed: int
) -> None:
    run_state_machine_as_test(
        seed(soak_seed)(machine), settings=settings(max_examples=200, stateful_step_count=60)
    )
