"""Many chunks at once: up in batches, down in batches, several requests in flight.

A transfer keeps no session: what has arrived is asked of the server (`missing`), so that after a
break, or a restart of either side, the rest goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

import cas
from cas import wire
from syncd.remote.client import Remote
from syncd.remote.errors import UntrustedError
from syncd.remote.trust import open_chunk, open_node

IN_FLIGHT: Final = 6
"""Requests of one transfer at a time."""
_PARTS_AT_ONCE: Final = 512
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class WantedChunk(NamedTuple):
    """A chunk of a remote file: the file's path and content, the chunk's id, length and offset."""

    path: bytes
    content: bytes
    id: bytes
    length: int
    offset: int


class FetchedChunk(NamedTuple):
    """A chunk that came; `plaintext` is None where the file is not there any more."""

    wanted: WantedChunk
    plaintext: bytes | None


@dataclass(slots=True)
class _Batch:
    """What goes into one request."""

    chunks: list[wire.PackedChunk] = field(default_factory=list)
    nodes: list[bytes] = field(default_factory=list)
    size: int = 0
    plain_size: int = 0

    def is_full(self, batch_size: int) -> bool:
        """Whether nothing more should come along."""
        count = len(self.chunks) + len(self.nodes)
        is_large = self.size >= batch_size
        is_long = self.plain_size > wire.PLAIN_BATCH_LIMIT - cas.CHUNK_SIZE_LIMIT
        return is_large or is_long or count >= wire.CHUNK_COUNT_LIMIT


class Transfers:
    """Moves chunks between this device and one server. Shared by threads; close it.

    `progress` is told of the bytes of chunks that have gone up and those that have come down, as
    plain bytes. `batch_size` returns the bytes that one request should carry.
    """

    def __init__(
        self,
        remote: Remote,
        keys: cas.ContentKeys,
        *,
        in_flight: int = IN_FLIGHT,
        progress: Callable[[int, int], None] = lambda _up, _down: None,
        batch_size: Callable[[], int] = lambda: wire.BATCH_SIZE,
    ) -> None:
        self._remote = remote
        self._keys = keys
        self._in_flight = in_flight
        self._progress = progress
        self._batch_size = batch_size
        self._workers = ThreadPoolExecutor(in_flight, thread_name_prefix="transfer")

    def send(
        self,
        place: wire.Place,
        chunks: Iterable[tuple[bytes, bytes | memoryview]],
        nodes: Iterable[bytes] = (),
    ) -> None:
        """Send chunks, as ids with plaintexts, and encoded file nodes.

        They are taken from the iterables as they are sent, so that a file need not be in memory;
        a view of memory has to stay as it is only until the next chunk is asked for.

        Raises:
            RemoteError: not all could be sent; what was sent stays for a day.
        """

        def send(batch: _Batch) -> int:
            self._remote.send(place, batch.chunks, batch.nodes)
            return batch.plain_size

        for size in self._in_order(send, self._batches(chunks, nodes)):
            self._progress(size, 0)

    def fetch(
        self, place: wire.Place, sequence: int, wanted: Iterable[WantedChunk]
    ) -> Iterator[FetchedChunk]:
        """Yield chunks of files of a state, each verified, in the order that they are asked for.

        Raises:
            RemoteError: they could not be had.
        """

        def fetch(some: Sequence[WantedChunk]) -> list[FetchedChunk]:
            return self._fetch(place, sequence, some)

        for fetched in self._in_order(fetch, _grouped(wanted, self._batch_size())):
            for chunk in fetched:
                self._progress(0, len(chunk.plaintext or b""))
                yield chunk

    def nodes(
        self,
        place: wire.Place,
        sequence: int,
        path: bytes,
        content: cas.Content,
        known: cas.NodeLoader,
    ) -> dict[bytes, cas.FileNode] | None:
        """Return all file nodes of a remote file; those that are `known` here are not fetched.

        None where the path has not this content any more.

        Raises:
            RemoteError: they could not be had.
            UntrustedError: they do not fit together.
        """
        found: dict[bytes, cas.FileNode] = {}
        level = {content.id: (0, content.size)} if content.kind is cas.EntryKind.NODE_FILE else {}
        for _ in range(cas.NODE_LEVEL_LIMIT + 1):
            if not level:
                return found
            fetched = self._level(
                place, sequence, wire.FilePart(path, content.id, []), level, known
            )
            if fetched is None:
                return None
            following: dict[bytes, tuple[int, int]] = {}
            for node_id, node in fetched.items():
                start, size = level[node_id]
                if cas.node_size(node) != size:
                    raise UntrustedError("the server sent file nodes that do not fit together")
                found[node_id] = node
                for span in node.spans:
                    if span.id not in found:
                        following[span.id] = (start, span.size)
                    start += span.size
            level = following
        raise UntrustedError("the server sent file nodes without an end")

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._workers.shutdown(cancel_futures=True)

    def _level(
        self,
        place: wire.Place,
        sequence: int,
        file: wire.FilePart,
        level: dict[bytes, tuple[int, int]],
        known: cas.NodeLoader,
    ) -> dict[bytes, cas.FileNode] | None:
        """Return the nodes of one level by id, in its order."""
        here = {node_id: known(node_id) for node_id in level}
        lacking = [
            wire.Located(node_id, level[node_id][0]) for node_id, node in here.items() if not node
        ]
        fetched: dict[bytes, cas.FileNode] = {}
        while lacking:
            part = wire.FilePart(file.path, file.content, lacking[: wire.CHUNK_COUNT_LIMIT])
            for encoded in self._remote.nodes(place, sequence, [part]):
                located = lacking.pop(0)
                if encoded is None:
                    return None
                fetched[located.id] = open_node(encoded, located.id, self._keys)
        return {node_id: node or fetched[node_id] for node_id, node in here.items()}

    def _fetch(
        self, place: wire.Place, sequence: int, wanted: Sequence[WantedChunk]
    ) -> list[FetchedChunk]:
        fetched: list[FetchedChunk] = []
        while len(fetched) < len(wanted):
            rest = wanted[len(fetched) :]
            for chunk in self._remote.chunks(place, sequence, _parts(rest)):
                one = wanted[len(fetched)]
                plaintext = None if chunk is None else open_chunk(chunk, one.id, self._keys)
                if plaintext is not None and len(plaintext) != one.length:
                    raise UntrustedError("the server sent a chunk of another length")
                fetched.append(FetchedChunk(one, plaintext))
        return fetched

    def _batches(
        self, chunks: Iterable[tuple[bytes, bytes | memoryview]], nodes: Iterable[bytes]
    ) -> Iterator[_Batch]:
        batch = _Batch()
        for chunk_id, plaintext in chunks:
            packed = wire.pack_chunk(chunk_id, plaintext)
            batch.chunks.append(packed)
            batch.size += len(packed.stored)
            batch.plain_size += packed.size
            if batch.is_full(self._batch_size()):
                yield batch
                batch = _Batch()
        for encoded in nodes:
            batch.nodes.append(encoded)
            batch.size += len(encoded)
            if batch.is_full(self._batch_size()):
                yield batch
                batch = _Batch()
        if batch.chunks or batch.nodes:
            yield batch

    def _in_order(
        self, function: Callable[[_Item], _Made], items: Iterable[_Item]
    ) -> Iterator[_Made]:
        """Yield what a function makes of items, some of them in the works at a time."""
        running: deque[Future[_Made]] = deque()
        try:
            for item in items:
                running.append(self._workers.submit(function, item))
                if len(running) >= self._in_flight:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _grouped(wanted: Iterable[WantedChunk], batch_size: int) -> Iterator[list[WantedChunk]]:
    """Yield what one request asks for: at most as much as one answer holds."""
    group: list[WantedChunk] = []
    size = 0
    for chunk in wanted:
        if group and (size + chunk.length > batch_size or len(group) >= _PARTS_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(chunk)
        size += chunk.length
    if group:
        yield group


def _parts(wanted: Sequence[WantedChunk]) -> list[wire.FilePart]:
    """Return chunks as parts of their files; those of one file stand together."""
    parts: list[wire.FilePart] = []
    for chunk in wanted:
        located = wire.Located(chunk.id, chunk.offset)
        if parts and (parts[-1].path, parts[-1].content) == (chunk.path, chunk.content):
            parts[-1].parts.append(located)
        else:
            parts.append(wire.FilePart(chunk.path, chunk.content, [located]))
    return parts
