"""What is looked at before a repository is open: its keys, and this machine's directory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cas.disk import StoreErrors, sync_directory
from cas.errors import InvalidError, NotFoundError, StoreError
from cas.keys import OpenKeys, Unlock, open_keys
from cas.stores.base import BlobStore
from cas.stores.names import CONFIG_NAME
from cas.stores.shared import SharedStore

if TYPE_CHECKING:
    from cas.exchange import Exchange


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


def make_open_directory(local: Path) -> Path:
    """Return the directory of open packs, made where it is missing.

    Raises:
        StoreError, StoreFullError: the disk failed or is full.
    """
    open_directory = local / "open"
    with StoreErrors():
        open_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (local, local.parent):
            sync_directory(directory)  # or a power cut takes the open packs' directory
    return open_directory


def open_exchange(
    url: str, identity: bytes, failing: ExitStack, *, is_shared: bool
) -> Exchange | None:
    """Return the way to what gateways share beside the bucket; None without a URL.

    `failing` closes it if the repository does not open.

    Where it does not answer that is logged: edits are refused until it does.

    Raises:
        InvalidError: the URL is none of Redis, or the repository is of one machine.
        StoreError: it refuses the user or password of the URL.
    """
    if not url:
        return None
    if not is_shared:
        raise InvalidError(
            "locks in Redis are for gateways that share a bucket with durability=remote: this "
            "repository keeps its locks by itself, leave --locks out"
        )
    from cas.exchange import Exchange  # noqa: PLC0415 - few need the library, which loads slowly

    exchange = Exchange(url, identity)
    failing.callback(exchange.close)
    try:
        exchange.check()
    except StoreError as error:
        if not error.transient:
            raise
    return exchange


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
        message = (
            f"{store.location} was made for several gateways: leave durability=local out of the "
            "location"
        )
        raise InvalidError(message)
    if not is_shared and isinstance(store, SharedStore):
        message = (
            f"{store.location} was made for one gateway: put durability=local into the location"
        )
        raise InvalidError(message)
