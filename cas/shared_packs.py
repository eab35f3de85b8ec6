"""The open packs of a gateway: on this machine's disk until they are full or a commit needs them.

Chunks, nodes and commits go to one pack, which a commit stores before it moves a ref. Nothing of
it is known to anybody before that, so of a process that died nothing is missed.
"""

from __future__ import annotations

from collections.abc import Iterable

from cas.catalog import PackRow, PackState
from cas.errors import CasError, StoreError
from cas.open_packs import OpenPacks
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind, Record
from cas.packs import OpenPack, PackWriter, locations_of
from cas.reliance import Reliance


class SharedPacks(OpenPacks):
    """Open packs that are stored in a blob store which other gateways use too."""

    def _make_writers(self) -> dict[PackKind, PackWriter]:
        mixed = PackWriter(lambda: self._make_pack(PackKind.MIXED))
        return dict.fromkeys(PackKind, mixed)

    def append(self, kind: PackKind, records: list[Record], relies: Reliance) -> None:
        """Append objects to the open pack, and store what gets full.

        Raises:
            StoreError, StoreFullError: the disk or the blob store failed or is full; nothing
                refers to what was written.
        """
        super().append(kind, records, relies)
        for pack in relies.packs:
            if pack.is_stored:  # by a commit, before this one's records were among the pending
                self._drop_pending(pack)

    def write(self, kind: PackKind, records: list[Record]) -> None:
        """Append objects and return once they are stored and the catalog finds them.

        Raises:
            StoreError, StoreFullError: as `append`.
        """
        relies = Reliance()
        self.append(kind, records, relies)
        self.store(relies.packs)

    def store(self, packs: Iterable[OpenPack]) -> None:
        """Return once all these packs are in the blob store; those that are filled end here.

        Raises:
            StoreError: one is not, and must not be relied on.
        """
        for pack in packs:
            self._writers[PackKind.MIXED].leave(pack)
            self.seal(pack)

    def seal(self, pack: OpenPack) -> None:
        """Finish a pack that nobody appends to any more, store it, and tell the catalog."""
        with pack.store_lock:
            if pack.is_stored:
                return
            if pack.failed:
                message = "what was sent could not be stored: send it again"
                raise StoreError(message, transient=True)
            try:
                pack.finish()
                with self._catalog.read() as transaction:
                    since = transaction.epoch()
                self._store.put_file(pack_blob_name(pack.id), pack.path)
                self._announce_stored(pack, since)
                pack.is_stored = True
            except CasError:
                pack.failed = True
                raise
            finally:
                self._drop_pending(pack)
                pack.abandon()
        self.refill_ordinals()

    def _announce_stored(self, pack: OpenPack, since: int) -> None:
        """Tell the catalog of a pack that was stored in the epoch `since`, or later.

        Raises:
            StoreError: a collection has found nothing that names it, and condemned it.
        """
        row = PackRow(
            pack.id,
            pack.kind,
            PackState.SEALED,
            self._process_id,
            pack.size,
            len(pack.places),
            pack.key_number,
        )
        with self._catalog.write() as transaction:
            known = transaction.known_epoch()
            if known.forgotten > since or pack.id in {*known.condemned, *known.removed}:
                message = "what was sent was collected at once: send it again"
                raise StoreError(message, transient=True)
            transaction.put_pack(pack.ordinal, row)
            transaction.put_locations(locations_of(pack.ordinal, pack.places, pack.entered))
