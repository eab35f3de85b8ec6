"""Taking over a bucket whose gateway is gone, with what it had uploaded and no more.

1. The bucket names this gateway as the one who writes; the one before looks before it uploads.
2. Every ref is written anew. The one before moves none that it does not know: if it was between
   its look and its move, that fails.
3. The refs say that the journal ends with the newest record in any pack: of those beyond the refs
   there may be gaps, as open packs never came to the bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cas.errors import InvalidError
from cas.formats import REGISTRY_ID
from cas.ids import Identifier, Kind, ObjectId
from cas.journal import JournalRecord
from cas.keys import Unlock
from cas.objects import decode
from cas.pack_reader import StoredPack, sealed_pack
from cas.packfile import HEADER_SIZE, RECORD_OVERHEAD, decode_header, read_footer
from cas.packs import location_of
from cas.preparing import read_keys
from cas.records import open_record
from cas.refs import move_ref, new_ref, read_refs
from cas.stores.base import BlobStore
from cas.stores.gateway_store import GatewayStore
from cas.stores.opening import open_working_store
from cas.stores.ownership import Writer, find_writer
from cas.stores.shared import SharedStore

_READERS = 16


class Takeover(NamedTuple):
    """Who wrote to the bucket before, if anybody did, and the newest that it has of him.

    `newest` is when a ref was last moved there: what was acknowledged later may be lost. `aside`
    is where this machine's own part was moved, if it had one.
    """

    before: Writer | None
    newest: datetime | None
    volumes: int
    is_ours: bool
    aside: Path | None


def take_over(
    location: str | Path, *, is_dry_run: bool = False, unlock: Unlock | None = None
) -> Takeover:
    """Become the gateway that writes to the bucket at a location; with `is_dry_run`, only look.

    The one before must be stopped: what it acknowledged and has not uploaded is lost to the
    bucket, and stays on its disk.

    Raises:
        InvalidError: the location is no bucket, or the bucket is for several gateways.
        NotFoundError: there is no repository.
        WrongKeyError: it is encrypted, and does not open.
        ConflictError: another gateway takes it over at this moment.
        StoreError: the bucket cannot be reached.
    """
    store = open_working_store(location)
    if not isinstance(store, GatewayStore):
        why = "is for several gateways" if isinstance(store, SharedStore) else "is no bucket"
        raise InvalidError(f"{store.location} {why}: nobody has to take it over")
    try:
        return take_over_store(store, is_dry_run=is_dry_run, unlock=unlock)
    finally:
        store.close()


def take_over_store(
    store: GatewayStore, *, is_dry_run: bool = False, unlock: Unlock | None = None
) -> Takeover:
    """As `take_over`, of a store that has not begun."""
    remote = store.remote
    identifier = read_keys(remote, unlock).identifier
    found = find_writer(remote)
    refs = [written for _, _, written in remote.list_dated("refs")]
    newest = datetime.fromtimestamp(max(refs), UTC) if refs else None
    is_ours = found is not None and store.is_named(found[0])
    aside = None
    if not is_dry_run and not is_ours:
        aside = store.take_over(found[1] if found else None)
        end_journal(remote, identifier)
    return Takeover(found[0] if found else None, newest, max(0, len(refs) - 1), is_ours, aside)


def end_journal(store: BlobStore, identifier: Identifier) -> None:
    """Write all refs anew; they say that the journal ends with the newest record in any pack."""
    refs = read_refs(store, identifier)
    newest = max(((ref.journal, ref.journal_id) for ref in refs), default=(0, b""))
    packs = store.list("packs")

    def look(found: tuple[str, int]) -> tuple[int, bytes]:
        return max(_journal_records(store, identifier, *found, newest[0]), default=(0, b""))

    with ThreadPoolExecutor(_READERS) as pool:
        newest = max([newest, *pool.map(look, packs)])
    for ref in sorted(refs, key=lambda each: each.volume_id == REGISTRY_ID):
        move_ref(
            store,
            identifier,
            new_ref(ref.volume_id, ObjectId(ref.commit), ref.sequence, *newest),
        )


def _journal_records(
    store: BlobStore, identifier: Identifier, name: str, size: int, after: int
) -> Iterator[tuple[int, bytes]]:
    """Yield number and id of the journal records of a pack that may be beyond a number."""
    pack = sealed_pack(store, name, size)
    seal = None
    if identifier.sealing is not None:
        header = decode_header(StoredPack(store, name).read_at(0, HEADER_SIZE), is_sealed=True)
        seal = identifier.sealing.pack(header.id, header.key_number)
    footer = read_footer(pack.read_at, size, seal)
    if footer.last_journal <= after:
        return
    for number, place in enumerate(footer.places):
        if place.kind is Kind.JOURNAL:
            stored = pack.read_at(place.offset + RECORD_OVERHEAD, place.stored_size)
            location = location_of(0, number, place)
            encoded = open_record(identifier, place.kind, place.id, location, stored, seal)
            yield decode(encoded, JournalRecord).number, bytes(place.id)
