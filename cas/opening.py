"""Making and opening repositories by their location."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from cas.clock import Clock, SystemClock
from cas.errors import AlreadyExistsError, CasError, NotFoundError
from cas.formats import encode_config, new_config
from cas.keys import NewKey, Unlock, new_encrypted_config
from cas.repository import Repository
from cas.stores.base import BlobStore
from cas.stores.names import CONFIG_NAME
from cas.stores.opening import open_working_store
from cas.stores.shared import SharedStore
from cas.stores.staged import StagedStore


def create(
    location: str | Path, *, clock: Clock | None = None, key: NewKey | None = None
) -> Repository:
    """Make a new repository at a path, `file:///path`, `s3://...` or `memory:`; open it.

    With a `key` it is encrypted, and opens with that alone.

    Raises:
        AlreadyExistsError: there is one already, or other files are in the way.
        InvalidError: the location is not understood.
        StoreError: it cannot be written.
    """
    store = open_working_store(location, create=True)
    is_shared = isinstance(store, SharedStore)
    try:
        return create_in(store, clock or SystemClock(), key, is_shared=is_shared)
    except CasError:
        if isinstance(store, SharedStore | StagedStore):
            _remove_unused(store.root)  # of a bucket that was named wrongly
        raise


def _remove_unused(root: Path) -> None:
    """Remove a directory in which there is nothing but the id that a gateway gives itself."""
    files = {path for path in root.rglob("*") if not path.is_dir()}
    if files <= {root / "gateway"}:
        shutil.rmtree(root, ignore_errors=True)


def create_in(
    store: BlobStore, clock: Clock, key: NewKey | None = None, *, is_shared: bool = False
) -> Repository:
    """Make a new repository in a blob store and open it; `is_shared`: for several gateways.

    Raises:
        AlreadyExistsError, StoreError: as `create`.
    """
    try:
        store.read(CONFIG_NAME)
    except NotFoundError:
        _refuse_other_files(store)
        created = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat(timespec="seconds")
        if key is None:
            store.replace(
                CONFIG_NAME, encode_config(new_config(created, is_shared=is_shared)), None
            )
            return Repository(store, clock)
        config = new_encrypted_config(created, key, is_shared=is_shared)
        store.replace(CONFIG_NAME, encode_config(config), None)
        return Repository(store, clock, unlock=lambda: key)
    message = f"there is a repository at {store.location} already"
    raise AlreadyExistsError(message)


def open_repository(
    location: str | Path,
    *,
    clock: Clock | None = None,
    unlock: Unlock | None = None,
    locks: str = "",
) -> Repository:
    """Open the repository at a location; `unlock` is asked for its key if it is encrypted.

    `locks` is the URL of the Redis or Valkey that has the locks of several gateways.

    Raises:
        NotFoundError: there is none.
        WrongKeyError: it is encrypted, and does not open with what `unlock` returned.
        FormatError: it was made by a newer program.
        InvalidError: the location or URL is not understood, or `locks` is not for this repository.
        StoreError: it cannot be read or written, or Redis refuses the user or password.
    """
    store = open_working_store(location)
    return Repository(store, clock or SystemClock(), unlock=unlock, locks=locks)


def _refuse_other_files(store: BlobStore) -> None:
    other = store.find_stranger()
    if other is not None:
        is_bucket = store.is_staging or isinstance(store, SharedStore)
        place = "another prefix" if is_bucket else "an empty or a new directory"
        message = f"{store.location} is not empty, it holds {other!r}: take {place}"
        raise AlreadyExistsError(message)
