"""The blob store on a local disk: a file for each object.

    <root>/packs/3f/3f9a...    objects, under their names; read-only for the owner
    <root>/refs/..., config    mutable objects
    <root>/tmp/                what is being written, under random names
    <root>/store.lock          held while a mutable object is compared and set

A file gets its name only when its bytes are on the disk, and the call returns when the name is
too. An immutable object gets it by link(2), which, unlike rename(2), never replaces a file; only
where a file system has no links by a look and rename(2).
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from cas.disk import StoreErrors, sync_directory
from cas.errors import AlreadyExistsError, ConflictError, NotFoundError, StoreError
from cas.stores.base import ByteRange, Payload, Token, buffers_of, token_of
from cas.stores.names import AREAS, check_name, check_prefix, check_range, is_name

_TEMPORARY: Final = "tmp"
_LOCK: Final = "store.lock"
_IMMUTABLE_MODE: Final = 0o400
_MUTABLE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_MACHINE: Final = "local"
_MAY_BE_THERE: Final = frozenset({"lost+found", _LOCK, "packs", "refs", _TEMPORARY, _MACHINE})
"""Names in a directory that a new repository may be made in."""
_COPY_SIZE: Final = 1 << 20
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class LocalStore:
    """A BlobStore in a directory. Shared by threads and processes of one machine."""

    def __init__(self, root: Path) -> None:
        """Open the store in an existing directory.

        Raises:
            NotFoundError: there is no such directory.
        """
        if not root.is_dir():
            raise NotFoundError(f"there is no directory {root}")
        self._root = root.absolute()
        self._temporary = self._root / _TEMPORARY
        self._settled: set[Path] = set()

    @classmethod
    def create(cls, root: Path) -> LocalStore:
        """Make the directory where it is missing, and its parents (mode 0700); open the store."""
        with StoreErrors():
            missing = [each for each in (root, *root.parents) if not each.exists()]
            for directory in reversed(missing):
                directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
                sync_directory(directory.parent)
        return cls(root)

    @property
    def location(self) -> str:
        """Return the directory's path."""
        return str(self._root)

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object; it is durable when this returns."""
        path = self._immutable_path(name)
        with StoreErrors(), self._temporary_file() as file:
            file.writelines(buffers_of(payload))
            self._publish(file, path, name)

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file as an immutable object, and take the file away."""
        target = self._immutable_path(name)
        with StoreErrors(), path.open("rb") as source:
            if _is_same(target, path):  # a crash cut this call off before
                sync_directory(self._settle(target))
            elif os.fstat(source.fileno()).st_dev == self._root.stat().st_dev:
                self._publish(source, target, name)
            else:
                with self._temporary_file() as copy:
                    shutil.copyfileobj(source, copy, _COPY_SIZE)
                    self._publish(copy, target, name)
            path.unlink(missing_ok=True)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it."""
        path = self._path(name)
        if byte_range is None:
            with StoreErrors():
                return path.read_bytes()
        check_range(byte_range)
        with StoreErrors(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, stop = (min(bound, size) for bound in byte_range)
            file.seek(start)
            return file.read(stop - start)

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        with StoreErrors():
            return self._path(name).stat().st_size

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        path = self._path(name)
        with StoreErrors():
            path.unlink(missing_ok=True)
            if AREAS[name.partition("/")[0]].mutable and path.parent.exists():
                sync_directory(path.parent)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (name, size in bytes) of all objects below the prefix, as the disk has them."""
        check_prefix(prefix)
        return self._walk(prefix)

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state."""
        check_name(name, mutable=True)
        content = self.get(name)
        return content, token_of(content)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state."""
        content, token = self.read(name)
        return None if token == known else (content, token)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent)."""
        check_name(name, mutable=True)
        content = b"".join(buffers_of(payload))
        path = self._path(name)
        with StoreErrors(), self._locked():
            current = token_of(path.read_bytes()) if path.exists() else None
            if current != expected:
                raise ConflictError(f"{name} has changed meanwhile")
            with self._temporary_file() as file:
                file.write(content)
                _sync_file(file, _MUTABLE_MODE)
                directory = self._settle(path)
                Path(file.name).rename(path)
                sync_directory(directory)
        return token_of(content)

    def local_path(self, name: str) -> Path | None:
        """Return the file that holds an immutable object, whether or not it is there."""
        return self._immutable_path(name)

    @property
    def machine_directory(self) -> Path:
        """Return the directory beside the objects."""
        return self._root / _MACHINE

    @property
    def is_staging(self) -> bool:
        """Return False: what is stored is on the disk."""
        return False

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield what `list` does, and when each file was changed."""
        for name, size in self.list(prefix):
            with suppress(FileNotFoundError):
                yield name, size, (self._root / name).stat().st_mtime

    def find_stranger(self) -> str | None:
        """Return the name of a file in the directory that is no store's."""
        with StoreErrors():
            others = {path.name for path in self._root.iterdir()} - _MAY_BE_THERE
        return min(others, default=None)

    def doubt(self, name: str) -> bool:
        """Return False: what is read again is the same."""
        return False

    def admit(self) -> None:
        """Do nothing: whoever writes looks whether the disk has room."""

    def begin(self) -> None:
        """Do nothing: nobody has to be kept away."""

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def clean_up(self) -> int:
        """Remove the temporary files of dead writers; return how many."""
        removed = 0
        with StoreErrors():
            for path in self._temporary.iterdir() if self._temporary.exists() else ():
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a live writer holds it
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._root / name

    def _immutable_path(self, name: str) -> Path:
        check_name(name, mutable=False)
        return self._root / name

    def _walk(self, directory: str) -> Iterator[tuple[str, int]]:
        try:
            found = list(os.scandir(self._root / directory))
        except FileNotFoundError:
            return
        except NotADirectoryError:  # an object without components, such as `config`
            yield directory, self.size(directory)
            return
        for entry in found:
            name = f"{directory}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name)
            elif is_name(name):  # what a desktop or an admin left there is not ours
                with suppress(FileNotFoundError):
                    yield name, entry.stat().st_size

    def _publish(self, file: BinaryIO, path: Path, name: str) -> None:
        """Give a complete file its name, durably."""
        _refuse_taken(path, name)
        _sync_file(file, _IMMUTABLE_MODE)
        directory = self._settle(path)
        try:
            os.link(file.name, path)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{name} is stored already") from error
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            Path(file.name).rename(path)
        sync_directory(directory)

    def _settle(self, path: Path) -> Path:
        """Return the directory of a path, made where it is missing and named durably.

        That another process made it does not say that it has synced its parent: each process
        does so once.
        """
        directory = path.parent
        if directory not in self._settled and directory != self._root:
            parent = self._settle(directory)
            directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
            sync_directory(parent)
            self._settled.add(directory)
        return directory

    @contextmanager
    def _temporary_file(self) -> Iterator[BinaryIO]:
        """Give a new file, locked while it is in use; remove it at the end."""
        with self._new_temporary_file() as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _new_temporary_file(self) -> BinaryIO:
        try:
            self._temporary.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        except FileNotFoundError as error:
            raise StoreError(f"{self._root} is gone: is its disk mounted?") from error
        while True:
            file = (self._temporary / secrets.token_hex(16)).open("xb")
            with suppress(BlockingIOError):  # a clean-up came between open and lock: once more
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_nlink:
                    return file
            file.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / _LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _refuse_taken(path: Path, name: str) -> None:
    if path.exists():
        raise AlreadyExistsError(f"{name} is stored already")


def _is_same(path: Path, other: Path) -> bool:
    """Whether both files exist and are one file, or hold the same bytes."""
    if not path.exists():
        return False
    return path.samefile(other) or filecmp.cmp(path, other, shallow=False)


def _sync_file(file: BinaryIO, mode: int) -> None:
    file.flush()
    os.fchmod(file.fileno(), mode)
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # there, fsync leaves the bytes in the disk's cache
    else:
        os.fdatasync(file.fileno())
