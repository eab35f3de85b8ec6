"""Reading records out of packs: open, sealed here, or sealed by another process meanwhile."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from cas.catalog import Catalog, PackRow, PackState
from cas.disk import StoreErrors
from cas.errors import IntegrityError, NotFoundError
from cas.packs import open_pack_name
from cas.sealing import PackSeal, Sealing
from cas.stores.base import BlobStore, ByteRange

_OPEN_FILES: Final = 256
_SEALS: Final = 4096
"""Packs whose keys are kept at hand: a few hundred bytes each."""
_END_SIZE: Final = 128 * 1024  # the footer of most packs fits


def pack_blob_name(pack_id: bytes) -> str:
    """Return the name of a sealed pack in the blob store."""
    name = pack_id.hex()
    return f"packs/{name[:2]}/{name}"


class MissingPackError(IntegrityError):
    """A pack is not there: damage, or what was in it has been moved to another meanwhile."""


class PackFile:
    """A descriptor that is closed when the last reader has let go of it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        with StoreErrors():
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self) -> int:
        """Return how many bytes the file has by now."""
        with StoreErrors():
            return os.fstat(self.descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes from the offset on, fewer at the file's end."""
        with StoreErrors():
            return os.pread(self.descriptor, size, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from the offset on; return how many bytes there were."""
        read = 0
        with StoreErrors():
            while read < len(buffer):
                count = os.preadv(self.descriptor, [buffer[read:]], offset + read)
                if not count:
                    break
                read += count
        return read

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class StoredPack:
    """The bytes of a sealed pack, as the blob store gives them."""

    def __init__(self, store: BlobStore, name: str) -> None:
        self._store = store
        self._name = name

    def size(self) -> int:
        """Return how many bytes the pack has."""
        return self._store.size(self._name)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes from the offset on, fewer at the pack's end."""
        return self._store.get(self._name, ByteRange(offset, offset + size))

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from the offset on; return how many bytes there were."""
        found = self.read_at(offset, len(buffer))
        buffer[: len(found)] = found
        return len(found)


class EndedPack(StoredPack):
    """A sealed pack of known size; its end, where the footer is, is read at once and kept."""

    def __init__(self, store: BlobStore, name: str, size: int) -> None:
        super().__init__(store, name)
        self._size = size
        self._end_start = max(0, size - _END_SIZE)
        self._end: bytes | None = None

    def size(self) -> int:
        """Return how many bytes the pack has."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes from the offset on, fewer at the pack's end."""
        if offset < self._end_start:
            return super().read_at(offset, size)
        if self._end is None:
            self._end = super().read_at(self._end_start, self._size - self._end_start)
        start = offset - self._end_start
        return self._end[start : start + size]


def sealed_pack(store: BlobStore, name: str, size: int) -> PackFile | EndedPack:
    """Return a sealed pack of the store, as its file where that is on this machine.

    Raises:
        NotFoundError: the file is not there.
    """
    path = store.local_path(name)
    return EndedPack(store, name, size) if path is None else PackFile(path)


class PackReader:
    """Reads byte ranges of packs by their ordinal; keeps the files open. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        open_directory: Path,
        sealing: Sealing | None = None,
    ) -> None:
        self._sealing = sealing
        self._catalog = catalog
        self._store = store
        self._open_directory = open_directory
        self._lock = threading.Lock()
        self._files: OrderedDict[int, PackFile] = OrderedDict()
        self._expected: dict[int, PackRow] = {}
        self._seals: dict[int, PackSeal] = {}
        self._elsewhere: dict[int, str] = {}
        """Names of packs that no file of this machine holds, and never will again."""

    def expect(self, ordinal: int, pack: PackRow) -> None:
        """Learn of an open pack of this process before the catalog does."""
        with self._lock:
            self._expected[ordinal] = pack

    def read(self, ordinal: int, offset: int, size: int) -> bytes:
        """Return `size` bytes of the pack from `offset` on.

        Raises:
            IntegrityError: the pack is missing or shorter than that.
            StoreError: the disk failed.
        """
        name = self._elsewhere.get(ordinal)
        file = self._cached(ordinal) if name is None else None
        if file is not None:
            with StoreErrors():
                found = os.pread(file.descriptor, size, offset)
        else:
            found = self._read_remote(ordinal, name, offset, size)
        if len(found) < size:
            message = f"pack {self._name(ordinal)} ends before byte {offset + size}"
            raise IntegrityError(message)
        return found

    def seal(self, ordinal: int) -> PackSeal | None:
        """Return what seals a pack; None where nothing is encrypted.

        Raises:
            IntegrityError: the repository has no such key, or the catalog no such pack.
        """
        if self._sealing is None:
            return None
        seal = self._seals.get(ordinal)
        if seal is None:
            row = self._row(ordinal)
            if len(self._seals) >= _SEALS:
                self._seals.clear()
            seal = self._seals[ordinal] = self._sealing.pack(row.id, row.key_number)
        return seal

    def open_file(self, ordinal: int) -> PackFile | None:
        """Open the pack's local file; None where the store has it elsewhere.

        A pack that is being sealed is moved from one place to the other, at any moment.

        Raises:
            MissingPackError: it is in neither.
            StoreError: the disk failed.
        """
        for _ in range(2):
            pack = self._row(ordinal)
            sealed = self._store.local_path(pack_blob_name(pack.id))
            places = [sealed, self._open_path(pack)]
            for path in reversed(places) if pack.state is PackState.OPEN else places:
                try:
                    with StoreErrors():
                        if path is not None:
                            return PackFile(path)
                except NotFoundError:
                    continue
            if sealed is None:
                return None
        message = f"pack {self._name(ordinal)} is missing"
        raise MissingPackError(message)

    def doubt(self, ordinal: int) -> bool:
        """Forget copies of a pack that was found damaged; True: another read may be better."""
        return self._store.doubt(pack_blob_name(self._row(ordinal).id))

    def let_go_of_removed(self) -> None:
        """Close the files of packs that were removed."""
        with self._lock, self._catalog.read() as transaction:
            for ordinal in list(self._files):
                pack = transaction.pack(ordinal) or self._expected.get(ordinal)
                if pack is None or pack.state is PackState.REMOVED:
                    del self._files[ordinal]
                    self._seals.pop(ordinal, None)

    def close(self) -> None:
        """Close the files that no reader is using."""
        with self._lock:
            self._files.clear()

    def _cached(self, ordinal: int) -> PackFile | None:
        with self._lock:
            file = self._files.get(ordinal)
            if file is not None:
                self._files.move_to_end(ordinal)
                return file
        file = self.open_file(ordinal)
        if file is not None:
            with self._lock:
                self._files[ordinal] = file
                if len(self._files) > _OPEN_FILES:
                    self._files.popitem(last=False)
        return file

    def _open_path(self, pack: PackRow) -> Path | None:
        if not pack.process:
            return None
        return self._open_directory / open_pack_name(pack.process, pack.id)

    def _read_remote(self, ordinal: int, name: str | None, offset: int, size: int) -> bytes:
        if name is None:
            name = pack_blob_name(self._row(ordinal).id)
            if len(self._elsewhere) >= _SEALS:
                self._elsewhere.clear()
            self._elsewhere[ordinal] = name
        try:
            return self._store.get(name, ByteRange(offset, offset + size))
        except NotFoundError as error:
            self._elsewhere.pop(ordinal, None)
            message = f"pack {name} is missing"
            raise MissingPackError(message) from error

    def _row(self, ordinal: int) -> PackRow:
        expected = self._expected.get(ordinal)
        with self._catalog.read() as transaction:
            pack = transaction.pack(ordinal)
        if pack is not None:
            self._expected.pop(ordinal, None)
        elif expected is None:
            message = f"the catalog names pack number {ordinal}, which it does not know"
            raise MissingPackError(message)
        return pack or expected  # type: ignore[return-value]

    def _name(self, ordinal: int) -> str:
        return self._row(ordinal).id.hex()
