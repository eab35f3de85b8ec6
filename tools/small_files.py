"""Small files on their way into the store: gathered in bundles, stored by all cores.

One file at a time, most of the time would go by between the files and not in them.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

import cas

SMALL_SIZE: Final = 256 * 1024
"""Bytes up to which a file is stored in a bundle."""
_BUNDLE_SIZE: Final = 4 * 1024 * 1024
_BUNDLE_FILES: Final = 256


class _Bundle:
    """Files that are stored together, and then what came of it."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.size = 0
        self.future: Future[cas.StoredFiles] | None = None
        self._stored: cas.StoredFiles | None = None

    def stored(self) -> cas.StoredFiles:
        """Return the contents, once they are stored."""
        if self._stored is None:
            if self.future is None:
                raise RuntimeError("the bundle was not handed over")
            self._stored = self.future.result()
        return self._stored


class SmallFile:
    """One file of a bundle; its content is known after `SmallFiles.wait`."""

    def __init__(self, bundle: _Bundle, index: int) -> None:
        self._bundle = bundle
        self._index = index

    @property
    def stored(self) -> cas.StoredFiles:
        """What an edit that puts the content relies on."""
        return self._bundle.stored()

    @property
    def content(self) -> cas.Content:
        """The content as it went into the store."""
        return self._bundle.stored().contents[self._index]


class SmallFiles:
    """Stores small files of one volume in the background. Used by one thread; close it."""

    def __init__(self, volume: cas.Volume) -> None:
        count = os.cpu_count() or 1
        self._volume = volume
        self._pool = ThreadPoolExecutor(count, "casdav-small-files")
        self._waiting: deque[_Bundle] = deque()
        self._waiting_limit = 2 * count
        self._bundle = _Bundle()

    def add(self, content: bytes) -> SmallFile:
        """Take a file's bytes.

        Raises:
            cas.CasError: an earlier bundle could not be stored.
        """
        bundle = self._bundle
        bundle.files.append(content)
        bundle.size += len(content)
        file = SmallFile(bundle, len(bundle.files) - 1)
        if bundle.size >= _BUNDLE_SIZE or len(bundle.files) >= _BUNDLE_FILES:
            self._hand_over()
        return file

    def wait(self) -> None:
        """Return once all files are stored.

        Raises:
            cas.CasError: some could not be.
        """
        self._hand_over()
        while self._waiting:
            self._waiting.popleft().stored()

    def close(self) -> None:
        """End the threads; what is still waiting is not stored."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _hand_over(self) -> None:
        bundle, self._bundle = self._bundle, _Bundle()
        if not bundle.files:
            return
        bundle.future = self._pool.submit(_store, self._volume, bundle)
        self._waiting.append(bundle)
        if len(self._waiting) > self._waiting_limit:
            self._waiting.popleft().stored()


def _store(volume: cas.Volume, bundle: _Bundle) -> cas.StoredFiles:
    files, bundle.files = bundle.files, []  # the bytes go as soon as they are stored
    return volume.store(files)
