"""The table of write locks of several gateways, behind `Exchange`.

A volume's locks are read whole, and again only when they have changed. Every change is decided
on what was read, and is carried out only if that is still so: the rules are those of the table
in the catalog, word for word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from cas.catalog import Catalog, ReadTransaction, WriteTransaction
from cas.clock import Clock
from cas.errors import NotFoundError, StoreError
from cas.formats import REGISTRY_ID
from cas.keys import OpenKeys
from cas.locks import HeldLocks, Lock, LockKeys, Locks, LockTable, is_within, refuse_conflicts
from cas.objects import decode, encode
from cas.paths import Names, join_names, split_path
from cas.sealing import Sealing

if TYPE_CHECKING:
    from cas.exchange import Exchange  # its library is loaded only where there is one

_TRIES: Final = 100
_PURPOSE: Final = b"shared lock "


def make_locks(catalog: Catalog, keys: OpenKeys, clock: Clock, exchange: Exchange | None) -> Locks:
    """Return the table of locks: in the catalog, or in what gateways share."""
    if exchange is None:
        return LockTable(catalog, LockKeys(keys.config.secret), clock)
    return SharedLocks(exchange, keys.identifier.sealing, clock)


class LockList:
    """The locks of one volume as they were read at one moment; `version` tells states apart."""

    def __init__(self, volume_id: bytes, version: bytes, locks: Iterable[Lock]) -> None:
        self.volume_id = volume_id
        self.version = version
        self.locks = tuple(locks)

    def at(self, now_ns: int) -> LockList:
        """Return those that have not expired."""
        if not self.locks:
            return self
        alive = (lock for lock in self.locks if lock.expires_ns > now_ns)
        return LockList(self.volume_id, self.version, alive)

    def find(self, token: str) -> Lock | None:
        """Return the lock with this token, or None."""
        return next((lock for lock in self.locks if lock.token == token), None)

    def covering(self, path: str) -> list[Lock]:
        """Return the locks that protect the path: its own and those inherited from above."""
        return self.covering_names(split_path(path))

    def below(self, path: str) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""
        return self.below_names(split_path(path))

    def covering_names(self, names: Names) -> list[Lock]:
        """Like `covering`, for a path that is split already."""
        if not self.locks:
            return []
        path = join_names(names)
        found = [
            lock
            for lock in self.locks
            if lock.path == path or (lock.infinite and is_within(path, lock.path))
        ]
        return sorted(found, key=lambda lock: len(lock.path))

    def below_names(self, names: Names) -> list[Lock]:
        """Like `below`, for a path that is split already."""
        if not self.locks:
            return []
        path = join_names(names)
        return [lock for lock in self.locks if is_within(lock.path, path)]


class _Decision(NamedTuple):
    """What is to be written: a lock, or the tokens of those that go."""

    put: Lock | None = None
    gone: tuple[str, ...] = ()


class SharedLocks:
    """The locks of a repository, for all gateways. Shared by threads."""

    def __init__(self, exchange: Exchange, sealing: Sealing | None, clock: Clock) -> None:
        self._exchange = exchange
        self._sealing = sealing
        self._clock = clock
        self._known: dict[bytes, LockList] = {}

    def acquire(self, lock: Lock) -> None:
        """Take the lock, unless others stand in the way.

        Raises:
            ConflictingLocksError: an exclusive lock is there, or any where this is exclusive.
            StoreError: the exchange does not answer.
        """
        names = split_path(lock.path)
        lock = msgspec.structs.replace(lock, path=join_names(names))

        def decide(held: LockList) -> _Decision:
            if held.find(lock.token) is None:  # else an answer was lost, and this is done
                refuse_conflicts(held, lock, names)
            return _Decision(put=lock)

        self._change(lock.volume_id, decide)

    def refresh(self, token: str, expires_ns: int, timeout_seconds: int) -> Lock:
        """Let the lock last until `expires_ns`; return it.

        Raises:
            NotFoundError: there is no such lock, or not any more.
            StoreError: the exchange does not answer.
        """

        def decide(held: LockList) -> _Decision:
            renewed = msgspec.structs.replace(
                _require(held, token), expires_ns=expires_ns, timeout_seconds=timeout_seconds
            )
            return _Decision(put=renewed)

        put = self._change(self._volume_of(token), decide).put
        assert put is not None  # noqa: S101 - decided above
        return put

    def release(self, token: str) -> Lock:
        """Give the lock up; return what it was.

        Raises:
            NotFoundError: there is no such lock, or not any more.
            StoreError: the exchange does not answer.
        """
        found: list[Lock] = []

        def decide(held: LockList) -> _Decision:
            found[:] = [_require(held, token)]
            return _Decision(gone=(token,))

        self._change(self._volume_of(token), decide)
        return found[0]

    def get(self, token: str) -> Lock | None:
        """Return the lock with this token, or None."""
        try:
            return self.view(None, self._volume_of(token)).find(token)
        except NotFoundError:
            return None

    def all(self) -> list[Lock]:
        """Return all locks that have not expired."""
        volumes = sorted(self._exchange.volumes())
        return [lock for volume_id in volumes for lock in self.view(None, volume_id).locks]

    def covering(self, volume_id: bytes, *paths: str) -> list[Lock]:
        """Return the locks that protect the paths: their own and those inherited from above."""
        view = self.view(None, volume_id)
        return [lock for path in paths for lock in view.covering(path)]

    def below(self, volume_id: bytes, path: str) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""
        return self.view(None, volume_id).below(path)

    def remove_expired(self) -> int:
        """Forget the locks that have expired; return how many."""
        count = 0
        for volume_id in self._exchange.volumes():
            now_ns = self._clock.now_ns()
            expired = sum(lock.expires_ns <= now_ns for lock in self._read(volume_id).locks)
            if expired:
                self._change(volume_id, lambda _: _Decision())
                count += expired
        return count

    def view(self, transaction: ReadTransaction | None, volume_id: bytes) -> LockList:
        """Return the volume's locks as they are now; the catalog has no part in it.

        Raises:
            StoreError: the exchange does not answer.
        """
        return self._read(volume_id).at(self._clock.now_ns())

    def is_current(self, view: HeldLocks) -> bool:
        """Whether a volume's locks are still as they were seen.

        Raises:
            StoreError: the exchange does not answer.
        """
        assert isinstance(view, LockList)  # noqa: S101 - of this table
        return self._read(view.volume_id).version == view.version

    def drop(self, volume_id: bytes, paths: Iterable[Names]) -> None:
        """Forget the locks at the paths and below: what they protected is gone.

        Raises:
            StoreError: the exchange does not answer.
        """
        gone = list(paths)
        held = self.view(None, volume_id)
        if any(held.below_names(names) for names in gone):
            self._change(
                volume_id,
                lambda held: _Decision(
                    gone=tuple(lock.token for names in gone for lock in held.below_names(names))
                ),
            )

    def drop_below(self, transaction: WriteTransaction, volume_id: bytes, names: Names) -> None:
        """Forget the locks of a volume that is given up; the catalog has no part in it."""
        self.drop(volume_id, [names])

    def _change(self, volume_id: bytes, decide: Callable[[LockList], _Decision]) -> _Decision:
        """Carry out what is decided on the locks as they are; expired ones go along."""
        for _ in range(_TRIES):
            held = self._read(volume_id)
            now_ns = self._clock.now_ns()
            decision = decide(held.at(now_ns))
            put = {} if decision.put is None else {self._field(decision.put.token): decision.put}
            expired = (lock.token for lock in held.locks if lock.expires_ns <= now_ns)
            gone = {self._field(token) for token in (*decision.gone, *expired)} - set(put)
            sealed = {field: self._seal(field, lock) for field, lock in put.items()}
            if self._exchange.replace(volume_id, held.version, sealed, sorted(gone)):
                return decision
        raise StoreError("the locks of this volume change all the time", transient=True)

    def _read(self, volume_id: bytes) -> LockList:
        if volume_id == REGISTRY_ID:  # nobody ever locks it, and people sign in without Redis
            return LockList(volume_id, b"", ())
        known = self._known.get(volume_id)
        fields = self._exchange.read(volume_id, None if known is None else known.version)
        if fields is None and known is not None:
            return known
        fields = fields or {}
        version = fields.pop(b"", b"")
        found = LockList(
            volume_id, version, [self._open(field, record) for field, record in fields.items()]
        )
        self._known[volume_id] = found
        return found

    def _volume_of(self, token: str) -> bytes:
        volume_id = self._exchange.volume_of(self._field(token)) if token else None
        if volume_id is None:
            raise _no_such_lock(token)
        return volume_id

    def _field(self, token: str) -> bytes:
        """Return what a lock is kept under: who knows its token may write."""
        name = token.encode(errors="surrogateescape")
        return name if self._sealing is None else self._sealing.name("lock token", name)

    def _seal(self, field: bytes, lock: Lock) -> bytes:
        record = encode(lock)
        return record if self._sealing is None else self._sealing.seal(_PURPOSE + field, record)

    def _open(self, field: bytes, record: bytes) -> Lock:
        if self._sealing is not None:
            record = self._sealing.open(_PURPOSE + field, record)
        return decode(record, Lock)


def _require(held: LockList, token: str) -> Lock:
    lock = held.find(token)
    if lock is None:
        raise _no_such_lock(token)
    return lock


def _no_such_lock(token: str) -> NotFoundError:
    return NotFoundError(f"there is no lock {token}")
