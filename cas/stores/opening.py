"""From a location, as people write it, to a blob store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from blake3 import blake3
from platformdirs import user_data_path

from cas.errors import InvalidError, NotFoundError
from cas.formats import SHARED, decode_stamp
from cas.stores.base import BlobStore
from cas.stores.bucket_location import parse_bucket_location
from cas.stores.local import LocalStore
from cas.stores.memory import MemoryStore
from cas.stores.names import CONFIG_NAME
from cas.stores.shared import SharedStore

# A scheme of one letter would be a drive of Windows.
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def open_store(location: str | Path, *, create: bool = False) -> BlobStore:
    """Return the blob store at a location.

    That is a path, `file:///path`, `memory:` or `s3://bucket/prefix?endpoint=URL`. With `create`,
    a local store's directory is made where it is missing. Each `memory:` is a new, empty store.

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
            f"unknown kind of location {match[0]!r}: use a path, file:///path, "
            f"s3://bucket/prefix or memory:, and for a directory of that name ./{location}"
        )
    return opener(str(location), create)


def open_working_store(location: str | Path, *, create: bool = False) -> BlobStore:
    """Return the store at a location as a gateway works on it; raises what `open_store` does.

    Before a bucket this puts a directory of this machine. A bucket is written to as the location
    says, or else as the repository there was made; with `create`, by several gateways.
    """
    store = open_store(location, create=create)
    if not isinstance(location, str) or not location.lower().startswith("s3:"):
        return store
    from cas.stores.gateway_store import CLAIMED, GatewayStore  # noqa: PLC0415 - as below

    where = parse_bucket_location(location)
    # Only what is not known by this machine's own part is asked for: the bucket may be away.
    parent = Path(where.local) if where.local else user_data_path("casdav") / "buckets"
    digest = blake3(str(where).encode()).hexdigest(length=8)
    alone = parent / f"{where.bucket}-{digest}"
    shared = parent / f"{where.bucket}-{digest}-shared"
    durability = where.durability
    if not durability and create:
        durability = "remote"
    if not durability:
        is_own = (alone / CLAIMED).exists()
        try:
            durability = "remote" if not is_own and _is_shared(store, shared) else "local"
        except BaseException:
            store.close()
            raise
    if durability == "remote":
        return SharedStore(store, shared, where.cache)
    return GatewayStore(store, alone, where.staging, where.cache)


def _is_shared(store: BlobStore, directory: Path) -> bool:
    """Whether a bucket is one of several gateways, as far as this machine or the bucket knows."""
    if (directory / "local" / "catalog").exists():
        return True
    try:
        document, _ = store.read(CONFIG_NAME)
    except NotFoundError:
        return True  # there is no repository, as will be said
    return SHARED in decode_stamp(document).write_features


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
    # boto3 takes a third of a second: whoever has no bucket does not wait for it.
    from cas.stores.bucket import BucketStore  # noqa: PLC0415

    return BucketStore(parse_bucket_location(location))


_OPENERS: Final[dict[str, Callable[[str, bool], BlobStore]]] = {
    "file": _open_file_url,
    "memory": _open_memory,
    "s3": _open_bucket,
}
