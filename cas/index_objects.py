"""Index objects in the blob store: which packs they tell of, where an object is, new ones.

They are copies of what the footers of packs say, so that nobody has to read these one by one.
Nothing depends on them: whatever is missing, damaged or out of date here is read from the packs.
So any gateway may write one or take one away at any time.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from cas.errors import CasError, FormatError, IntegrityError, NotFoundError
from cas.formats import MiB
from cas.index_format import (
    BLOCK_ROWS,
    TAIL_SIZE,
    IndexDirectory,
    IndexedPack,
    PackTable,
    blocks_with,
    decode_directory,
    directory_size,
    encode_index,
    open_block,
    packs_with,
    tables_of,
)
from cas.sealing import Sealing
from cas.stores.base import BlobStore, ByteRange
from cas.workers import waiting_map

_AREA: Final = "index"
_END_SIZE: Final = 256 * 1024
"""Bytes at an object's end that are asked for at once: most directories fit."""
_RANGE_SIZE: Final = 4 * MiB
_BLOCKS_KEPT: Final = 256
_logger = logging.getLogger(__name__)


class IndexObject(NamedTuple):
    """An index object of the store, whose directory has been read."""

    name: str
    directory: IndexDirectory
    packs: frozenset[bytes]

    @property
    def rows_size(self) -> int:
        """Return how many bytes its blocks take."""
        blocks = self.directory.blocks
        return blocks[-1].offset + blocks[-1].size if blocks else 0

    @property
    def rows(self) -> int:
        """Return about how many records it tells of."""
        return len(self.directory.blocks) * BLOCK_ROWS


class IndexObjects:
    """The index objects of a blob store, as this process knows them. Shared by threads."""

    def __init__(self, store: BlobStore, sealing: Sealing | None) -> None:
        self._store = store
        self._sealing = sealing
        self._lock = threading.Lock()
        self._known: dict[str, IndexObject] = {}
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self.damaged: set[str] = set()
        """Names of objects that could not be understood, though this program should."""

    def refresh(self) -> Sequence[IndexObject]:
        """Look which objects there are by now, and return them.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        listed = dict(self._store.list(_AREA))
        with self._lock:
            seen = self._known.keys() | self.damaged
        new = [(name, size) for name, size in listed.items() if name not in seen]
        found = [each for each in waiting_map(self._read_directory, new) if each is not None]
        with self._lock:
            kept = {name: each for name, each in self._known.items() if name in listed}
            self._known = kept | {each.name: each for each in found}
            self.damaged &= listed.keys()
            return list(self._known.values())

    def known(self) -> Sequence[IndexObject]:
        """Return the objects that the last `refresh` found."""
        return list(self._known.values())

    def packs_with(self, object_id: bytes) -> list[IndexedPack]:
        """Return the packs that have an object, by the objects that are known; some may be gone.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        places = [
            (index, number)
            for index in self.known()
            for number in blocks_with(index.directory, object_id)
        ]

        def look(place: tuple[IndexObject, int]) -> list[IndexedPack]:
            index, number = place
            rows = self._block(index, number)
            return [index.directory.packs[pack] for pack in packs_with(rows, object_id)]

        return [pack for packs in waiting_map(look, places) for pack in packs]

    def load(self, index: IndexObject, wanted: frozenset[bytes]) -> list[PackTable]:
        """Return the tables of those packs of an object that are wanted; none if it is gone.

        Raises:
            StoreError: the blob store cannot be reached.
        """
        try:
            return tables_of(index.directory, self._all_blocks(index), wanted)
        except NotFoundError:
            return []
        except IntegrityError as error:
            self._put_aside(index.name, error)
            return []

    def write(self, tables: Sequence[PackTable]) -> str:
        """Store a new object; return its name.

        Raises:
            StoreError, StoreFullError: the blob store cannot be reached or is full.
        """
        name = f"{_AREA}/{secrets.token_hex(16)}"
        self._store.put(name, encode_index(name, tables, self._sealing))
        return name

    def remove(self, names: Iterable[str]) -> None:
        """Take objects away, whose packs others tell of."""
        gone = set(names)
        for name in gone:
            self._store.delete(name)
        with self._lock:
            self._known = {n: each for n, each in self._known.items() if n not in gone}
            self.damaged -= gone

    def _read_directory(self, listed: tuple[str, int]) -> IndexObject | None:
        name, size = listed
        start = max(0, size - _END_SIZE)
        try:
            end = self._store.get(name, ByteRange(start, size))
            needed = directory_size(name, end, self._sealing) + TAIL_SIZE
            if needed > len(end) and needed <= size:
                end = self._store.get(name, ByteRange(size - needed, size))
            directory = decode_directory(name, end[-needed:-TAIL_SIZE], self._sealing)
        except NotFoundError:
            return None
        except FormatError as error:
            _logger.warning("%s", error)
            return None
        except IntegrityError as error:
            self._put_aside(name, error)
            return None
        return IndexObject(name, directory, frozenset(pack.id for pack in directory.packs))

    def _block(self, index: IndexObject, number: int) -> bytes:
        """Return a block's rows; none where the object is gone or damaged."""
        key = (index.name, number)
        with self._lock:
            rows = self._blocks.get(key)
            if rows is not None:
                self._blocks.move_to_end(key)
                return rows
        block = index.directory.blocks[number]
        try:
            part = self._store.get(index.name, ByteRange(block.offset, block.offset + block.size))
            rows = open_block(index.name, number, part, self._sealing)
        except NotFoundError:
            return b""
        except IntegrityError as error:
            self._put_aside(index.name, error)
            return b""
        with self._lock:
            self._blocks[key] = rows
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return rows

    def _all_blocks(self, index: IndexObject) -> Iterator[bytes]:
        size = index.rows_size
        starts = range(0, size, _RANGE_SIZE)
        ranges = [ByteRange(start, min(start + _RANGE_SIZE, size)) for start in starts]
        content = b"".join(waiting_map(lambda each: self._store.get(index.name, each), ranges))
        for number, block in enumerate(index.directory.blocks):
            part = content[block.offset : block.offset + block.size]
            yield open_block(index.name, number, part, self._sealing)

    def _put_aside(self, name: str, error: CasError) -> None:
        _logger.error("%s: the packs are read instead", error)
        with self._lock:
            self.damaged.add(name)
            self._known = {n: each for n, each in self._known.items() if n != name}
