"""A blob store that fails when told to, for tests of what is above it.

Run the work once over a store without faults and look at `operations`; then run it once for each
of them, with a fault there:

    for index in range(len(clean.operations)):
        store = FaultyStore(MemoryStore(), {index: Fault.LOST_ANSWER})
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

from cas.errors import StoreError
from cas.stores.base import BlobStore, ByteRange, Payload, Token, buffers_of

_Result = TypeVar("_Result")


class Fault(Enum):
    """What goes wrong with an operation."""

    REFUSED = auto()
    """It fails and has no effect: a full or dead disk, a server that is away."""
    LOST_ANSWER = auto()
    """It takes effect and fails all the same: the answer was lost."""
    TORN = auto()
    """A put stores the first half only and reports success: a disk that lied about a sync."""
    CRASH = auto()
    """It fails without effect, and so does all that follows: the process was killed."""


class CrashedError(Exception):
    """The process is as good as dead: nothing it does reaches the store. Not a CasError."""


def input_output_error() -> StoreError:
    """Return the error of a disk that cannot write."""
    return StoreError("input/output error, as the test wants it")


class FaultyStore:
    """A BlobStore around another one; thread-safe.

    `faults` gives, by index, the operations that fail and how; `error` makes what REFUSED and
    LOST_ANSWER raise. Every call counts as an operation, reads too.
    """

    def __init__(
        self,
        inner: BlobStore,
        faults: Mapping[int, Fault] | None = None,
        error: Callable[[], Exception] = input_output_error,
    ) -> None:
        self.inner = inner
        self.operations: list[tuple[str, str]] = []
        self._faults = dict(faults or {})
        self._error = error
        self._crashed = False
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self.inner.location

    def put(self, name: str, payload: Payload) -> None:
        def tear() -> None:
            content = b"".join(buffers_of(payload))
            self.inner.put(name, content[: len(content) // 2])

        self._operate("put", name, lambda: self.inner.put(name, payload), tear)

    def put_file(self, name: str, path: Path) -> None:
        def tear() -> None:
            content = path.read_bytes()
            self.inner.put(name, content[: len(content) // 2])
            path.unlink()

        self._operate("put_file", name, lambda: self.inner.put_file(name, path), tear)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        return self._operate("get", name, lambda: self.inner.get(name, byte_range))

    def size(self, name: str) -> int:
        return self._operate("size", name, lambda: self.inner.size(name))

    def delete(self, name: str) -> None:
        self._operate("delete", name, lambda: self.inner.delete(name))

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        return self._operate("list", prefix, lambda: self.inner.list(prefix))

    def read(self, name: str) -> tuple[bytes, Token]:
        return self._operate("read", name, lambda: self.inner.read(name))

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        return self._operate("read", name, lambda: self.inner.read_changed(name, known))

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        return self._operate("replace", name, lambda: self.inner.replace(name, payload, expected))

    def local_path(self, name: str) -> Path | None:
        """Return what the inner store does; the reader of that file meets no faults."""
        return self.inner.local_path(name)

    @property
    def machine_directory(self) -> Path | None:
        return self.inner.machine_directory

    @property
    def is_staging(self) -> bool:
        return self.inner.is_staging

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        return self._operate("list", prefix, lambda: self.inner.list_dated(prefix))

    def find_stranger(self) -> str | None:
        return self.inner.find_stranger()

    def doubt(self, name: str) -> bool:
        return self.inner.doubt(name)

    def admit(self) -> None:
        self.inner.admit()

    def begin(self) -> None:
        self.inner.begin()

    def close(self) -> None:
        self.inner.close()

    def clean_up(self) -> int:
        return self._operate("clean_up", "", self.inner.clean_up)

    def _operate(
        self,
        operation: str,
        name: str,
        act: Callable[[], _Result],
        tear: Callable[[], _Result] | None = None,
    ) -> _Result:
        fault = self._next_fault(operation, name)
        if fault is Fault.REFUSED:
            raise self._error()
        if fault is Fault.CRASH:
            raise CrashedError(f"{operation} {name}")
        if fault is Fault.TORN:
            if tear is None:
                raise ValueError(f"{operation} cannot be torn: only put and put_file can")
            return tear()
        result = act()
        if fault is Fault.LOST_ANSWER:
            raise self._error()
        return result

    def _next_fault(self, operation: str, name: str) -> Fault | None:
        with self._lock:
            fault = self._faults.get(len(self.operations))
            self.operations.append((operation, name))
            self._crashed = self._crashed or fault is Fault.CRASH
            return Fault.CRASH if self._crashed else fault
