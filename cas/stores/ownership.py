"""Which gateway may write to a bucket while its newest data lie on that gateway's disk.

The object `writer` names it. Whoever takes the bucket over writes his own name there first, and
then every ref anew: the one before finds refs that he has not written, and stops.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Final

import msgspec

from cas.disk import StoreErrors
from cas.errors import ConflictError, LockedError, NotFoundError
from cas.stores.base import BlobStore, Token

WRITER: Final = "writer"


class Writer(msgspec.Struct, frozen=True):
    """The gateway that writes: its random id, its host's name, and when it began (RFC 3339)."""

    id: str
    host: str
    since: str


def gateway_id(directory: Path) -> str:
    """Return this machine's id for a bucket, made where it is missing."""
    path = directory / "gateway"
    with StoreErrors():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            new = directory / f"gateway-{secrets.token_hex(8)}"
            new.write_text(secrets.token_hex(16))
            try:
                path.hardlink_to(new)
            except FileExistsError:  # another process was faster
                pass
            finally:
                new.unlink()
        return path.read_text()


def find_writer(store: BlobStore) -> tuple[Writer, Token] | None:
    """Return who may write, and the token of that record; None where nobody does yet."""
    try:
        document, token = store.read(WRITER)
    except NotFoundError:
        return None
    return msgspec.json.decode(document, type=Writer), token


def claim(store: BlobStore, gateway: str, now: str) -> bool:
    """Become the one who writes, if nobody else is; return whether that is new.

    Raises:
        LockedError: it is another gateway.
    """
    found = find_writer(store)
    if found is None:
        try:
            write(store, gateway, now, None)
        except ConflictError:
            found = find_writer(store)
        else:
            return True
    if found is None or found[0].id != gateway:
        raise LockedError(_refusal(store, found[0] if found else None))
    return False


def write(store: BlobStore, gateway: str, now: str, expected: Token | None) -> None:
    """Name this gateway in the bucket.

    Raises:
        ConflictError: another was faster.
    """
    record = Writer(gateway, socket.gethostname(), now)
    store.replace(WRITER, msgspec.json.encode(record), expected)


def _refusal(store: BlobStore, writer: Writer | None) -> str:
    who = f"the gateway on {writer.host!r} since {writer.since}" if writer else "another gateway"
    return (
        f"{store.location} is written to by {who}, and its newest data may lie there: stop it for "
        "good, then `casdav store takeover`"
    )
