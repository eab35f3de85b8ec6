"""The blob store in memory: the reference of the contract, for tests and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from cas.disk import StoreErrors
from cas.errors import AlreadyExistsError, ConflictError, NotFoundError
from cas.stores.base import ByteRange, Payload, Token, buffers_of, token_of
from cas.stores.names import check_name, check_prefix, check_range


class MemoryStore:
    """A BlobStore in a dict, `objects`; gone with it. Thread-safe, for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.objects: dict[str, bytes] = {}

    @property
    def location(self) -> str:
        """Return `memory:`."""
        return "memory:"

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object."""
        check_name(name, mutable=False)
        content = b"".join(buffers_of(payload))
        with self._lock:
            if name in self.objects:
                raise AlreadyExistsError(f"{name} is stored already")
            self.objects[name] = content

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file as an immutable object, and take the file away."""
        check_name(name, mutable=False)
        with StoreErrors():
            content = path.read_bytes()
            with self._lock:
                known = self.objects.get(name) == content  # a repeated call
            if not known:
                self.put(name, content)
            path.unlink()

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it."""
        check_name(name)
        content = self._content(name)
        if byte_range is None:
            return content
        check_range(byte_range)
        return content[byte_range.start : byte_range.stop]

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        check_name(name)
        return len(self._content(name))

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        check_name(name)
        with self._lock:
            self.objects.pop(name, None)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Return an iterator over (name, size in bytes) of all objects below the prefix."""
        check_prefix(prefix)
        with self._lock:
            found = [
                (name, len(content))
                for name, content in self.objects.items()
                if name == prefix or name.startswith(f"{prefix}/")
            ]
        return iter(found)

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state."""
        check_name(name, mutable=True)
        content = self._content(name)
        return content, token_of(content)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state."""
        content, token = self.read(name)
        return None if token == known else (content, token)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent)."""
        check_name(name, mutable=True)
        content = b"".join(buffers_of(payload))
        with self._lock:
            current = self.objects.get(name)
            if expected != (None if current is None else token_of(current)):
                raise ConflictError(f"{name} has changed meanwhile")
            self.objects[name] = content
        return token_of(content)

    def local_path(self, name: str) -> None:
        """Return nothing: there are no files."""
        check_name(name, mutable=False)

    @property
    def machine_directory(self) -> None:
        """Return nothing: all ends with the process."""

    @property
    def is_staging(self) -> bool:
        """Return False: what is stored is stored."""
        return False

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Return what `list` does, with 0 for the time."""
        return ((name, size, 0.0) for name, size in self.list(prefix))

    def find_stranger(self) -> None:
        """Return nothing: there is nothing else."""

    def doubt(self, name: str) -> bool:
        """Return False: what is read again is the same."""
        return False

    def admit(self) -> None:
        """Do nothing."""

    def begin(self) -> None:
        """Do nothing: nobody has to be kept away."""

    def close(self) -> None:
        """Do nothing."""

    def clean_up(self) -> int:
        """Return 0: a crash leaves nothing."""
        return 0

    def _content(self, name: str) -> bytes:
        content = self.objects.get(name)
        if content is None:
            raise NotFoundError(f"{name} is not in the store")
        return content
