"""Taking damaged packs out of use where several gateways share the blob store.

By the protocol of a collection (`shared_collection`), for which all that is sound is live: the
packs are condemned in the object `epoch`, the refs are fenced, what is sound is stored elsewhere,
and only then do the packs go. So nobody can come to lean on them, and nobody has to stop.
"""

from __future__ import annotations

from collections.abc import Sequence

from cas.consolidation import publish_without
from cas.engine import Engine
from cas.epochs import EpochRecord, read_epoch, update_epoch
from cas.errors import LockedError
from cas.gateway import Gateway
from cas.index_upkeep import sweep
from cas.maintenance.checked_pack import CheckedPack
from cas.maintenance.quarantine import Quarantine, records_of
from cas.maintenance.shared_emptying import refuse_missing
from cas.pack_index import PackIndex
from cas.packfile import PackKind, RecordPlace
from cas.reliance import Reliance
from cas.shared_packs import SharedPacks


class SharedQuarantine(Quarantine):
    """Takes damaged packs out of use for all gateways. For one thread, which has the claim."""

    def __init__(self, engine: Engine, gateway: Gateway, index: PackIndex) -> None:
        super().__init__(engine)
        self._gateway = gateway
        self._index = index
        self._started = self._record = EpochRecord()
        self._ids: set[bytes] = set()
        self._gone: set[bytes] = set()

    def begin(self) -> None:
        """Forget what others have deleted, and remember what a collection has left."""
        sweep(self._engine.catalog)
        self._started, _ = read_epoch(self._engine.store, self._identifier)

    def condemn(self, ordinals: Sequence[int]) -> None:
        """Let no gateway find anything in these packs any more, nor commit what leans on them.

        Raises:
            LockedError: a collection on another gateway has begun meanwhile.
        """
        with self._engine.catalog.read() as transaction:
            rows = [transaction.pack(ordinal) for ordinal in ordinals]
        self._ids = {row.id for row in rows if row is not None}
        before = self._started.condemned

        def condemned(record: EpochRecord) -> EpochRecord:
            if record.condemned != before:
                raise LockedError("a gc on another gateway has condemned packs meanwhile")
            return record.condemning(self._ids)

        self._record = update_epoch(self._engine.store, self._identifier, condemned)
        self._gateway.learn_epoch()
        self._gateway.fence(self._record.number)
        self._gateway.catch_up()
        publish_without(self._index, self._ids)
        listed = {pack.id for pack in self._index.listed()}
        self._gone = set(self._record.condemned) - listed  # those that a repair is about, too

    def copy(self, pack: CheckedPack, sound: Sequence[RecordPlace]) -> None:
        """Write records of a damaged pack to a new one, and store that.

        Raises:
            StoreError, StoreFullError: the blob store failed or is full; the pack is as it was.
        """
        packs = self._engine.chunks.open_packs
        if not isinstance(packs, SharedPacks):
            raise TypeError("these packs are of this machine alone")
        relies = Reliance()
        for records in records_of(pack, sound):
            packs.append(PackKind.MIXED, records, relies)
        packs.store(relies.packs)

    def remove(self, ordinal: int, pack_id: bytes) -> None:
        """Delete the pack; its file stays in the quarantine.

        Raises:
            LockedError: another gateway collects; it is done another time.
        """
        refuse_missing(self._engine.store, set(self._record.condemned) - self._gone)
        super().remove(ordinal, pack_id)
        self._gone.add(pack_id)

    def end(self) -> None:
        """Say which packs are gone, so that every gateway forgets them."""
        gone = self._gone & self._ids
        if gone:
            update_epoch(self._engine.store, self._identifier, lambda record: record.removing(gone))
            self._gateway.learn_epoch()
            sweep(self._engine.catalog)
