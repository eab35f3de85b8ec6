"""Parts of packs on this machine's disk, so that what is read again is not fetched again.

A file is a block of a pack, 1 MiB from a multiple of that on, and begins with a digest: what a
power cut or a bad disk has changed is fetched anew. Files come by rename and go by age of their
last use, so any number of processes may share the directory, and one may remove what another has
just looked for.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import xxhash

from cas.disk import StoreErrors, file_lock
from cas.errors import CasError
from cas.stores.base import ByteRange

BLOCK_SIZE: Final = 1 << 20
READ_AHEAD: Final = 4
"""Blocks that are fetched in one request where somebody reads on."""
_NEAR: Final = 2  # so many blocks before the end of what is here, more is fetched
_FETCHERS: Final = 4
_DIGEST_SIZE: Final = 8
_RECENT: Final = 16
_FOLLOWED: Final = 256
_USE_SECONDS: Final = 60.0
_KEPT_SHARE: Final = 0.9

Fetch = Callable[[str, ByteRange], bytes]
_Key = tuple[str, int]


class PackCache:
    """Blocks of packs by name and number. Shared by threads and processes of one machine."""

    def __init__(self, directory: Path, limit: int, fetch: Fetch) -> None:
        """Keep up to `limit` bytes, of what `fetch` gets from elsewhere."""
        self._directory = directory
        self._limit = limit
        self._fetch = fetch
        self._lock = threading.Lock()
        self._recent: OrderedDict[_Key, bytes] = OrderedDict()
        self._followed: OrderedDict[str, int] = OrderedDict()
        self._ends: dict[str, int] = {}
        self._coming: dict[_Key, Future[None]] = {}
        self._pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="casdav-fetch")
        with StoreErrors():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._size = sum(size for _, size, _ in self._files())

    def get(self, name: str, byte_range: ByteRange) -> bytes:
        """Return the bytes of a pack's range that lie within it.

        Raises:
            NotFoundError: the pack is nowhere.
            StoreError: it cannot be fetched.
        """
        start, stop = byte_range
        if start == stop:
            return b""
        first, last = start // BLOCK_SIZE, (stop - 1) // BLOCK_SIZE
        self._order(name, first, last)
        pieces = []
        for number in range(first, last + 1):
            block = self._block(name, number)
            pieces.append(block)
            if len(block) < BLOCK_SIZE:  # the pack ends here
                break
        offset = first * BLOCK_SIZE
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return content[start - offset : stop - offset]

    def put_file(self, name: str, path: Path) -> None:
        """Keep the blocks of a pack that is on the disk now, as far as there is room."""
        with suppress(OSError), path.open("rb") as file:
            number = 0
            while block := file.read(BLOCK_SIZE):
                self._write((name, number), block)
                number += 1

    def remove(self, name: str) -> None:
        """Let go of a pack that is gone, or of what may be damaged here."""
        with self._lock:
            for key in [key for key in self._recent if key[0] == name]:
                del self._recent[key]
        for path in self._directory.glob(f"{_folder(name)}/{name.rpartition('/')[2]}-*"):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _order(self, name: str, first: int, last: int) -> None:
        """Have what is missing fetched, and if somebody reads on, what comes next."""
        with self._lock:
            before = self._followed.pop(name, -2)
            self._followed[name] = last
            if len(self._followed) > _FOLLOWED:
                self._followed.popitem(last=False)
            end = self._ends.get(name, 1 << 60)
        reads_on = before in {first, first - 1} and last > 0
        near = last + _NEAR if reads_on else last
        missing = [
            each for each in range(first, min(near + 1, end)) if self._is_missing(name, each)
        ]
        if missing and reads_on:
            missing = [*range(missing[0], min(max(last + 1, missing[0] + READ_AHEAD), end))]
        while missing:
            run = [each for at, each in enumerate(missing[:READ_AHEAD], missing[0]) if at == each]
            self._submit(name, run)
            missing = missing[len(run) :]

    def _is_missing(self, name: str, number: int) -> bool:
        key = (name, number)
        with self._lock:
            if key in self._recent or key in self._coming:
                return False
        return not self._path(key).exists()

    def _submit(self, name: str, numbers: list[int]) -> None:
        with self._lock:
            keys = [(name, number) for number in numbers if (name, number) not in self._coming]
            if not keys:
                return
            try:
                future = self._pool.submit(self._fetch_run, keys)
            except RuntimeError:  # closed; `_block` fetches what is needed
                return
            for key in keys:
                self._coming[key] = future

    def _fetch_run(self, keys: list[_Key]) -> None:
        name, first = keys[0]
        try:
            wanted = ByteRange(first * BLOCK_SIZE, (keys[-1][1] + 1) * BLOCK_SIZE)
            content = self._fetch(name, wanted)
            if len(content) < wanted.stop - wanted.start:
                self._note_end(name, first + -(-len(content) // BLOCK_SIZE))
            for number, start in enumerate(range(0, len(content), BLOCK_SIZE), first):
                block = content[start : start + BLOCK_SIZE]
                self._remember((name, number), block)
                self._write((name, number), block)
        finally:
            with self._lock:
                for key in keys:
                    self._coming.pop(key, None)

    def _block(self, name: str, number: int) -> bytes:
        key = (name, number)
        with self._lock:
            coming = self._coming.get(key)
        if coming is not None:
            with suppress(CasError):  # asked again below, for the error to be told here
                coming.result()
        with self._lock:
            found = self._recent.get(key)
            if found is not None:
                self._recent.move_to_end(key)
                return found
        found = self._read(key)
        if found is None:
            start = number * BLOCK_SIZE
            found = self._fetch(name, ByteRange(start, start + BLOCK_SIZE))
            if found:
                self._write(key, found)
        self._remember(key, found)
        return found

    def _note_end(self, name: str, blocks: int) -> None:
        """Remember how many blocks a pack has, so that what is behind is not asked for."""
        with self._lock:
            if len(self._ends) > _FOLLOWED:
                self._ends.clear()
            self._ends[name] = blocks

    def _remember(self, key: _Key, block: bytes) -> None:
        with self._lock:
            self._recent[key] = block
            self._recent.move_to_end(key)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def _read(self, key: _Key) -> bytes | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                stored = file.read()
                if time.time() - os.fstat(file.fileno()).st_mtime > _USE_SECONDS:
                    os.utime(path)
        except OSError:
            return None
        block = stored[_DIGEST_SIZE:]
        if stored[:_DIGEST_SIZE] == _digest(key, block):
            return block
        path.unlink(missing_ok=True)
        return None

    def _write(self, key: _Key, block: bytes) -> None:
        """Keep a block; a disk that takes none is no error here."""
        path = self._path(key)
        new = self._directory / f"new-{secrets.token_hex(8)}"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with new.open("xb") as file:
                file.write(_digest(key, block))
                file.write(block)
            new.rename(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            return
        with self._lock:
            self._size += _DIGEST_SIZE + len(block)
            is_full = self._size > self._limit
        if is_full:
            self._make_room()

    def _make_room(self) -> None:
        """Remove what was not used for longest, unless another process is at it."""
        with suppress(CasError), file_lock(self._directory / "lock", wait=False) as is_mine:
            if not is_mine:
                return
            files = sorted(self._files())
            size = sum(size for _, size, _ in files)
            for _, used, path in files:
                if size <= self._limit * _KEPT_SHARE:
                    break
                with suppress(OSError):
                    path.unlink()
                size -= used
            with self._lock:
                self._size = size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was last used, its size in bytes, and its path."""
        for path in self._directory.glob("*/*-*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

    def _path(self, key: _Key) -> Path:
        name, number = key
        return self._directory / _folder(name) / f"{name.rpartition('/')[2]}-{number}"


def _folder(name: str) -> str:
    return name.rpartition("/")[2][:2]


def _digest(key: _Key, block: bytes) -> bytes:
    hasher = xxhash.xxh3_64(f"{key[0]}-{key[1]}".encode())
    hasher.update(block)
    return hasher.digest()
