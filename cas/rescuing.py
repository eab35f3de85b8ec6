"""Storing anew what an edit names and a collection over several gateways is about to delete.

Such a collection waits for no upload. What an upload found stored may lie in a condemned pack by
the time it is committed: that is copied to an open pack of this process, which the commit stores.
What the collection itself has copied elsewhere is found there. Only what is deleted is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from cas.catalog import Catalog, Location, PackState
from cas.chunkstore import ChunkStore
from cas.errors import IntegrityError, MissingObjectError, StoreError
from cas.file_nodes import objects_of
from cas.ids import ObjectId
from cas.nodes import NodeStore, ReadNodes
from cas.objects import Content, Entry
from cas.operations import (
    MakeDirectory,
    MakeSymlink,
    Operation,
    Put,
    PutFolder,
    SetProperties,
)
from cas.pack_reader import MissingPackError
from cas.packfile import RECORD_OVERHEAD, Record
from cas.records import open_record, run_end, unsealed
from cas.reliance import Reliance

_AT_ONCE: Final = 1024
_TRIES: Final = 4
"""How often an object is looked for that was deleted where it was found."""
_Place = tuple[Location, bytes]


class Rescue:
    """Copies what operations name out of condemned packs. Shared by threads."""

    def __init__(self, catalog: Catalog, chunks: ChunkStore, nodes: NodeStore) -> None:
        self._catalog = catalog
        self._chunks = chunks
        self._nodes = ReadNodes(nodes)

    def run(self, operations: Iterable[Operation], relies: Reliance) -> None:
        """Let all that the operations bring lie in packs that stay, and `relies` lean on those.

        What they attach is as it was: it holds in the epoch of its view alone.

        Raises:
            StoreError: some of it is deleted, send the data again; transient. Or the blob store
                cannot be reached.
            StoreFullError: there is no room for the copies.
        """
        with self._catalog.read() as transaction:
            unfit = relies.unfit(transaction)
        kept = Reliance()
        named = (object_id for each in operations for object_id in self._named(each))
        try:
            while some := list(islice(named, _AT_ONCE)):
                self._keep(list(dict.fromkeys(some)), kept)
        except IntegrityError as error:
            message = "what was found stored has been collected meanwhile: send the data again"
            raise StoreError(message, transient=True) from error
        relies.leave(unfit)
        relies.include(kept)

    def _named(self, operation: Operation) -> Iterator[bytes]:
        """Yield the ids of all objects that an operation brings, each node before what it names."""
        if isinstance(operation, Put):
            yield from objects_of(self._nodes, operation.content)
        if isinstance(operation, PutFolder):
            yield from self._of_entry(operation.entry)
        if isinstance(operation, Put | MakeDirectory | MakeSymlink | SetProperties):
            properties = operation.attributes.properties
            if properties is not None and properties.id:
                yield properties.id

    def _of_entry(self, top: Entry) -> Iterator[bytes]:
        entries = [top]
        while entries:
            entry = entries.pop()
            if entry.properties_id:
                yield entry.properties_id
            if entry.is_file:
                yield from objects_of(self._nodes, Content(entry.kind, entry.size, entry.content))
            waiting = [entry.content] if entry.is_directory and entry.content else []
            while waiting:
                node_id = waiting.pop()
                yield node_id
                node = self._nodes.load_tree_node(node_id)
                waiting += (child.id for child in node.children)
                entries += node.entries

    def _keep(self, ids: Sequence[bytes], relies: Reliance) -> None:
        """Let these objects lie in packs that stay.

        Raises:
            MissingObjectError: one is nowhere.
        """
        for _ in range(_TRIES):
            ids = self._copy(*self._condemned(ids, relies), relies)
            if not ids:
                return
            for object_id in ids:
                if not self._chunks.finds(object_id):
                    message = f"object {object_id.hex()} is missing: no pack has it"
                    raise MissingObjectError(message)
        raise StoreError("what this edit names is moved all the time", transient=True)

    def _condemned(
        self, ids: Sequence[bytes], relies: Reliance
    ) -> tuple[list[_Place], list[bytes]]:
        """Return what lies in condemned packs, and what is found nowhere; lean on the others."""
        places, missing = [], []
        with self._catalog.read() as transaction:
            condemned = transaction.condemned()
            for object_id in ids:
                held = self._chunks.open_packs.pending(object_id)
                if held is not None and not held[1].failed:
                    relies.packs.add(held[1])
                    continue
                location = transaction.location(object_id)
                row = None if location is None else transaction.pack(location.pack)
                if location is None or row is None or row.state is PackState.REMOVED:
                    missing.append(object_id)
                elif location.pack in condemned:
                    places.append((location, object_id))
                else:
                    relies.found.add(location.pack)
        return places, missing

    def _copy(self, places: list[_Place], missing: list[bytes], relies: Reliance) -> list[bytes]:
        """Copy to the open pack what lies there; return what is missing, there too."""
        places.sort()
        start = 0
        while start < len(places):
            stop = run_end([location for location, _ in places], start)
            run, start = places[start:stop], stop
            try:
                records = self._read(run)
            except MissingPackError:
                self._chunks.lose(run[0][0].pack)
                missing += (object_id for _, object_id in run)
            else:
                self._chunks.put_records(records, relies)
        return missing

    def _read(self, run: Sequence[_Place]) -> list[Record]:
        """Read neighbours in a pack, each checked.

        Raises:
            MissingPackError: the pack is gone.
            IntegrityError: one is damaged.
        """
        pack = run[0][0].pack
        begin = run[0][0].offset
        end = run[-1][0].offset + RECORD_OVERHEAD + run[-1][0].stored_size
        seal = self._chunks.reader.seal(pack)
        region = memoryview(self._chunks.reader.read(pack, begin, end - begin))
        records = []
        for location, object_id in run:
            at = location.offset - begin + RECORD_OVERHEAD
            stored = region[at : at + location.stored_size]
            kind = location.kind
            packed = unsealed(kind, object_id, location, stored, seal)
            open_record(self._chunks.identifier, kind, object_id, location, packed, None)
            records.append(
                Record(kind, ObjectId(object_id), location.plain_size, location.codec, packed)
            )
        return records
