"""The table of write locks: who may change what, checked inside the commit.

A lock is kept under a key in which each ancestor of its path is a prefix, made of keyed hashes
of the names, so that "locks below" is one range of the table. What a lock means to a WebDAV
client stands in `dav`; here is what must be atomic: conflicts, look-up and enforcement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import msgspec
from blake3 import blake3

from cas.catalog import Catalog, ReadTransaction, WriteTransaction
from cas.clock import Clock
from cas.errors import LockedError, NotFoundError
from cas.objects import decode, encode
from cas.paths import Names, join_names, split_path

_NAME_HASH_SIZE: Final = 8
_NAMES_IN_KEY: Final = 60  # LMDB's keys have 511 bytes at most


class Lock(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A lock on a path. `infinite` covers everything below it; a `shared` one admits others.

    `owner` is what the client said of itself, kept as it came; `principal` the user who holds
    it. Times are nanoseconds since the epoch; `timeout_seconds` is what was granted.
    """

    token: str
    volume_id: bytes
    path: str
    principal: str
    owner: str = ""
    shared: bool = False
    infinite: bool = True
    timeout_seconds: int = 0
    expires_ns: int
    created_ns: int = 0


class ConflictingLocksError(LockedError):
    """Locks stand in the way; `locks` are those."""

    def __init__(self, locks: list[Lock]) -> None:
        holders = ", ".join(sorted({lock.principal for lock in locks}))
        super().__init__(f"{locks[0].path or 'the volume'} is locked by {holders}")
        self.locks = locks


class HeldLocks(Protocol):
    """The locks of one volume as they are at one moment."""

    def covering(self, path: str) -> list[Lock]:
        """Return the locks that protect the path: its own and those inherited from above."""

    def covering_names(self, names: Names) -> list[Lock]:
        """Like `covering`, for a path that is split already."""

    def below_names(self, names: Names) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""


class Locks(Protocol):
    """A table of write locks: in the catalog (`LockTable`), or of several gateways.

    Where it is not in the catalog, each method may raise a StoreError, and none may be called
    within a transaction that writes.
    """

    def acquire(self, lock: Lock) -> None:
        """Take the lock; raise ConflictingLocksError where others stand in the way."""

    def refresh(self, token: str, expires_ns: int, timeout_seconds: int) -> Lock:
        """Let the lock last until `expires_ns`; return it, or raise NotFoundError."""

    def release(self, token: str) -> Lock:
        """Give the lock up; return what it was, or raise NotFoundError."""

    def get(self, token: str) -> Lock | None:
        """Return the lock with this token, or None."""

    def all(self) -> list[Lock]:
        """Return all locks that have not expired."""

    def covering(self, volume_id: bytes, *paths: str) -> list[Lock]:
        """Return the locks that protect the paths: their own and those inherited from above."""

    def below(self, volume_id: bytes, path: str) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""

    def remove_expired(self) -> int:
        """Forget the locks that have expired; return how many."""

    def view(self, transaction: ReadTransaction, volume_id: bytes) -> HeldLocks:
        """Return the volume's locks, as a transaction sees them if they are in the catalog."""

    def is_current(self, view: HeldLocks) -> bool:
        """Whether a volume's locks are still those of a view, where that is to be asked."""

    def drop(self, volume_id: bytes, paths: Iterable[Names]) -> None:
        """Forget the locks at the paths and below: what they protected is gone."""

    def drop_below(self, transaction: WriteTransaction, volume_id: bytes, names: Names) -> None:
        """Forget the locks at a path and below with what a transaction does."""


class LockView:
    """The locks of one volume as one transaction sees them."""

    def __init__(
        self, transaction: ReadTransaction, hasher: LockKeys, volume_id: bytes, now_ns: int
    ) -> None:
        self._transaction = transaction
        self._keys = hasher
        self._volume_id = volume_id
        self._now_ns = now_ns
        # Asked for once: a commit looks at every path, and mostly there is no lock at all.
        self._is_empty = not transaction.has_locks()

    def covering(self, path: str) -> list[Lock]:
        """Return the locks that protect the path: its own and those inherited from above."""
        return self.covering_names(split_path(path))

    def below(self, path: str) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""
        return self.below_names(split_path(path))

    def covering_names(self, names: Names) -> list[Lock]:
        """Like `covering`, for a path that is split already."""
        if self._is_empty:
            return []
        found: list[Lock] = []
        for depth in range(len(names) + 1):
            path = join_names(names[:depth])
            found += (
                lock
                for lock in self._at(self._keys.key(self._volume_id, names[:depth]))
                if lock.path == path and (lock.infinite or depth == len(names))
            )
        return found

    def below_names(self, names: Names) -> list[Lock]:
        """Like `below`, for a path that is split already."""
        if self._is_empty:
            return []
        return [lock for _, locks in self.records_below(names) for lock in locks]

    def records_below(self, names: Names) -> Iterator[tuple[bytes, list[Lock]]]:
        """Yield the keys at and below the path, each with its locks there."""
        path = join_names(names)
        for key, record in self._transaction.locks(self._keys.key(self._volume_id, names)):
            yield key, [lock for lock in self._alive(record) if is_within(lock.path, path)]

    def _at(self, key: bytes) -> list[Lock]:
        record = self._transaction.lock(key)
        return [] if record is None else self._alive(record)

    def _alive(self, record: bytes) -> list[Lock]:
        return [lock for lock in decode(record, list[Lock]) if lock.expires_ns > self._now_ns]


class LockKeys:
    """Makes the table's keys out of paths, with hashes keyed by the repository's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake3(secret, derive_key_context="casdav 2026-11-22 lock keys").digest()

    def key(self, volume_id: bytes, names: Names) -> bytes:
        """Return the key of a path; that of each ancestor is a prefix of it."""
        hashes = (
            blake3(name, key=self._key).digest(length=_NAME_HASH_SIZE)
            for name in names[:_NAMES_IN_KEY]
        )
        return volume_id + b"".join(hashes)


class LockTable:
    """The locks of a repository, for all processes. Shared by threads."""

    def __init__(self, catalog: Catalog, keys: LockKeys, clock: Clock) -> None:
        self._catalog = catalog
        self._keys = keys
        self._clock = clock

    def acquire(self, lock: Lock) -> None:
        """Take the lock, unless others stand in the way.

        Raises:
            ConflictingLocksError: an exclusive lock is there, or any where this is exclusive.
        """
        names = split_path(lock.path)
        lock = msgspec.structs.replace(lock, path=join_names(names))
        with self._catalog.write() as transaction:
            refuse_conflicts(self.view(transaction, lock.volume_id), lock, names)
            self._put(transaction, lock)

    def refresh(self, token: str, expires_ns: int, timeout_seconds: int) -> Lock:
        """Let the lock last until `expires_ns`; return it.

        Raises:
            NotFoundError: there is no such lock, or not any more.
        """
        with self._catalog.write() as transaction:
            lock = self._require(transaction, token)
            renewed = msgspec.structs.replace(
                lock, expires_ns=expires_ns, timeout_seconds=timeout_seconds
            )
            self._put(transaction, renewed)
        return renewed

    def release(self, token: str) -> Lock:
        """Give the lock up; return what it was.

        Raises:
            NotFoundError: there is no such lock, or not any more.
        """
        with self._catalog.write() as transaction:
            lock = self._require(transaction, token)
            self._delete(transaction, lock)
        return lock

    def get(self, token: str) -> Lock | None:
        """Return the lock with this token, or None."""
        with self._catalog.read() as transaction:
            return self._find(transaction, token)

    def all(self) -> list[Lock]:
        """Return all locks that have not expired."""
        now_ns = self._clock.now_ns()
        with self._catalog.read() as transaction:
            records = [record for _, record in transaction.locks()]
        locks = (lock for record in records for lock in decode(record, list[Lock]))
        return [lock for lock in locks if lock.expires_ns > now_ns]

    def covering(self, volume_id: bytes, *paths: str) -> list[Lock]:
        """Return the locks that protect the paths: their own and those inherited from above."""
        with self._catalog.read() as transaction:
            view = self.view(transaction, volume_id)
            return [lock for path in paths for lock in view.covering(path)]

    def below(self, volume_id: bytes, path: str) -> list[Lock]:
        """Return the locks on the path and everywhere below it."""
        with self._catalog.read() as transaction:
            return self.view(transaction, volume_id).below(path)

    def remove_expired(self) -> int:
        """Forget the locks that have expired; return how many."""
        now_ns = self._clock.now_ns()
        with self._catalog.read() as reading:
            if not any(_has_expired(record, now_ns) for _, record in reading.locks()):
                return 0
        count = 0
        with self._catalog.write() as transaction:
            for _, record in list(transaction.locks()):
                for lock in decode(record, list[Lock]):
                    if lock.expires_ns <= now_ns:
                        self._delete(transaction, lock)
                        count += 1
        return count

    def view(self, transaction: ReadTransaction, volume_id: bytes) -> LockView:
        """Return the volume's locks as the transaction sees them."""
        return LockView(transaction, self._keys, volume_id, self._clock.now_ns())

    def is_current(self, view: HeldLocks) -> bool:
        """Whether locks are still as they were seen: on one machine none is asked for."""
        return True

    def drop(self, volume_id: bytes, paths: Iterable[Names]) -> None:
        """Forget the locks at the paths and below: what they protected is gone."""
        with self._catalog.read() as reading:
            if not reading.has_locks():
                return
        with self._catalog.write() as transaction:
            for names in paths:
                self.drop_below(transaction, volume_id, names)

    def drop_below(self, transaction: WriteTransaction, volume_id: bytes, names: Names) -> None:
        """Forget the locks at the path and below: what they protected is gone."""
        view = self.view(transaction, volume_id)
        gone = [lock for _, locks in view.records_below(names) for lock in locks]
        for lock in gone:
            self._delete(transaction, lock)

    def _put(self, transaction: WriteTransaction, lock: Lock) -> None:
        key = self._keys.key(lock.volume_id, split_path(lock.path))
        now_ns = self._clock.now_ns()
        others = []
        for other in decode(transaction.lock(key) or b"\x90", list[Lock]):
            if other.expires_ns <= now_ns:
                transaction.delete_lock_token(other.token.encode())
            elif other.token != lock.token:
                others.append(other)
        transaction.put_lock(key, encode([*others, lock]), [lock.token.encode()])

    def _delete(self, transaction: WriteTransaction, lock: Lock) -> None:
        key = self._keys.key(lock.volume_id, split_path(lock.path))
        record = transaction.lock(key) or b"\x90"
        others = [other for other in decode(record, list[Lock]) if other.token != lock.token]
        if others:
            transaction.put_lock(key, encode(others), [])
        else:
            transaction.delete_lock(key)
        transaction.delete_lock_token(lock.token.encode())

    def _find(self, transaction: ReadTransaction, token: str) -> Lock | None:
        key = transaction.lock_key(token.encode()) if token else None
        record = None if key is None else transaction.lock(key)
        for lock in decode(record, list[Lock]) if record else []:
            if lock.token == token and lock.expires_ns > self._clock.now_ns():
                return lock
        return None

    def _require(self, transaction: ReadTransaction, token: str) -> Lock:
        lock = self._find(transaction, token)
        if lock is None:
            message = f"there is no lock {token}"
            raise NotFoundError(message)
        return lock


def refuse_conflicts(held: HeldLocks, lock: Lock, names: Names) -> None:
    """Raise if a lock cannot be taken beside those that are held; `names` are its path's.

    Raises:
        ConflictingLocksError: an exclusive lock is there, or any where this is exclusive.
    """
    others = held.covering_names(names)
    if lock.infinite:
        others += [other for other in held.below_names(names) if other not in others]
    conflicts = [other for other in others if not (other.shared and lock.shared)]
    if conflicts:
        raise ConflictingLocksError(conflicts)


def blocking(locks: Iterable[Lock], tokens: frozenset[str]) -> list[Lock]:
    """Return the locks that forbid a change to who submits these tokens.

    Of several (shared) locks on one path, the token of any is enough.
    """
    by_path: dict[str, list[Lock]] = {}
    for lock in locks:
        by_path.setdefault(lock.path, []).append(lock)
    return [
        lock
        for held in by_path.values()
        if not any(lock.token in tokens for lock in held)
        for lock in held
    ]


def is_within(path: str, ancestor: str) -> bool:
    """Whether a path is another one, or below it."""
    return not ancestor or path == ancestor or path.startswith(ancestor + "/")


def _has_expired(record: bytes, now_ns: int) -> bool:
    return any(lock.expires_ns <= now_ns for lock in decode(record, list[Lock]))
