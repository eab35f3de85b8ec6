"""Emptying condemned packs of a blob store that several gateways share.

Live records are copied to new packs, chunks and nodes apart, and these are stored before anything
is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from cas.catalog import PackRow
from cas.engine import Engine
from cas.errors import CasError, IntegrityError, LockedError, NotFoundError
from cas.ids import Kind
from cas.maintenance.emptying import Emptying
from cas.maintenance.liveness import Liveness
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind, Record, RecordPlace
from cas.reliance import Reliance
from cas.shared_packs import SharedPacks
from cas.stores.base import BlobStore

_logger = logging.getLogger(__name__)


class SharedEmptying(Emptying):
    """Takes packs apart that nothing can come to lean on any more. For one thread."""

    def __init__(self, engine: Engine, liveness: Liveness) -> None:
        super().__init__(engine, liveness)
        self._chunk_copies = self._packs(engine)
        self._node_copies = self._packs(engine)
        self._relies = Reliance()
        self._emptied: list[tuple[int, PackRow, list[RecordPlace]]] = []

    def copy(self, ordinal: int) -> bool:
        """Copy what is live in a pack to open packs; False if that cannot be.

        Raises:
            LockedError: the pack is gone: another collection is at work.
            StoreError, StoreFullError: the blob store failed or is full.
        """
        with self._catalog.read() as transaction:
            row = transaction.pack(ordinal)
        if row is None:
            return False
        try:
            places = self._places(row)
            self._copy_live(ordinal, row, places)
        except (IntegrityError, NotFoundError):
            self.refuse_missing([row.id])
            _logger.exception("pack %s holds something live that is damaged", row.id.hex())
            self.damaged.append(row.id.hex())
            return False
        self._emptied.append((ordinal, row, places))
        return True

    def store(self) -> None:
        """Return once all copies are in the blob store, and the catalog finds them there.

        Raises:
            StoreError: one is not.
        """
        for packs in (self._chunk_copies, self._node_copies):
            packs.seal_current()
        for pack in self._relies.packs:
            if not pack.is_stored:
                raise IntegrityError(f"pack {pack.id.hex()} was not stored")
        self._relies = Reliance()

    def refuse_missing(self, pack_ids: Iterable[bytes]) -> None:
        """Raise where one of these packs is not in the blob store any more.

        Raises:
            LockedError: one is gone.
        """
        refuse_missing(self._store, pack_ids)

    def delete_emptied(self) -> list[bytes]:
        """Forget and delete the packs that were copied; return their ids.

        Raises:
            IntegrityError: something live is still there; that pack and what follows stay.
            StoreError: the blob store cannot be reached.
        """
        emptied, self._emptied = self._emptied, []
        for ordinal, _, places in emptied:
            self._forget(ordinal, places)
        for _, row, _ in emptied:
            self._store.delete(pack_blob_name(row.id))
        return [row.id for _, row, _ in emptied]

    def close(self) -> None:
        """Store what was copied, so that the next collection need not copy it again."""
        for packs in (self._chunk_copies, self._node_copies):
            with suppress(CasError):
                packs.seal_current()

    def _write(self, kind: PackKind, records: list[Record]) -> None:
        chunks = [record for record in records if record.kind is Kind.CHUNK]
        nodes = [record for record in records if record.kind is not Kind.CHUNK]
        for packs, some in ((self._chunk_copies, chunks), (self._node_copies, nodes)):
            if some:
                packs.append(kind, some, self._relies)

    def _packs(self, engine: Engine) -> SharedPacks:
        chunks = engine.chunks
        return SharedPacks(
            engine.catalog,
            engine.store,
            engine.local / "open",
            engine.process.id,
            chunks.reader.expect,
            chunks.identifier.sealing,
        )


def refuse_missing(store: BlobStore, pack_ids: Iterable[bytes]) -> None:
    """Raise where one of these packs is not in the blob store any more.

    Raises:
        LockedError: one is gone.
    """
    names = {pack_blob_name(pack_id) for pack_id in pack_ids}
    if len(names) > 1:
        names -= {name for name, _ in store.list("packs")}
    for name in names:
        try:
            store.size(name)
        except NotFoundError as error:
            message = f"{name} is gone: a gc on another gateway is at work"
            raise LockedError(message) from error
