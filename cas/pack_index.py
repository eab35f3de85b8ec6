"""Learning where things lie from the packs that other gateways have stored.

The footer of a pack tells what is in it. A ref names the packs of its last commits; all others
are found by a listing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from cas.catalog import Catalog, PackRow, PackState
from cas.errors import IntegrityError, NotFoundError
from cas.pack_reader import pack_blob_name
from cas.packfile import Footer, PackKind, read_footer
from cas.packs import locations_of
from cas.sealing import PackSeal, Sealing
from cas.stores.base import BlobStore, ByteRange

_END_SIZE: Final = 64 * 1024
"""Bytes at a pack's end that are asked for at once: most footers fit."""
_READERS: Final = 8
_READ_AT_ONCE: Final = 256
_FEW: Final = 8
_logger = logging.getLogger(__name__)


class NamedPack(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pack in the blob store: its id, and its size in bytes."""

    id: bytes
    size: int


class _Read(NamedTuple):
    pack: NamedPack
    footer: Footer
    key_number: int


class PackIndex:
    """Enters packs of the blob store in the catalog. Shared by threads."""

    def __init__(self, catalog: Catalog, store: BlobStore, sealing: Sealing | None) -> None:
        self._catalog = catalog
        self._store = store
        self._sealing = sealing

    def learn(self, packs: Iterable[NamedPack]) -> bool:
        """Enter those packs that the catalog does not know; return whether there were any.

        A pack whose footer is damaged or that is gone is left out, with a word in the log.
        """
        with self._catalog.read() as transaction:
            unknown = [pack for pack in packs if transaction.pack_ordinal(pack.id) is None]
        entered = False
        for read in self._read_all(unknown):
            self._enter(read)
            entered = True
        return entered

    def look_for_new(self) -> bool:
        """List the packs and enter those that the catalog does not know; True if any."""
        listed = self._store.list("packs")
        return self.learn(
            NamedPack(bytes.fromhex(name.rpartition("/")[2]), size) for name, size in listed
        )

    def _read_all(self, packs: list[NamedPack]) -> Iterator[_Read]:
        if len(packs) <= _FEW:
            yield from (read for pack in packs if (read := self._read(pack)) is not None)
            return
        remaining = iter(packs)
        with ThreadPoolExecutor(_READERS) as pool:  # each waits for an answer
            while some := list(islice(remaining, _READ_AT_ONCE)):
                yield from (read for read in pool.map(self._read, some) if read is not None)

    def _read(self, pack: NamedPack) -> _Read | None:
        name = pack_blob_name(pack.id)
        start = max(0, pack.size - _END_SIZE)
        try:
            end = self._store.get(name, ByteRange(start, pack.size))

            def read_at(offset: int, size: int) -> bytes:
                if offset < start:
                    return self._store.get(name, ByteRange(offset, offset + size))
                return end[offset - start : offset - start + size]

            for seal in self._seals(pack.id):
                try:
                    footer = read_footer(read_at, pack.size, seal)
                except IntegrityError:
                    continue
                return _Read(pack, footer, 0 if seal is None else seal.key_number)
        except NotFoundError:
            _logger.info("%s is gone already", name)
            return None
        _logger.error("the footer of %s is damaged: what it holds is not found here", name)
        return None

    def _seals(self, pack_id: bytes) -> Iterable[PackSeal | None]:
        return [None] if self._sealing is None else list(self._sealing.candidates(pack_id))

    def _enter(self, read: _Read) -> None:
        places = read.footer.places
        kind = PackKind.MIXED
        with self._catalog.write() as transaction:
            if transaction.pack_ordinal(read.pack.id) is not None:
                return
            ordinal = transaction.reserve_ordinals(1)
            state = PackState.SEALED
            size, records = read.pack.size, len(places)
            row = PackRow(read.pack.id, kind, state, b"", size, records, read.key_number)
            transaction.put_pack(ordinal, row)
            transaction.put_locations(locations_of(ordinal, places))
