"""Writing a stream into chunks, and reading a file back: seekable, ranged, verified."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import cache
from itertools import islice, pairwise
from types import TracebackType
from typing import Final, NamedTuple, Self

from cas.catalog import Location
from cas.chunking import SIGNATURE_SIZE, Chunker, ChunkParameters, choose_parameters
from cas.chunkstore import ChunkStore
from cas.compression import Codec
from cas.errors import (
    CasError,
    ExpiredError,
    IntegrityError,
    InvalidError,
    MissingObjectError,
)
from cas.file_nodes import FileNodeBuilder, FileNodeSource, content_of, pieces_from
from cas.formats import KiB, MiB
from cas.ids import ObjectId
from cas.nodes import NodeStore, UploadNodes
from cas.objects import Content
from cas.reliance import Reliance
from cas.workers import Workers

SEGMENT_SIZE: Final = 2 * MiB
"""Bytes that are gathered before they are cut, hashed and stored together."""
_SEGMENTS_IN_FLIGHT: Final = 3
_SMALL_SIZE: Final = 512 * KiB
"""Bytes below which handing the work to another thread costs more than it brings."""
_BATCH_SIZE: Final = 2 * MiB
_BATCH_CHUNKS: Final = 64


class FileWriter:
    """Takes a file's bytes as they arrive and stores them in chunks; one thread at a time.

    Nothing is visible before an edit puts the content that `finish` returns, which has to be
    committed before the `with` block is left. Memory stays the
    same whatever the size: at most four segments of 2 MiB. Leaving the `with` block without
    `finish` gives the upload up.
    """

    def __init__(
        self, chunks: ChunkStore, nodes: NodeStore, workers: Workers, relies: Reliance
    ) -> None:
        self.relies = relies
        self.size = 0
        self._chunks = chunks
        self._workers = workers
        self._nodes = UploadNodes(nodes, self.relies)
        self._builder = FileNodeBuilder(self._nodes)
        self._chunker: Chunker | None = None
        self._blocks: list[bytes] = []
        self._gathered = 0
        self._in_flight: deque[tuple[Future[list[ObjectId]], list[int]]] = deque()
        self._is_open = True

    def write(self, block: bytes | bytearray | memoryview) -> int:
        """Take the next bytes; return how many.

        Raises:
            StoreError, StoreFullError: earlier bytes could not be stored.
        """
        if not self._is_open:
            raise InvalidError("this upload has ended")
        self._blocks.append(bytes(block))
        self._gathered += len(block)
        self.size += len(block)
        if self._gathered >= SEGMENT_SIZE:
            self._cut(final=False)
        return len(block)

    def append(self, content: Content, *, epoch: int) -> None:
        """Take the bytes of stored content; only chunks around its borders are stored anew.

        `epoch` is that of the view that shows the content.
        The chunks come out as if all bytes had been written: cutting starts over at every
        border of a chunk, so once it meets a border of the stored content it goes on the same.

        Raises:
            IntegrityError: the stored content is damaged.
        """
        self.relies.take_over(epoch)
        pieces = deque((i, length) for _, i, length in pieces_from(self._nodes, content))
        if content.size >= SIGNATURE_SIZE and self._is_cut_alike(pieces[0][0]):
            self._drain()
            if self._gathered:
                self._meet_border(pieces)
            while len(pieces) > 1:
                chunk_id, length = pieces.popleft()
                self._builder.append(chunk_id, length)
                self.size += length
        for chunk_id, _ in pieces:  # where the last one ends depends on what follows
            self.write(self._read(chunk_id))

    def finish(self) -> Content:
        """Store what is left and return the content of all bytes.

        Raises:
            StoreError, StoreFullError: the bytes could not be stored.
        """
        if not self._is_open:
            raise InvalidError("this upload has ended")
        self._is_open = False
        self._cut(final=True)
        self._drain()
        return self._builder.finish()

    def abort(self) -> None:
        """Give the upload up; what was stored of it is garbage."""
        self._is_open = False
        self.relies.let_go()
        self._blocks.clear()
        while self._in_flight:
            future, _ = self._in_flight.popleft()
            future.cancel()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the upload up unless it was finished; what puts it has been committed by now."""
        if self._is_open:
            self.abort()
        self.relies.let_go()

    def _cut(self, *, final: bool) -> None:
        segment = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
        ends = self._ends(segment, final=final)
        self._store(segment, ends, at_once=final and len(segment) < _SMALL_SIZE)

    def _ends(self, segment: bytes, *, final: bool) -> list[int]:
        if self._chunker is None:
            self._chunker = _chunker(choose_parameters(segment, self._chunks.chunk_seed))
        return self._chunker.cut(segment, final=final)

    def _store(self, segment: bytes, ends: list[int], *, at_once: bool = True) -> None:
        """Store the chunks of the segment that end there; keep the rest."""
        view = memoryview(segment)
        rest = view[ends[-1] :] if ends else view
        self._blocks = [bytes(rest)] if rest else []
        self._gathered = len(rest)
        if not ends:
            return
        pieces = [view[start:end] for start, end in pairwise([0, *ends])]
        lengths = [len(piece) for piece in pieces]
        if at_once:
            self._drain()
            self._add(self._chunks.put_chunks(pieces, self.relies), lengths)
            return
        future = self._workers.submit(self._chunks.put_chunks, pieces, self.relies)
        self._in_flight.append((future, lengths))
        if len(self._in_flight) > _SEGMENTS_IN_FLIGHT:
            self._collect()

    def _read(self, chunk_id: bytes) -> bytes:
        return bytes(next(self._chunks.get_chunks([chunk_id])))

    def _is_cut_alike(self, first_chunk: bytes) -> bool:
        """Whether stored content that begins with this chunk is cut as this stream is."""
        seed = self._chunks.chunk_seed
        parameters = choose_parameters(self._read(first_chunk), seed)
        if self._chunker is None:
            if not self._gathered:
                self._chunker = _chunker(parameters)
            elif self._gathered >= SIGNATURE_SIZE:
                self._chunker = _chunker(choose_parameters(b"".join(self._blocks), seed))
        return self._chunker is not None and self._chunker.parameters == parameters

    def _meet_border(self, pieces: deque[tuple[bytes, int]]) -> None:
        """Go on behind the bytes at hand until a cut falls on a border of the stored pieces."""
        read: deque[tuple[int, tuple[bytes, int]]] = deque()  # pieces by where they end
        while pieces:
            piece = pieces.popleft()
            self._blocks.append(self._read(piece[0]))
            self._gathered += piece[1]
            self.size += piece[1]
            read.append((self._gathered, piece))
            segment = b"".join(self._blocks)
            ends = self._ends(segment, final=False)
            borders = {end for end, _ in read}
            met = next((cut for cut in ends if cut in borders), None)
            if met is not None:
                beyond = [p for end, p in read if end > met]
                pieces.extendleft(reversed(beyond))
                self.size -= sum(length for _, length in beyond)
                self._store(segment[:met], [cut for cut in ends if cut <= met])
                return
            self._store(segment, ends)
            cut = ends[-1] if ends else 0
            read = deque((end - cut, p) for end, p in read if end > cut)

    def _drain(self) -> None:
        while self._in_flight:
            self._collect()

    def _collect(self) -> None:
        future, lengths = self._in_flight.popleft()
        self._add(future.result(), lengths)

    def _add(self, ids: list[ObjectId], lengths: list[int]) -> None:
        for chunk_id, length in zip(ids, lengths, strict=True):
            self._builder.append(chunk_id, length)


class StoredFiles(NamedTuple):
    """Contents that were stored together, and the packs that what puts them must rely on."""

    contents: list[Content]
    relies: Reliance


def store_files(
    chunks: ChunkStore, nodes: NodeStore, files: Sequence[bytes], relies: Reliance
) -> StoredFiles:
    """Store the bytes of several files in one go: of small ones, most of the cost is per call."""
    pieces: list[memoryview] = []
    counts: list[int] = []
    for file in files:
        view = memoryview(file)
        ends = _chunker(choose_parameters(file, chunks.chunk_seed)).cut(file, final=True)
        pieces += (view[start:end] for start, end in pairwise([0, *ends]))
        counts.append(len(ends))
    stored = zip(chunks.put_chunks(pieces, relies), map(len, pieces), strict=True)
    kept = UploadNodes(nodes, relies)
    return StoredFiles([content_of(kept, list(islice(stored, count))) for count in counts], relies)


@cache
def _chunker(parameters: ChunkParameters) -> Chunker:
    return Chunker(parameters)


class FileReader(io.RawIOBase):
    """Reads a file of a pinned state; every byte is checked against its hash. One thread."""

    def __init__(
        self,
        chunks: ChunkStore,
        nodes: FileNodeSource,
        workers: Workers,
        content: Content,
        name: str,
        epoch: int,
    ) -> None:
        super().__init__()
        self.size = content.size
        self._chunks = chunks
        self._workers = workers
        self._nodes = nodes
        self._content = content
        self._name = name
        self._epoch = epoch
        self._position = 0
        self._block: bytes | memoryview = b""
        self._block_start = 0

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` up to `stop` (the end, if None) in verified pieces.

        Raises:
            IntegrityError: a piece is missing or damaged; the message names the file.
        """
        stop = self.size if stop is None else min(stop, self.size)
        try:
            yield from self._clipped(start, stop)
        except IntegrityError as error:
            raise self._named(error) from error

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position and return it in bytes from the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise InvalidError("cannot seek before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as the chunk at the position reaches; 0 at the end."""
        offset = self._position - self._block_start
        if not 0 <= offset < len(self._block):
            if self._position >= self.size:
                return 0
            self._block_start, self._block = self._block_at(self._position)
            offset = self._position - self._block_start
        target = memoryview(buffer)
        part = self._block[offset : offset + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block_at(self, position: int) -> tuple[int, bytes | memoryview]:
        try:
            start, chunk_id, _ = next(pieces_from(self._nodes, self._content, position))
            return start, next(self._chunks.get_chunks([chunk_id]))
        except IntegrityError as error:
            raise self._named(error) from error

    def _named(self, error: IntegrityError) -> CasError:
        """Return the error that names the file, and tells what was collected from what is lost."""
        if isinstance(error, MissingObjectError) and self._chunks.epoch() != self._epoch:
            return ExpiredError(f"{self._name}: this version of it is gone: look again")
        return IntegrityError(f"{self._name}: {error}")

    def _clipped(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        for offset, piece in self._workers.chained(
            self._load, self._batches(start, stop), _Batch.is_compressed
        ):
            yield piece[max(0, start - offset) : stop - offset]

    def _batches(self, start: int, stop: int) -> Iterator[_Batch]:
        """Yield what is read together, behind each other; the damage that ends it comes last."""
        position = start
        try:
            pieces = pieces_from(self._nodes, self._content, start)
            while position < stop and (taken := list(_take(pieces, stop))):
                ids = [chunk_id for _, chunk_id, _ in taken]
                yield _Batch(taken, ids, self._chunks.locate(ids))
                position = taken[-1][0] + taken[-1][2]
        except IntegrityError as error:
            yield _Batch([], [], [], error)
        else:
            if position < stop:
                yield _Batch([], [], [], IntegrityError("the file ends before its size"))

    def _load(self, batch: _Batch) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield the batch's pieces, verified, and where in the file they begin."""
        if batch.damage is not None:
            raise batch.damage
        found = self._chunks.read_chunks(batch.ids, batch.locations)
        for (offset, chunk_id, length), piece in zip(batch.pieces, found, strict=True):
            if len(piece) != length:
                message = f"chunk {chunk_id.hex()} has another length than the file says"
                raise IntegrityError(message)
            yield offset, piece


class _Batch(NamedTuple):
    """Pieces of a file that are read together: offset, chunk's id and length of each.

    Or the damage that ends the file here.
    """

    pieces: list[tuple[int, bytes, int]]
    ids: list[bytes]
    locations: list[Location]
    damage: IntegrityError | None = None

    def is_compressed(self) -> bool:
        """Whether another thread should read it: of raw bytes, sending takes as long."""
        return any(location.codec != Codec.RAW for location in self.locations)


def _take(pieces: Iterator[tuple[int, bytes, int]], stop: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield the pieces of the next read: about 2 MiB, and none that begins at `stop` or later."""
    size = 0
    for piece in islice(pieces, _BATCH_CHUNKS):
        yield piece
        size += piece[2]
        if size >= _BATCH_SIZE or piece[0] + piece[2] >= stop:
            return
