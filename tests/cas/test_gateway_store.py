"""A repository in a bucket whose newest data lie on the gateway's disk."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

import cas
from cas.clock import SystemClock
from cas.errors import AlreadyExistsError, LockedError, NotFoundError, StoreError
from cas.ids import Identifier
from cas.maintenance.takeover import end_journal, take_over_store
from cas.repository import Repository
from cas.stores import staged
from cas.stores.gateway_store import GatewayStore
from cas.stores.memory import MemoryStore
from cas.stores.ownership import WRITER
from tests.support.seaweed import BUCKET
from tests.support.volumes import put, read
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cas.stores.base import ByteRange, Payload, Token
    from tests.support.seaweed import Bucket

CONTENT = bytes(range(256)) * 4000
CLOCK = SystemClock()
EVERYTHING_GOES = cas.VersionPolicy(versions=1, states=cas.Retention())


class SwitchedStore(MemoryStore):
    """A bucket that can be away, and calls `watch` before each change."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = threading.Event()
        self.watch: Callable[[], object] = lambda: None

    def _look(self) -> None:
        if self.is_away.is_set():
            raise StoreError("the bucket is away", transient=True)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        self._look()
        return super().get(name, byte_range)

    def put_file(self, name: str, path: Path) -> None:
        self._look()
        super().put_file(name, path)
        self.watch()

    def read(self, name: str) -> tuple[bytes, Token]:
        self._look()
        return super().read(name)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        self._look()
        token = super().replace(name, payload, expected)
        self.watch()
        return token

    def delete(self, name: str) -> None:
        self._look()
        super().delete(name)
        self.watch()


@pytest.fixture
def remote(tmp_path: Path) -> SwitchedStore:
    """A bucket with a repository in it, which has a volume `v`."""
    with cas.create(tmp_path / "template") as repository:
        repository.create_volume("v")
    made = SwitchedStore()
    for path in sorted((tmp_path / "template").rglob("*")):
        name = path.relative_to(tmp_path / "template").as_posix()
        if path.is_file() and name.startswith(("packs/", "refs/", "config")):
            made.objects[name] = path.read_bytes()
    return made


def opened(remote: MemoryStore, root: Path, limit: int = 1 << 30) -> Repository:
    return Repository(GatewayStore(remote, root, limit), CLOCK)


def copied(bucket: MemoryStore) -> MemoryStore:
    """Return a bucket that holds what this one does now."""
    copy = MemoryStore()
    copy.objects = dict(bucket.objects)
    return copy


def test_another_machine_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    with cas.create(bucket.url(durability="local", local=str(tmp_path / "one"))) as repository:
        put(repository.create_volume("v"), "file", CONTENT)
    with cas.open(bucket.url(durability="local", local=str(tmp_path / "one"))) as repository:
        assert repository.waiting is not None
        assert repository.waiting[:3] == (0, 0, 0)
        assert read(repository.volume("v"), "file") == CONTENT
    with pytest.raises(LockedError, match="casdav store takeover"):
        cas.open(bucket.url(durability="local", local=str(tmp_path / "two")))


def test_a_bucket_with_a_repository_or_something_else_is_left_alone(bucket: Bucket) -> None:
    client = bucket.server.client()
    with pytest.raises(NotFoundError, match="there is no repository"):
        cas.open(bucket.url(durability="local"))
    client.put_object(Bucket=BUCKET, Key=f"{bucket.prefix}/holiday.jpg", Body=b"1")
    with pytest.raises(AlreadyExistsError, match=r"it holds 'holiday.jpg': take another prefix"):
        cas.create(bucket.url(durability="local"))
    client.delete_object(Bucket=BUCKET, Key=f"{bucket.prefix}/holiday.jpg")
    cas.create(bucket.url(durability="local")).close()
    with pytest.raises(AlreadyExistsError, match="there is a repository"):
        cas.create(bucket.url(durability="local"))
    client.close()


def test_what_was_acknowledged_while_the_bucket_was_away_is_there_later(
    remote: SwitchedStore, tmp_path: Path
) -> None:
    root = tmp_path / "gateway"
    opened(remote, root).close()
    remote.is_away.set()
    with opened(remote, root) as repository:  # starts without the bucket, too
        put(repository.volume("v"), "file", CONTENT)
        assert read(repository.volume("v"), "file") == CONTENT
        assert repository.waiting is not None
        assert repository.waiting.size > 0
    remote.is_away.clear()
    before = len(remote.objects)
    with opened(remote, root) as repository:
        wait_until(lambda: repository.waiting == (0, 0, 0, ""), "the upload")
        assert read(repository.volume("v"), "file") == CONTENT
    assert len(remote.objects) > before
    shutil.rmtree(root / "local")  # all of it is in the bucket
    with opened(remote, root) as repository:
        assert read(repository.volume("v"), "file") == CONTENT


def test_a_write_waits_and_is_then_refused_when_too_much_waits(
    remote: SwitchedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged, "_ADMIT_SECONDS", 0.0)
    with opened(remote, tmp_path / "gateway", limit=1000) as repository:
        remote.is_away.set()
        volume = repository.volume("v")
        put(volume, "first", CONTENT)
        repository.engine.chunks.open_packs.seal_current()
        monkeypatch.setattr(staged, "_FRESH_SECONDS", 0.0)
        with pytest.raises(StoreError, match="too much waits to be uploaded") as caught:
            put(volume, "second", CONTENT[::-1])
        assert caught.value.transient
        with volume.edit() as edit:  # what takes no room goes on
            edit.remove("first")
        remote.is_away.clear()
        wait_until(lambda: repository.waiting and not repository.waiting.packs, "the upload")
        put(volume, "second", CONTENT[::-1])


def test_the_bucket_holds_a_whole_repository_at_every_moment(
    remote: SwitchedStore, tmp_path: Path
) -> None:
    states: list[MemoryStore] = []
    with opened(remote, tmp_path / "gateway") as repository:
        remote.watch = lambda: states.append(copied(remote))
        volume = repository.volume("v")
        for number in range(4):
            put(volume, f"file {number}", bytes([number]) * 300_000)
            if number == 2:
                with volume.edit() as edit:
                    edit.remove("file 0")
                cas.collect_garbage(repository, EVERYTHING_GOES, grace_seconds=0)
            repository.checkpoint()
            wait_until(lambda: repository.waiting == (0, 0, 0, ""), "the upload")
    assert len(states) > 10
    numbers = []
    for state in states:
        state.objects.pop(WRITER, None)
        end_journal(state, Identifier())
        with Repository(state, CLOCK) as copy:
            summary = cas.check_repository(copy)
            assert summary.damaged == 0
            numbers.append(len(list(copy.volume("v").view().walk())))
    assert numbers[-1] == 3


def test_a_gateway_that_was_taken_over_stops(remote: SwitchedStore, tmp_path: Path) -> None:
    with opened(remote, tmp_path / "one") as first:
        put(first.volume("v"), "early", CONTENT)
        first.checkpoint()
        wait_until(lambda: first.waiting == (0, 0, 0, ""), "the upload")
        root = tmp_path / "two"
        taken = take_over_store(GatewayStore(remote, root, 1 << 30))
        assert taken.before is not None
        assert taken.volumes == 1
        put(first.volume("v"), "late", CONTENT[::-1])
        first.checkpoint()
        wait_until(lambda: first.waiting and first.waiting.error, "the refusal")
        assert first.waiting is not None
        assert "taken over" in first.waiting.error
        with opened(remote, root) as second:
            assert read(second.volume("v"), "early") == CONTENT
            with second.volume("v").view() as view:
                assert view.get("late") is None
            put(second.volume("v"), "new", CONTENT)
    with pytest.raises(LockedError):
        opened(remote, tmp_path / "one")
