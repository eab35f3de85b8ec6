"""A bucket that several gateways write to, with a directory of this machine for what is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cas.stores.base import BlobStore, ByteRange, Payload, Token
from cas.stores.names import check_name, check_range
from cas.stores.pack_cache import PackCache


class SharedStore:
    """A BlobStore: all is written to the bucket at once, packs are kept here when they are read.

    Shared by threads and processes; any number of machines may use the same bucket.
    """

    def __init__(self, remote: BlobStore, root: Path, cache: int) -> None:
        """`root` is this machine's directory, `cache` bounds the bytes of packs kept there."""
        self.remote = remote
        self.root = root
        self.cache = PackCache(root / "cache", cache, remote.get)

    @property
    def location(self) -> str:
        """Return the bucket's URL."""
        return self.remote.location

    @property
    def machine_directory(self) -> Path:
        """Return the directory beside the cache."""
        return self.root / "local"

    @property
    def is_staging(self) -> bool:
        """Return False: nothing waits."""
        return False

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object in the bucket."""
        self.remote.put(name, payload)

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file in the bucket, and take the file away."""
        self.remote.put_file(name, path)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it."""
        if byte_range is None or not name.startswith("packs/"):
            return self.remote.get(name, byte_range)
        check_name(name)
        check_range(byte_range)
        return self.cache.get(name, byte_range)

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        return self.remote.size(name)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self.remote.delete(name)
        if name.startswith("packs/"):
            self.cache.remove(name)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Return an iterator over (name, size in bytes) of what the bucket has."""
        return self.remote.list(prefix)

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Return an iterator over what `list` gives, and when each was written."""
        return self.remote.list_dated(prefix)

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state."""
        return self.remote.read(name)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state."""
        return self.remote.read_changed(name, known)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent)."""
        return self.remote.replace(name, payload, expected)

    def local_path(self, name: str) -> None:
        """Return nothing: no file of this machine holds the object."""
        check_name(name, mutable=False)

    def find_stranger(self) -> str | None:
        """Return the name of something in the bucket that is no store's."""
        return self.remote.find_stranger()

    def doubt(self, name: str) -> bool:
        """Forget what is kept of a pack; True, as it may be whole in the bucket."""
        self.cache.remove(name)
        return True

    def admit(self) -> None:
        """Do nothing: uploads wait for the bucket."""

    def clean_up(self) -> int:
        """Return 0: what a crashed writer left is no object yet."""
        return self.remote.clean_up()

    def begin(self) -> None:
        """Do nothing: several gateways may work at once."""

    def close(self) -> None:
        """Close the cache and the bucket's connections."""
        self.cache.close()
        self.remote.close()
