"""From a location, as people write it, to a blob store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from cas.errors import InvalidError
from cas.stores.base import BlobStore
from cas.stores.local import LocalStore
from cas.stores.memory import MemoryStore

# A scheme of one letter would be a drive of Windows.
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def open_store(location: str | Path, *, create: bool = False) -> BlobStore:
    """Return the blob store at a location: a path, `file:///path` or `memory:`.

    With `create`, a local store's directory is made where it is missing. Each `memory:` is a
    new, empty store.

    Raises:
        InvalidError: the location is not understood.
        NotFoundError: there is no such directory.
        StoreError: the directory cannot be made.
    """
    if location == "":
        raise InvalidError("the location of the repository is empty: name a directory")
    match = _SCHEME.match(location) if isinstance(location, str) else None
    if match is None:
        return _open_directory(Path(location), create)
    opener = _OPENERS.get(match[1].lower())
    if opener is None:
        raise InvalidError(
            f"unknown kind of location {match[0]!r}: use a path, file:///path or memory:, "
            f"and for a directory of that name ./{location}"
        )
    return opener(str(location), create)


def _open_directory(path: Path, create: bool) -> BlobStore:  # noqa: FBT001
    return LocalStore.create(path) if create else LocalStore(path)


def _open_file_url(location: str, create: bool) -> BlobStore:  # noqa: FBT001
    url = urlsplit(location)
    path = unquote(url.path, errors="surrogateescape")
    if url.netloc not in {"", "localhost"} or url.query or url.fragment or not path.startswith("/"):
        raise InvalidError(f"{location!r} names no local directory: write file:///path")
    return _open_directory(Path(path), create)


def _open_memory(location: str, _create: bool) -> BlobStore:  # noqa: FBT001
    if location.lower() != "memory:":
        raise InvalidError(f"{location!r}: a store in memory has no name, write memory:")
    return MemoryStore()


def _open_bucket(location: str, _create: bool) -> BlobStore:  # noqa: FBT001
    raise InvalidError(f"{location!r}: buckets are not supported yet, use a local directory")


_OPENERS: Final[dict[str, Callable[[str, bool], BlobStore]]] = {
    "file": _open_file_url,
    "memory": _open_memory,
    "s3": _open_bucket,
}
