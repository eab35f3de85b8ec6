"""The processes at work on a repository, and how to tell that one has died.

Each process holds a lock on a file of its own for as long as it lives; the kernel gives it up
when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from cas.catalog import Catalog, ProcessRow, ReadTransaction, WriteTransaction, compact
from cas.clock import Clock
from cas.disk import StoreErrors
from cas.errors import CasError
from cas.reliance import Lease, Pin

_Seen = TypeVar("_Seen")
_logger = logging.getLogger(__name__)


class _Write(NamedTuple):
    """A write that holds a lease: the epoch it found things in, when it began, in what volume."""

    epoch: int
    since_ns: int
    volume_id: bytes


class Process:
    """This process's presence in the catalog."""

    def __init__(self, catalog: Catalog, directory: Path, clock: Clock) -> None:
        """Register; the caller may then lean on the nursery's current generation."""
        self.id = secrets.token_bytes(16)
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._pins: Counter[int] = Counter()
        self._leases: dict[int, _Write] = {}  # the oldest first
        self._numbers = itertools.count()
        self._pins_lock = threading.Lock()
        self._forgotten: deque[int] = deque()
        self._released: deque[int] = deque()
        self._is_signed_off = False
        self._path = directory / f"{self.id.hex()}.lock"
        with StoreErrors():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # others hold it only to look
            os.write(self._descriptor, b"%d\n" % os.getpid())  # to be named where it is in the way
        with catalog.write() as transaction:
            self.generation = transaction.generation()
            self._epoch = self._written_epoch = transaction.epoch()
            self._sealing = transaction.sealing()
            self._put(transaction)

    def pin(self, look: Callable[[ReadTransaction], _Seen]) -> tuple[_Seen, Pin]:
        """Look at the catalog; return what was seen, and when that was.

        The nursery's generation of that moment is kept until `unpin`.
        """
        with self._pins_lock, self._catalog.read() as transaction:
            pin = Pin(transaction.generation(), transaction.epoch())
            seen = look(transaction)
            self._pins[pin.generation] += 1
        return seen, pin

    def unpin(self, pin: Pin) -> None:
        """Give up a pin."""
        with self._pins_lock:
            self._release(pin.generation)

    def forget_pin(self, pin: Pin) -> None:
        """Give up a pin, some time later.

        For a destructor: that may run in a thread which holds the lock already.
        """
        self._forgotten.append(pin.generation)

    def rely(self, volume_id: bytes = b"") -> Lease:
        """Return a lease for a write: no collection deletes what it finds stored from now on.

        The volume's id is for those who wait for the write to end.
        """
        now_ns = self._clock.now_ns()
        with self._pins_lock:
            number = next(self._numbers)
            self._leases[number] = _Write(self._epoch, now_ns, volume_id)
            return Lease(self._epoch, number, self._released.append)

    def advance(self, transaction: WriteTransaction) -> None:
        """Say in the catalog on which generations and epochs nothing here leans any more."""
        with self._pins_lock:
            while self._forgotten:
                self._release(self._forgotten.popleft())
            oldest = min(self._pins, default=transaction.generation())
            # Writes that begin from here on look things up in this epoch, or a later one.
            self._epoch = transaction.epoch()
            write = self._oldest_write()
            oldest_epoch = self._epoch if write is None else write.epoch
        if oldest > self.generation or oldest_epoch > self._written_epoch:
            self.generation = max(oldest, self.generation)
            self._written_epoch = oldest_epoch
            self._put(transaction)

    def asked_to_seal(self) -> int | None:
        """Return the number of a request to seal the open packs, None where there is no new one."""
        with self._catalog.read() as reading:
            number = reading.sealing()
        return number if number > self._sealing else None

    def note_sealing(self, number: int) -> None:
        """Say in the catalog that all that was open at this request is sealed."""
        with self._catalog.write() as transaction:
            self._sealing = number
            self._put(transaction)

    def keep_up(self) -> None:
        """Do what `advance` does if an epoch has begun of which the catalog does not know here.

        As long as a write keeps this from being said, say since when.
        """
        with self._catalog.read() as reading:
            row, epoch = reading.process(self.id), reading.epoch()
        if row is not None and row.epoch < epoch:
            self._written_epoch = row.epoch  # a transaction that was given up wrote no other
            with self._catalog.write() as transaction:
                self.advance(transaction)
                with self._pins_lock:
                    write = self._oldest_write()
                if write is not None and write.since_ns != row.since_ns:
                    self._put(transaction)

    def others(self, transaction: ReadTransaction) -> list[tuple[bytes, ProcessRow]]:
        """Return the other processes, dead ones that nobody has tidied up after among them."""
        if transaction.process_count() == 1:  # each commit asks, and mostly there is only this
            return []
        return [(key, row) for key, row in transaction.processes() if key != self.id]

    def is_alive(self, process_id: bytes) -> bool:
        """Return whether the process still runs."""
        return is_locked(self._directory / f"{process_id.hex()}.lock")

    def forget(self, transaction: WriteTransaction, process_id: bytes) -> None:
        """Remove what a dead process left here."""
        transaction.delete_process(process_id)
        (self._directory / f"{process_id.hex()}.lock").unlink(missing_ok=True)

    def close(self, *, leaves_packs: bool = False) -> None:
        """Sign off; one that leaves packs behind is tidied up after as if it had died."""
        if not leaves_packs:
            with self._catalog.write() as transaction:
                transaction.delete_process(self.id)
            self._is_signed_off = True

    def let_go(self) -> None:
        """Give up the lock, once the catalog is closed: whoever finds no process may replace it."""
        if self._is_signed_off:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _oldest_write(self) -> _Write | None:
        """Return the oldest write that holds a lease. The lock has to be held."""
        while self._released:
            del self._leases[self._released.popleft()]
        return next(iter(self._leases.values()), None)

    def _release(self, generation: int) -> None:
        self._pins[generation] -= 1
        if not self._pins[generation]:
            del self._pins[generation]

    def _put(self, transaction: WriteTransaction) -> None:
        with self._pins_lock:
            write = self._oldest_write() or _Write(0, 0, b"")
        row = ProcessRow(
            os.getpid(),
            self.generation,
            write.since_ns,
            epoch=self._written_epoch,
            sealing=self._sealing,
            volume_id=write.volume_id,
        )
        transaction.put_process(self.id, row)


def is_locked(path: Path) -> bool:
    """Return whether a live process holds the lock on this file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def live_processes(directory: Path, known: AbstractSet[str] = frozenset()) -> list[str]:
    """Return the ids of the operating system for the processes at work, as text for people.

    `known` are those that do not count, by their own ids in hex.
    """
    paths = [path for path in sorted(directory.glob("*.lock")) if path.stem not in known]
    live = []
    for path in paths:
        if is_locked(path):
            with suppress(FileNotFoundError):  # it has ended meanwhile
                live.append(path.read_text().strip() or "of an older version")
    return live


@contextmanager
def opening(local: Path, *, alone: bool = False) -> Iterator[None]:
    """Keep a process that is `alone` from meeting others that are just opening the repository.

    Between opening the catalog and having its lock a process is at work, and nobody can tell.
    """
    with StoreErrors():
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(local / "opening.lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def compact_if_alone(local: Path) -> None:
    """Give the room back that the catalog does not need, if no other process has it open."""
    try:
        with opening(local, alone=True):
            if not live_processes(local / "processes"):
                compact(local / "catalog")
    except CasError:
        _logger.warning("the catalog could not be made smaller", exc_info=True)
