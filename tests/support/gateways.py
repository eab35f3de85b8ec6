"""Several gateways over one blob store, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cas
from cas.clock import Clock
from cas.keys import Unlock
from cas.opening import create_in
from cas.repository import Repository
from cas.stores.base import BlobStore, ByteRange, Payload, Token
from cas.stores.memory import MemoryStore
from tests.support.clock import FakeClock


class MachineStore:
    """A bucket as one machine sees it: with a directory for its own part, and calls counted."""

    def __init__(self, bucket: BlobStore, directory: Path) -> None:
        self.bucket = bucket
        self._directory = directory
        self.calls: list[tuple[str, str]] = []

    @property
    def machine_directory(self) -> Path:
        return self._directory

    @property
    def location(self) -> str:
        return self.bucket.location

    def called(self, *names: str) -> list[str]:
        """Return what was called by these names, in order, and forget all calls."""
        found = [f"{call} {name.partition('/')[0]}" for call, name in self.calls if call in names]
        self.calls.clear()
        return found

    def put(self, name: str, payload: Payload) -> None:
        self.calls.append(("put", name))
        self.bucket.put(name, payload)

    def put_file(self, name: str, path: Path) -> None:
        self.calls.append(("put", name))
        self.bucket.put_file(name, path)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        self.calls.append(("get", name))
        return self.bucket.get(name, byte_range)

    def size(self, name: str) -> int:
        self.calls.append(("size", name))
        return self.bucket.size(name)

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        self.bucket.delete(name)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        self.calls.append(("list", prefix))
        return self.bucket.list(prefix)

    def read(self, name: str) -> tuple[bytes, Token]:
        self.calls.append(("read", name))
        return self.bucket.read(name)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        self.calls.append(("read", name))
        return self.bucket.read_changed(name, known)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        self.calls.append(("put", name))
        return self.bucket.replace(name, payload, expected)

    def local_path(self, name: str) -> None:
        return None

    def clean_up(self) -> int:
        return 0

    @property
    def is_staging(self) -> bool:
        return False

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        return self.bucket.list_dated(prefix)

    def find_stranger(self) -> str | None:
        return self.bucket.find_stranger()

    def doubt(self, name: str) -> bool:
        return False

    def admit(self) -> None:
        self.bucket.admit()

    def begin(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """The bucket stays open for the others."""


class CutOff(MachineStore):
    """The store of a gateway that dies before it deletes anything."""

    def delete(self, name: str) -> None:
        raise cas.StoreError(f"the line is cut before {name} is deleted", transient=True)


Wrap = Callable[[MachineStore], BlobStore]


class Gateways:
    """Gateways over one bucket, each with a directory and a catalog of its own."""

    def __init__(
        self, directory: Path, bucket: BlobStore, clock: Clock, unlock: Unlock | None = None
    ) -> None:
        self.bucket = bucket
        self._unlock = unlock
        self.clock = clock
        self._directory = directory
        self._open = ExitStack()
        self.stores: dict[str, MachineStore] = {}

    def open(
        self,
        name: str,
        *,
        unlock: Unlock | None = None,
        locks: str = "",
        wrap: Wrap = lambda store: store,
    ) -> cas.Repository:
        """Open the repository as the gateway of this name."""
        store = self.stores[name] = MachineStore(self.bucket, self._directory / name)
        return self._open.enter_context(
            Repository(wrap(store), self.clock, unlock=unlock or self._unlock, locks=locks)
        )

    def close(self) -> None:
        self._open.close()


@contextmanager
def gateways(
    directory: Path, bucket: BlobStore | None = None, key: cas.KeyFile | None = None
) -> Iterator[Gateways]:
    """Make a repository for several gateways in a bucket, with a volume `v`; encrypted by a key."""
    unlock = None if key is None else lambda: key
    made = Gateways(directory, bucket or MemoryStore(), FakeClock(), unlock)
    store = MachineStore(made.bucket, directory / "maker")
    with create_in(store, made.clock, key, is_shared=True) as repository:
        repository.create_volume("v")
    try:
        yield made
    finally:
        made.close()


def put(repository: cas.Repository, path: str, data: bytes, volume: str = "v") -> None:
    """Put a file as a client does."""
    home = repository.volume(volume)
    upload = home.upload()
    upload.write(data)
    with home.edit(author="test") as edit:
        edit.put(path, upload)


def content(repository: cas.Repository, volume: str = "v") -> dict[str, bytes]:
    """Return all files of a volume with their bytes."""
    with repository.volume(volume).view() as view:
        found = {}
        for path, entry in view.walk():
            if entry.is_file:
                with view.open(path) as file:
                    found[path] = file.read()
        return found
