"""A bucket behind a directory of this machine, where everything lies until it is uploaded.

    staging/packs/3f/3f9a...   sealed packs that the bucket does not have yet
    queue/<number>             moves of refs and removals, in their order, yet to be done there
    cache/                     parts of packs that were read or uploaded
    sent/refs/..., config      what the bucket holds, as far as this machine has made it

What is stored here is durable when the call returns, with or without the bucket. The bucket
always holds the repository as it was at one moment: a ref is moved there only when every pack is
there that existed when it was moved here, open ones too, and a pack is removed only when the refs
are moved that did without it. `uploading` does both.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cas.disk import StoreErrors
from cas.errors import ConflictError, NotFoundError, StoreError
from cas.stores.base import BlobStore, ByteRange, Payload, Token, buffers_of, token_of
from cas.stores.local import LocalStore
from cas.stores.names import CONFIG_NAME, check_name, check_prefix, check_range
from cas.stores.pack_cache import PackCache
from cas.stores.upload_queue import Change, UploadQueue

_STAGING: Final = 1 << 30
_CACHE: Final = 4 << 30
_FRESH_SECONDS: Final = 0.5
_ADMIT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.1


class Waiting(NamedTuple):
    """What the bucket does not have yet: packs, their bytes, and changes of refs.

    `size` counts open packs too. `error` says why the last try to upload failed, if it did.
    """

    packs: int
    size: int
    changes: int
    error: str


class StagedStore:
    """A BlobStore: what is new lies in a directory, the rest elsewhere. Shared by processes."""

    def __init__(
        self, remote: BlobStore, root: Path, limit: int = _STAGING, cache: int = _CACHE
    ) -> None:
        """Open the store.

        `limit` bounds the bytes that wait, when `admit` is asked; `cache` those of packs that are
        kept to be read again.
        """
        self.remote = remote
        self.root = root
        self.staged = LocalStore.create(root / "staging")
        self.sent = LocalStore.create(root / "sent")
        self.queue = UploadQueue(root / "queue")
        self.cache = PackCache(root / "cache", cache, remote.get)
        self.wake = threading.Event()
        """Set when there is something to upload."""
        self.error = ""
        self.config_seen: bytes | None = None
        """The config as this process last read it in the bucket."""
        self.limits = limit, cache
        self._asked = (-_FRESH_SECONDS, 0)
        self._open = self.machine_directory / "open"

    @property
    def location(self) -> str:
        """Return the bucket's URL."""
        return self.remote.location

    @property
    def machine_directory(self) -> Path:
        """Return the directory beside what waits."""
        return self.root / "local"

    @property
    def is_staging(self) -> bool:
        """Return True: a ref waits until what was open when it moved is sealed."""
        return True

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object; it is on this machine's disk when this returns."""
        self.staged.put(name, payload)
        self.wake.set()

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file as an immutable object, and take the file away."""
        self.staged.put_file(name, path)
        self.wake.set()

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it."""
        if name.startswith("refs/"):
            return self.read(name)[0]
        with suppress(NotFoundError):
            return self.staged.get(name, byte_range)
        if byte_range is None or not name.startswith("packs/"):
            return self.remote.get(name, byte_range)
        check_name(name)
        check_range(byte_range)
        return self.cache.get(name, byte_range)

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        if name.startswith("refs/"):
            return len(self.read(name)[0])
        with suppress(NotFoundError):
            return self.staged.size(name)
        return self.remote.size(name)

    def delete(self, name: str) -> None:
        """Remove an object, from the bucket later; nothing happens where there is none."""
        check_name(name)
        with self.queue.locked():
            self.queue.append(Change(name, None))
        self.wake.set()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Return an iterator over (name, size in bytes) of what is here or in the bucket."""
        return ((name, size) for name, size, _ in self.list_dated(prefix))

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Return an iterator over what `list` gives, and when each was written."""
        check_prefix(prefix)
        changes = self.queue.newest()
        if prefix.startswith("refs"):
            found = {name: (name, size, 0.0) for name, size in self.sent.list(prefix)}
            for name, change in changes.items():
                if name.startswith("refs/") and change.content is not None:
                    found[name] = (name, len(change.content), 0.0)
        else:  # first here: what is uploaded meanwhile is in the bucket then
            found = {each[0]: each for each in self.staged.list_dated(prefix)}
            found = {each[0]: each for each in self.remote.list_dated(prefix)} | found
        return (each for name, each in found.items() if not is_removed(changes.get(name)))

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state."""
        check_name(name, mutable=True)
        if not name.startswith("refs/"):
            return self._read_direct(name)
        change = self.queue.newest().get(name)
        if change is None:
            return self.sent.read(name)
        if change.content is None:
            raise NotFoundError(f"{name} is not in the store")
        return change.content, token_of(change.content)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state."""
        content, token = self.read(name)
        return None if token == known else (content, token)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent).

        A ref is durable here when this returns, and in the bucket soon; all else is there.
        """
        check_name(name, mutable=True)
        content = b"".join(buffers_of(payload))
        if not name.startswith("refs/"):
            return self.remote.replace(name, content, expected)
        with self.queue.locked():
            try:
                _, current = self.read(name)
            except NotFoundError:
                current = None
            if current != expected:
                raise ConflictError(f"{name} has changed meanwhile")
            self.queue.append(Change(name, content, self._packs_here()))
        self.wake.set()
        return token_of(content)

    def local_path(self, name: str) -> None:
        """Return nothing: where an object lies changes when it is uploaded."""
        check_name(name, mutable=False)

    def find_stranger(self) -> str | None:
        """Return the name of something in the bucket that is no store's."""
        return self.remote.find_stranger()

    def doubt(self, name: str) -> bool:
        """Forget what is kept of a pack; True unless it is not in the bucket yet."""
        if self._is_staged(name.rpartition("/")[2]):
            return False
        self.cache.remove(name)
        return True

    def admit(self) -> None:
        """Wait until what waits takes less than the limit, for twenty seconds at most."""
        deadline = time.monotonic() + _ADMIT_SECONDS
        while self._staged_size() >= self.limits[0]:
            self.wake.set()
            if time.monotonic() > deadline:
                why = f" ({self.error})" if self.error else ""
                message = f"too much waits to be uploaded to {self.location}{why}: try again later"
                raise StoreError(message, transient=True)
            time.sleep(_POLL_SECONDS)

    def waiting(self) -> Waiting:
        """Return what the bucket does not have yet."""
        packs = [size for _, size in self.staged.list("packs")]
        size = sum(packs) + sum(_size(path) for path in self._open.glob("*.pack"))
        return Waiting(len(packs), size, len(self.queue.changes()), self.error)

    def clean_up(self) -> int:
        """Remove what crashed writers left here; return how many files."""
        return self.staged.clean_up() + self.sent.clean_up()

    def begin(self) -> None:
        """Do nothing: `GatewayStore` does."""

    def close(self) -> None:
        """Close the bucket's connections."""
        self.cache.close()
        self.remote.close()

    def is_here(self, pack: str) -> bool:
        """Whether a pack is still open, or waits to be uploaded. It is sealed from one to other."""
        return any(self._open.glob(f"*-{pack}.pack")) or self._is_staged(pack)

    def _is_staged(self, pack: str) -> bool:
        try:
            self.staged.size(f"packs/{pack[:2]}/{pack}")
        except NotFoundError:
            return False
        return True

    def _packs_here(self) -> tuple[str, ...]:
        """Return the ids of all packs that the bucket need not have yet."""
        packs = {path.stem.rpartition("-")[2] for path in self._open.glob("*.pack")}
        return tuple(packs | {name.rpartition("/")[2] for name, _ in self.staged.list("packs")})

    def _staged_size(self) -> int:
        asked, size = self._asked
        if time.monotonic() - asked >= _FRESH_SECONDS:
            size = sum(size for _, size in self.staged.list("packs"))
            self._asked = time.monotonic(), size
        return size

    def _read_direct(self, name: str) -> tuple[bytes, Token]:
        """Read from the bucket; the config from here if that cannot be reached."""
        try:
            found = self.remote.read(name)
            if name == CONFIG_NAME:
                self.config_seen = found[0]
            return found
        except StoreError as error:
            if name != CONFIG_NAME or not error.transient:
                raise
            with suppress(NotFoundError):
                return self.sent.read(name)
            raise


def is_removed(change: Change | None) -> bool:
    """Whether a change is the removal of its object."""
    return change is not None and change.content is None


def _size(path: Path) -> int:
    with suppress(FileNotFoundError), StoreErrors():
        return os.stat(path).st_size  # noqa: PTH116 - for a gauge that is asked often
    return 0
