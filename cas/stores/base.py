"""What a blob store is: named bytes, most written once, a few moved by compare-and-set.

The memory store, the local disk and the bucket are all used through this protocol, and the same
contract suite (tests/contracts/blob_store.py) runs against each. `names` says what a name is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NewType, Protocol

from blake3 import blake3

Buffer = bytes | bytearray | memoryview
"""Bytes in one piece; a memoryview is of single bytes and contiguous."""

Payload = Buffer | Sequence[Buffer]
"""Bytes to store: one buffer, or several that follow each other. Not kept after the call."""

Token = NewType("Token", str)
"""Names one state of a mutable object; opaque, equal for equal states."""


class ByteRange(NamedTuple):
    """The bytes from `start` up to `stop`, which is not in it; what no object has is left out."""

    start: int
    stop: int


class BlobStore(Protocol):
    """Named bytes. All methods may be called from several threads and processes at once.

    Every method raises InvalidError for a name or range that is not acceptable and StoreError
    (StoreFullError, ReadOnlyError) where the disk or bucket fails. After an error of a write,
    the name holds either all of the new bytes or what it held before, never a part.
    """

    @property
    def location(self) -> str:
        """Where the store is, as `opening.open_store` takes it; for messages."""

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object; it is durable when this returns.

        Raises:
            AlreadyExistsError: the name is taken; its bytes were left alone.
        """

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file as an immutable object, and take the file away.

        Nobody may write to the file any more. Where the name holds the same bytes already, the
        file is taken away: so a call that a crash cut off is simply repeated.

        Raises:
            AlreadyExistsError: the name holds other bytes; both were left alone.
            NotFoundError: there is no such file.
        """

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it.

        Raises:
            NotFoundError: there is no such object.
        """

    def size(self, name: str) -> int:
        """Return an object's size in bytes.

        Raises:
            NotFoundError: there is no such object.
        """

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none.

        That of a mutable one is durable when this returns.
        """

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (name, size in bytes) of all objects below an area or below `area/hex`.

        The order is not defined. What is stored or removed meanwhile may be missing or not.
        """

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state.

        Raises:
            NotFoundError: there is no such object.
        """

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state.

        Raises:
            NotFoundError: there is no such object.
        """

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent).

        Returns the token of the new state, which is durable.

        Raises:
            ConflictError: the state is another; nothing was changed.
        """

    def local_path(self, name: str) -> Path | None:
        """Return the file that holds an immutable object, or None where the store is not local.

        The file may be read at any time until the object is deleted, and must not be changed.
        """

    @property
    def machine_directory(self) -> Path | None:
        """The directory for what this machine keeps of the repository; None: a temporary one."""

    @property
    def is_staging(self) -> bool:
        """Whether objects wait on this machine, and refs for what is in open packs too."""

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield what `list` does, and when each was written, in seconds since 1970.

        0 where the store does not know. For a courtesy, never for safety: clocks differ.
        """

    def find_stranger(self) -> str | None:
        """Return the name of something in the store's place that is no repository's."""

    def doubt(self, name: str) -> bool:
        """Forget copies of an object that was found damaged; True: another read may be better."""

    def admit(self) -> None:
        """Return when more may be stored; for callers that have not promised anything yet.

        Raises:
            StoreError: too much waits to be stored elsewhere; transient.
        """

    def begin(self) -> None:
        """Get ready for work on the repository that is there; the counterpart of `close`.

        Raises:
            LockedError: another gateway works on it.
        """

    def close(self) -> None:
        """Let go of threads and connections; nobody may use the store any more."""

    def clean_up(self) -> int:
        """Remove what crashed writers left behind; return how many files it was.

        Safe beside live writers: what they are writing is kept.
        """


def buffers_of(payload: Payload) -> Sequence[Buffer]:
    """Return the buffers of a payload, in order."""
    return [payload] if isinstance(payload, Buffer) else payload


def token_of(content: bytes) -> Token:
    """Return the token of a mutable object with these bytes, where the store has no own."""
    return Token(blake3(content).hexdigest())
