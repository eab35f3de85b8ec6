"""A simulation of gateways: actors that run one at a time, as a seed says.

Each actor is a thread that runs only while it holds the baton, and passes it on at every call of
the store, so the same seed gives the same run. The store is in memory, loses answers, refuses,
and lets writes come late; listings are as S3's, which are never behind.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cas import workers
from cas.errors import StoreError
from cas.stores.base import ByteRange, Payload, Token
from cas.stores.memory import MemoryStore
from tests.support.gateways import MachineStore

Act = Callable[[], None]


@contextmanager
def one_thread_for_each() -> Iterator[None]:
    """Let nobody have help from threads that know of no baton."""
    before = workers.WAITING_CALLS
    workers.WAITING_CALLS = 1
    try:
        yield
    finally:
        workers.WAITING_CALLS = before


class Baton:
    """Lets one actor at a time run; who is next is drawn."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._turn = threading.Condition()
        self._waiting: list[str] = []
        self._holder = ""
        self._names: dict[int, str] = {}
        self.errors: list[BaseException] = []

    def run(self, actors: dict[str, Act]) -> None:
        """Run all actors to their end; raise what one of them raised."""
        with one_thread_for_each():
            self._run(actors)

    def _run(self, actors: dict[str, Act]) -> None:
        threads = [
            threading.Thread(target=self._act, args=(name, act), daemon=True)
            for name, act in actors.items()
        ]
        self._waiting = sorted(actors)
        for thread in threads:
            thread.start()
        with self._turn:
            self._choose()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def pass_on(self) -> None:
        """Let another actor run, or this one go on; nothing for a thread that is no actor."""
        name = self._names.get(threading.get_ident())
        if name is None:
            return
        with self._turn:
            self._waiting.append(name)
            self._waiting.sort()
            self._choose()
            self._turn.wait_for(lambda: self._holder == name)

    def _act(self, name: str, act: Act) -> None:
        self._names[threading.get_ident()] = name
        with self._turn:
            self._turn.wait_for(lambda: self._holder == name)
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - told at the end of the run
            self.errors.append(error)
        finally:
            with self._turn:
                del self._names[threading.get_ident()]
                self._choose()

    def _choose(self) -> None:
        self._holder = self.random.choice(self._waiting) if self._waiting else ""
        if self._holder:
            self._waiting.remove(self._holder)
        self._turn.notify_all()


class SimulatedStore(MachineStore):
    """A bucket behind a network that goes wrong now and then."""

    def __init__(self, bucket: MemoryStore, directory: Path, baton: Baton, faults: float) -> None:
        super().__init__(bucket, directory)
        self._baton = baton
        self._faults = faults
        self._late: list[Act] = []

    def put(self, name: str, payload: Payload) -> None:
        self._write(lambda: super(SimulatedStore, self).put(name, payload))

    def put_file(self, name: str, path: Path) -> None:
        self._write(lambda: super(SimulatedStore, self).put_file(name, path))

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        self._step()
        return super().get(name, byte_range)

    def delete(self, name: str) -> None:
        self._step()
        super().delete(name)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        self._step()
        return super().list(prefix)

    def read(self, name: str) -> tuple[bytes, Token]:
        self._step()
        return super().read(name)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        self._step()
        return super().read_changed(name, known)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Replace as a bucket does: an answer that was lost comes back as a conflict."""
        self._step()
        fault = self._fault()
        if fault == "lost":  # what tries again finds its own write, or another's that came after
            super().replace(name, payload, expected)
            self._baton.pass_on()
            return super().replace(name, payload, expected)
        if fault == "refused":
            raise StoreError("no answer", transient=True)
        return super().replace(name, payload, expected)

    def _write(self, write: Act) -> None:
        self._step()
        fault = self._fault()
        if fault == "refused":
            raise StoreError("no answer", transient=True)
        write()
        if fault == "lost":
            raise StoreError("the answer was lost", transient=True)

    def _fault(self) -> str:
        if self._baton.random.random() >= self._faults:
            return ""
        return self._baton.random.choice(["lost", "refused"])

    def _step(self) -> None:
        self._baton.pass_on()
