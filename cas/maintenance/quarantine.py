"""Taking a damaged pack out of use: what is sound in it is written anew, the file is kept aside.

Nothing is deleted, and nothing is put in the place of what is lost: the catalog forgets it. So it
is reported as missing, by every process, and stored when the same content comes again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cas.catalog import Location, PackState
from cas.compression import Codec
from cas.disk import StoreErrors, sync_directory
from cas.engine import Engine
from cas.errors import CasError, NotFoundError
from cas.ids import Identifier, Kind, ObjectId
from cas.maintenance.checked_pack import CheckedPack
from cas.pack_reader import pack_blob_name
from cas.packfile import RECORD_OVERHEAD, PackKind, Record, RecordPlace, unseal
from cas.records import open_record, unsealed

QUARANTINE: Final = "quarantine"
"""Directory beside `packs` that holds damaged packs, under their names."""
_COPIED_AT_ONCE: Final = 256


class Held(NamedTuple):
    """An object that the catalog finds in a damaged pack."""

    id: ObjectId
    location: Location


class Quarantine:
    """Takes damaged packs out of use. For one thread, which holds the collection's lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.directory = engine.local.parent / QUARANTINE

    @property
    def _identifier(self) -> Identifier:
        return self._engine.chunks.identifier

    def begin(self) -> None:
        """Remove packs that were forgotten when a repair or a collection was cut off."""
        self.finish()

    def end(self) -> None:
        """Do nothing: the catalog knows."""

    def condemn(self, ordinals: Sequence[int]) -> None:
        """Let no writer find anything in these packs any more: what comes again is stored anew."""
        with self._engine.catalog.write() as transaction:
            transaction.condemn(ordinals)

    def copy(self, pack: CheckedPack, sound: Sequence[RecordPlace]) -> None:
        """Write records of a damaged pack to open packs, as they are.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; the pack is as it was.
        """
        for records in records_of(pack, sound):
            self._engine.chunks.open_packs.write(PackKind(pack.row.kind), records)

    def rescue(self, lost: Sequence[Held]) -> list[Held]:
        """Write those objects anew that can be read after all; return the others.

        A second try may read what a first one could not, and of tree nodes the nursery may have
        another copy.
        """
        rest = []
        for held in lost:
            stored = self._second_try(held)
            if stored is None:
                rest.append(held)
                continue
            kind = held.location.kind
            pack_kind = PackKind.DATA if kind is Kind.CHUNK else PackKind.TREE
            self._engine.chunks.open_packs.write(pack_kind, [Record(kind, held.id, *stored)])
        return rest

    def forget(
        self, ordinal: int, lost: Sequence[Held], spares: dict[bytes, Location]
    ) -> list[Held]:
        """Forget a pack and what is lost with it, and lies in no other one; return that."""
        gone: list[Held] = []
        with self._engine.catalog.write() as transaction:
            for held in lost:
                if transaction.location(held.id) != held.location:
                    continue  # it came again meanwhile
                spare = spares.get(held.id)
                if spare is not None:
                    transaction.put_locations([(held.id, spare)])
                else:
                    transaction.delete_location(held.id)
                    gone.append(held)
            transaction.remove_pack(ordinal)
        self._engine.catalog.sync()
        return gone

    def set_aside(self, pack_id: bytes) -> None:
        """Give the pack's file a second name in the quarantine.

        Raises:
            StoreError: that cannot be.
        """
        name = pack_blob_name(pack_id)
        source = self._engine.store.local_path(name)
        target = self.directory / pack_id.hex()
        if target.exists():
            return
        with StoreErrors():
            self.directory.mkdir(mode=0o700, exist_ok=True)
            try:
                if source is None:
                    _keep(self._engine.store.get(name), target)
                else:
                    os.link(source, target)
            except (FileNotFoundError, NotFoundError):
                return  # the pack is missing
            except OSError:  # a file system without links
                if source is None:
                    raise
                _keep(source.read_bytes(), target)
            for directory in (self.directory, self.directory.parent):
                sync_directory(directory)

    def finish(self) -> None:
        """Remove packs that were forgotten when a repair or a collection was cut off."""
        with self._engine.catalog.read() as transaction:
            removed = [(o, row) for o, row in transaction.packs() if row.state is PackState.REMOVED]
        if removed:
            self._engine.catalog.sync()
        for ordinal, row in removed:
            self.remove(ordinal, row.id)

    def remove(self, ordinal: int, pack_id: bytes) -> None:
        """Take away the pack's name below `packs`; its file stays in the quarantine."""
        with suppress(NotFoundError):
            self._engine.store.delete(pack_blob_name(pack_id))
        with self._engine.catalog.write() as transaction:
            transaction.forget_pack(ordinal)
        self._engine.chunks.let_go_of_removed()

    def _second_try(self, held: Held) -> tuple[int, int, bytes | memoryview] | None:
        """Return plain size, codec and what that made of an object, if it can be read now."""
        location = held.location
        identifier = self._engine.chunks.identifier
        reader = self._engine.chunks.reader
        with suppress(CasError):
            seal = reader.seal(location.pack)
            found = reader.read(
                location.pack, location.offset + RECORD_OVERHEAD, location.stored_size
            )
            stored = unsealed(location.kind, held.id, location, found, seal)
            open_record(identifier, location.kind, held.id, location, stored, None)
            return location.plain_size, location.codec, stored
        if location.kind is Kind.TREE_NODE:
            with self._engine.catalog.read() as transaction:
                young = transaction.young_node(held.id)
            if young is not None and identifier.identify(location.kind, young) == held.id:
                return len(young), Codec.RAW, young
        return None


def records_of(pack: CheckedPack, sound: Sequence[RecordPlace]) -> Iterator[list[Record]]:
    """Yield records of a pack as they are to be written to others, some at a time."""
    for first in range(0, len(sound), _COPIED_AT_ONCE):
        records = []
        for place in sound[first : first + _COPIED_AT_ONCE]:
            found = pack.file.read_at(place.offset + RECORD_OVERHEAD, place.stored_size)
            stored = unseal(pack.seal, place, found)
            records.append(Record(place.kind, place.id, place.plain_size, place.codec, stored))
        yield records


def _keep(content: bytes, target: Path) -> None:
    """Write a pack's bytes to a file, durably; the name comes last."""
    new = target.with_suffix(".new")
    with new.open("wb") as copy:
        copy.write(content)
        copy.flush()
        os.fsync(copy.fileno())
    new.rename(target)
