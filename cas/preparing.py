"""What is looked at before a repository is open: its keys, and this machine's directory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cas.errors import InvalidError, NotFoundError
from cas.keys import OpenKeys, Unlock, open_keys
from cas.stores.base import BlobStore
from cas.stores.names import CONFIG_NAME
from cas.stores.shared import SharedStore


def read_keys(store: BlobStore, unlock: Unlock | None) -> OpenKeys:
    """Return what a repository computes with, by its config.

    Raises:
        NotFoundError: there is no repository.
        WrongKeyError: it is encrypted, and does not open.
        FormatError: it was made by a newer program, or is damaged.
    """

    def read() -> bytes:
        try:
            return store.read(CONFIG_NAME)[0]
        except NotFoundError as error:
            message = f"there is no repository at {store.location}: make one with `casdav init`"
            raise NotFoundError(message) from error

    return open_keys(read, unlock)


def local_directory(store: BlobStore) -> tuple[Path, bool]:
    """Return where this machine keeps its part, and whether that ends with the process."""
    directory = store.machine_directory
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="casdav-")), True
    return directory, False


def refuse_other_durability(store: BlobStore, *, is_shared: bool) -> None:
    """Refuse a location that says otherwise than the repository who writes to it.

    Raises:
        InvalidError: it is for several gateways and the location not, or the other way round.
    """
    if is_shared and store.is_staging:
        message = f"several gateways share {store.location}: add durability=remote to the location"
        raise InvalidError(message)
    if not is_shared and isinstance(store, SharedStore):
        message = f"{store.location} is of one gateway: leave durability=remote out"
        raise InvalidError(message)
