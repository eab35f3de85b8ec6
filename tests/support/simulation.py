"""A simulation of gateways: actors that run one at a time, as a seed says.

Each actor is a thread that runs only while it holds the baton, and passes it on at every call of
the store, so the same seed gives the same run. The store is in memory, loses answers, refuses,
and lets writes come late; listings of refs are as S3's, which are never behind, those of packs may
be. A machine that is dead reaches the store no more, whatever it still tries.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from cas import workers
from cas.errors import CasError, StoreError
from cas.stores.base import ByteRange, Payload, Token, buffers_of
from cas.stores.memory import MemoryStore
from tests.support.gateways import MachineStore

Act = Callable[[], None]
_ARRIVES: Final = 0.2
"""How likely a write that seemed lost arrives with the machine's next call."""


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


def _replace(store: MemoryStore, name: str, content: bytes, expected: Token | None) -> None:
    store.replace(name, content, expected)


class DeadError(BaseException):
    """The machine has died: nothing that it does from now on is of any effect."""


class SimulatedStore(MachineStore):
    """A bucket behind a network that goes wrong now and then."""

    def __init__(
        self,
        bucket: MemoryStore,
        directory: Path,
        baton: Baton,
        faults: float,
        *,
        is_late: bool = False,
        has_old_lists: bool = False,
    ) -> None:
        """With `is_late`, writes may come long after they seemed to fail."""
        super().__init__(bucket, directory)
        self._memory = bucket
        self._baton = baton
        self.faults = faults
        self._late: list[Act] = []
        self._kinds = ["lost", "refused", "late"] if is_late else ["lost", "refused"]
        self._has_old_lists = has_old_lists
        self._listed: list[tuple[str, int]] = []
        self.dies_after: int | None = None
        """Calls that the machine still makes; None: it does not die."""

    def put(self, name: str, payload: Payload) -> None:
        self._write(lambda: super(SimulatedStore, self).put(name, payload))

    def put_file(self, name: str, path: Path) -> None:
        self._write(lambda: super(SimulatedStore, self).put_file(name, path))

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        self._step()
        return super().get(name, byte_range)

    def delete(self, name: str) -> None:
        self._write(lambda: super(SimulatedStore, self).delete(name))

    def size(self, name: str) -> int:
        self._step()
        return super().size(name)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        self._step()
        listed = list(super().list(prefix))
        if prefix != "packs" or not self._has_old_lists:
            return iter(listed)
        before, self._listed = self._listed, listed
        return iter(before if self._fault() else listed)

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
        if fault == "late":
            content = b"".join(buffers_of(payload))
            self._late.append(partial(_replace, self._memory, name, content, expected))
        if fault:
            raise StoreError("no answer", transient=True)
        return super().replace(name, payload, expected)

    def _write(self, write: Act) -> None:
        self._step()
        fault = self._fault()
        if fault == "late":
            self._late.append(write)
        if fault in {"late", "refused"}:
            raise StoreError("no answer", transient=True)
        write()
        if fault == "lost":
            raise StoreError("the answer was lost", transient=True)

    def _fault(self) -> str:
        if self._baton.random.random() >= self.faults:
            return ""
        return self._baton.random.choice(self._kinds)

    def _step(self) -> None:
        self._baton.pass_on()
        while self._late and self._baton.random.random() < _ARRIVES:
            with suppress(CasError, FileNotFoundError):
                self._late.pop(0)()
        if self.dies_after is not None:
            if self.dies_after == 0:
                raise DeadError
            self.dies_after -= 1


def seeded(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let names, and what shapes trees, be drawn, so that a seed gives the same run."""
    chance = random.Random(seed)
    monkeypatch.setattr(secrets, "token_bytes", chance.randbytes)
    monkeypatch.setattr(secrets, "randbits", chance.getrandbits)
