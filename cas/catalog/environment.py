"""Opening LMDB, its transactions, and the mapping of its errors."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import lmdb

from cas.catalog.reading import ReadTransaction
from cas.catalog.room import Room
from cas.catalog.tables import TABLE_NAMES, Tables
from cas.catalog.transactions import WriteTransaction
from cas.disk import StoreErrors, require_free_space
from cas.errors import REBUILD_HINT, CasError, IntegrityError, StoreError, StoreFullError
from cas.formats import MiB
from cas.sealing import Sealing

_MAP_SIZE: Final = 256 * 1024 * MiB
"""Address space, not disk: the file grows with what is in it."""
_MAX_READERS: Final = 1024
_LOCK_FILE_SIZE: Final = 64 * (_MAX_READERS + 64)
"""Bytes: a line of the processor's cache for each reader, and a head."""
_FORKED: Final = (
    "this process was forked from one that has the repository open: use it in a process of its own"
)
COMMIT_RESERVE: Final = 8 * MiB
"""Bytes that stay free on the disk when the catalog grows: LMDB reports a full disk only as an
input/output error in the middle of a commit."""


class _Transaction:
    """A transaction from its begin to its end, for a `with` block.

    A class, as a generator for each of the many transactions of a request costs more than they.
    """

    __slots__ = ("_sealing", "_shared", "_transaction")

    def __init__(self, shared: _Shared, sealing: Sealing | None) -> None:
        self._shared = shared
        self._sealing = sealing

    def _begin(self, *, write: bool) -> lmdb.Transaction[bytes]:
        try:
            self._transaction = self._shared.environment.begin(write=write)
        except (lmdb.Error, OSError) as error:
            raise _mapped(error) from error
        return self._transaction


class _Reading(_Transaction, AbstractContextManager[ReadTransaction]):
    __slots__ = ()

    def __enter__(self) -> ReadTransaction:
        return ReadTransaction(self._begin(write=False), self._shared.tables, self._sealing)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transaction.abort()
        _raise_mapped(error)


class _Writing(_Transaction, AbstractContextManager[WriteTransaction]):
    __slots__ = ()

    def __enter__(self) -> WriteTransaction:
        begun = self._begin(write=True)
        transaction = WriteTransaction(begun, self._shared.tables, self._sealing)
        self._shared.make_room()
        return transaction

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is not None:
            self._transaction.abort()
            _raise_mapped(error)
            return
        try:
            self._transaction.commit()
        except (lmdb.Error, OSError) as failure:
            raise _mapped(failure) from failure


class _Shared:
    """An LMDB environment, which a process may open only once, and how many use it.

    A forked child can use neither its parent's nor one of its own: to close the one would end
    the parent's reads, and beside it LMDB cannot open another.
    """

    def __init__(self, directory: Path) -> None:
        self.users = 0
        self.pid = os.getpid()
        _reserve_lock_file(directory / "lock.mdb")
        self.environment = lmdb.open(
            str(directory),
            map_size=_MAP_SIZE,
            metasync=False,
            mode=0o600,
            max_dbs=len(TABLE_NAMES),
            max_readers=_MAX_READERS,
            max_spare_txns=64,
        )
        self._refuse_cut(directory / "data.mdb")
        self.environment.reader_check()
        self.tables = Tables(*(self.environment.open_db(name) for name in TABLE_NAMES))
        self.page_size = int(self.environment.stat()["psize"])
        self.room = Room(directory / "data.mdb")

    def _refuse_cut(self, path: Path) -> None:
        """Raise where the file ends before the pages in use: to touch those would kill us."""
        pages = self.environment.info()["last_pgno"] + 1
        if path.stat().st_size < pages * self.environment.stat()["psize"]:
            self.environment.close()
            raise IntegrityError(f"the catalog is damaged (its file is cut off): {REBUILD_HINT}")

    def make_room(self) -> None:
        self.room.make((self.environment.info()["last_pgno"] + 1) * self.page_size)

    def close(self) -> None:
        self.room.close()
        self.environment.close()


def _reserve_lock_file(path: Path) -> None:
    """Give LMDB's lock file its blocks when it is new.

    LMDB makes a hole of that length and maps it: on a full disk the first write there would kill
    the process. Only before LMDB has the file open here: to close it gives up LMDB's own lock.
    """
    with StoreErrors():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not os.fstat(descriptor).st_size:
                os.posix_fallocate(descriptor, 0, _LOCK_FILE_SIZE)
        finally:
            os.close(descriptor)


_open_environments: dict[str, _Shared] = {}
_open_lock = threading.Lock()


def _renew_lock() -> None:
    """Replace a lock that another thread of the parent may have held at the fork."""
    global _open_lock  # noqa: PLW0603 - the process is another one now
    _open_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class Catalog:
    """The catalog in one directory. May be shared by threads; of no use after a fork."""

    def __init__(self, directory: Path, sealing: Sealing | None = None) -> None:
        """Open the catalog, making an empty one where there is none.

        With `sealing`, its rows are sealed that tell of names, changes, states or locks.

        Raises:
            StoreError: the directory cannot be written.
            IntegrityError: the file there is damaged; it can be rebuilt from the packs.
        """
        self._directory = directory
        self._sealing = sealing
        self._pid = os.getpid()
        self._key = str(directory.resolve())
        with _open_lock, mapped_errors():
            shared = _open_environments.get(self._key)
            if shared is None:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                shared = _open_environments[self._key] = _Shared(directory)
            if shared.pid != os.getpid():
                raise StoreError(_FORKED)
            shared.users += 1
        self._shared = shared
        self._environment = shared.environment
        self._tables = shared.tables

    def close(self) -> None:
        """Close the catalog; it must not be used afterwards."""
        if os.getpid() != self._pid:
            return  # it is the parent's
        with _open_lock:
            shared = _open_environments[self._key]
            shared.users -= 1
            if shared.users == 0:
                del _open_environments[self._key]
                shared.close()

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Look at one state of the catalog. Short: it keeps old pages from being used again."""
        self._refuse_fork()
        return _Reading(self._shared, self._sealing)

    def write(self, *, reserve: int = 0) -> AbstractContextManager[WriteTransaction]:
        """Change the catalog; one writer at a time over all processes. An exception undoes it.

        With `reserve` it is not begun unless that many bytes are free on the disk.

        Raises:
            StoreFullError: there is no room on the disk.
        """
        self._refuse_fork()
        if reserve:
            require_free_space(self._directory, 0, reserve)
        return _Writing(self._shared, self._sealing)

    def sync(self) -> None:
        """Return once all transactions so far would survive a power cut.

        A commit alone syncs its data, not the page that names them: a power cut may take the
        newest transaction back. Whatever makes good for that must still be where it was.
        """
        with mapped_errors():
            self._environment.sync(force=True)

    def last_transaction(self) -> int:
        """Return the number of the newest transaction of any process: a cheap sign of news."""
        return int(self._environment.info()["last_txnid"])

    def remove_dead_readers(self) -> None:
        """Free the reader slots of processes that died, so that their old pages are used again."""
        with mapped_errors():
            self._environment.reader_check()

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(_FORKED)


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn the errors of LMDB and the operating system inside the block into the engine's."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        _raise_mapped(error)
        raise


def _raise_mapped(error: BaseException | None) -> None:
    """Raise the engine's error for one of LMDB or the operating system; let others pass."""
    if isinstance(error, (lmdb.Error, OSError)) and not isinstance(error, CasError):
        raise _mapped(error) from error


def _mapped(error: lmdb.Error | OSError) -> CasError:
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
        what = "catalog has reached its largest size"
        what = what if isinstance(error, lmdb.MapFullError) else "disk of the catalog is full"
        return StoreFullError(f"the {what}: {error}")
    if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError):
        return IntegrityError(f"the catalog is damaged ({error}): {REBUILD_HINT}")
    if isinstance(error, lmdb.ReadersFullError):
        return StoreError("too many readers of the catalog at once", transient=True)
    if isinstance(error, lmdb.Error):
        return StoreError(f"the catalog cannot be used: {error}", transient=True)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreFullError(str(error))
    return StoreError(str(error))
