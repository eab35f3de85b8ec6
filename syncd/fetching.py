"""Content on its way down: only what is nowhere here, neither in the file's last version nor in
what an earlier attempt has left.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

import cas
from cas import wire
from syncd.committing import file_content
from syncd.disk.items import Item
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.reading import identify_descriptor
from syncd.pieces import Piece, Progress
from syncd.ports import OutdatedError
from syncd.remote.client import Remote
from syncd.remote.errors import GoneError, NotKeptError, UntrustedError
from syncd.remote.transfer import Transfers as Lanes
from syncd.remote.transfer import WantedChunk

_GONE: Final = (NotKeptError, GoneError)


class Incoming(NamedTuple):
    """A file that is to be here: as `ports.Download`, but `here` is a path on the disk."""

    path: bytes
    sequence: int
    item: Item
    here: str


class _Spot(NamedTuple):
    """Where a chunk is on this disk."""

    descriptor: int
    offset: int
    length: int


class Fetcher:
    """Fetches contents. One thread at a time; the arguments are those of `Sender`."""

    def __init__(
        self,
        remote: Remote,
        lanes: Lanes,
        place: wire.Place,
        disk: LinkedDisk,
        keys: cas.ContentKeys,
        progress: Progress,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._remote = remote
        self._lanes = lanes
        self._place = place
        self._disk = disk
        self._keys = keys
        self._progress = progress
        self._check = check
        self._coming: dict[tuple[bytes, bytes], bytes | None] = {}
        self._stream: Iterator[tuple[tuple[bytes, bytes], bytes | None]] = iter(())

    def prepare(self, files: Sequence[tuple[bytes, int, Item]]) -> None:
        """See `ports.Transfers`: files of one chunk come together, in this order."""
        self._coming = {}
        small = {
            (path, item.content): item
            for path, _, item in files
            if item.kind is cas.EntryKind.CHUNK_FILE
        }
        if not small:
            return
        sequence = files[0][1]
        wanted = (
            WantedChunk(path, content, content, item.size, 0)
            for (path, content), item in small.items()
        )
        self._stream = (
            ((fetched.wanted.path, fetched.wanted.content), fetched.plaintext)
            for fetched in self._lanes.fetch(self._place, sequence, wanted)
        )

    def content(self, file: Incoming, begun: int | None = None) -> Iterator[bytes]:
        """Yield a file's content, every byte checked.

        With the descriptor of what is `begun`, that is gone on with: it is cut after its last good
        chunk, stands there, and what follows is yielded.

        Raises:
            OutdatedError: the server has not this content there any more.
            RemoteError: it cannot be had.
        """
        try:
            yield from self._content(file, begun)
        except _GONE as error:
            raise OutdatedError(os.fsdecode(file.path)) from error

    def _content(self, file: Incoming, begun: int | None) -> Iterator[bytes]:
        content = file_content(file.item)
        if content.kind is cas.EntryKind.EMPTY_FILE:
            return
        if content.kind is cas.EntryKind.CHUNK_FILE:
            yield self._small(file)
            return
        fetched = self._lanes.nodes(
            self._place, file.sequence, file.path, content, self._disk.nodes.load
        )
        if fetched is None:
            raise OutdatedError(os.fsdecode(file.path))
        pieces = [Piece(*piece) for piece in cas.chunks_of(content, fetched.get)]
        if begun is not None:
            pieces = self._go_on(begun, pieces)
        self._require_room(pieces)
        with ExitStack() as opened:
            here = self._spots(file, pieces, opened)
            yield from self._assembled(file, pieces, here)
        self._disk.nodes.put_all(
            {node_id: wire.encode_message(node) for node_id, node in fetched.items()}
        )

    def _go_on(self, descriptor: int, pieces: list[Piece]) -> list[Piece]:
        """Return what is to come after that which an open file has already; end the file there."""
        size = os.fstat(descriptor).st_size
        count = 0
        for piece in pieces:
            self._check()
            if piece.offset + piece.length > size:
                break
            plaintext = os.pread(descriptor, piece.length, piece.offset)
            if self._keys.chunk_id(plaintext) != piece.id:
                break
            count += 1
        end = sum(piece.length for piece in pieces[:count])
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        self._progress.spared(down=end)
        return pieces[count:]

    def _require_room(self, pieces: list[Piece]) -> None:
        """Raise where the disk cannot hold what is to come, rather than fill it up."""
        zeros = self._keys.chunk_id(bytes(cas.CHUNK_SIZE_LIMIT))  # They become a hole.
        needed = sum(piece.length for piece in pieces if piece.id != zeros)
        if needed > self._disk.free_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _small(self, file: Incoming) -> bytes:
        key = (file.path, file.item.content)
        while key not in self._coming:
            found = next(self._stream, None)
            if found is None:
                self._coming[key] = self._fetch_one(
                    file, Piece(0, file.item.content, file.item.size)
                )
            else:
                self._coming[found[0]] = found[1]
        plaintext = self._coming.pop(key)
        if plaintext is None:
            raise OutdatedError(os.fsdecode(file.path))
        return plaintext

    def _fetch_one(self, file: Incoming, piece: Piece) -> bytes | None:
        wanted = WantedChunk(file.path, file.item.content, piece.id, piece.length, piece.offset)
        for fetched in self._lanes.fetch(self._place, file.sequence, [wanted]):
            return fetched.plaintext
        raise UntrustedError("the server sent nothing")

    def _assembled(
        self, file: Incoming, pieces: list[Piece], here: dict[bytes, _Spot]
    ) -> Iterator[bytes]:
        """Yield the chunks of a file, from this disk where they are there."""
        coming = self._lanes.fetch(
            self._place,
            file.sequence,
            (
                WantedChunk(file.path, file.item.content, piece.id, piece.length, piece.offset)
                for piece in pieces
                if piece.id not in here
            ),
        )
        for piece in pieces:
            self._check()
            spot = here.get(piece.id)
            if spot is None:
                plaintext = next(coming).plaintext
            else:
                plaintext = os.pread(spot.descriptor, spot.length, spot.offset)
                if self._keys.chunk_id(plaintext) != piece.id:
                    plaintext = self._fetch_one(file, piece)  # It was changed meanwhile.
                self._progress.spared(down=piece.length)
            if plaintext is None:
                raise OutdatedError(os.fsdecode(file.path))
            yield plaintext

    def _spots(self, file: Incoming, pieces: list[Piece], opened: ExitStack) -> dict[bytes, _Spot]:
        """Return where chunks of the file are on this disk already; they are checked when read."""
        spots: dict[bytes, _Spot] = {}
        if file.here and pieces:
            try:
                descriptor = self._disk.open_at(file.here)
            except OSError:
                return spots  # It is not there any more: all of it comes.
            opened.callback(os.close, descriptor)
            wanted = {piece.id for piece in pieces}
            for offset, chunk_id, length in self._pieces_here(descriptor):
                if chunk_id in wanted:
                    spots[chunk_id] = _Spot(descriptor, offset, length)
        return spots

    def _pieces_here(self, descriptor: int) -> Iterator[tuple[int, bytes, int]]:
        found: list[tuple[int, bytes, int]] = []

        def take(piece: cas.FoundPiece) -> None:
            self._check()
            found.append((piece.offset, piece.id, len(piece.plaintext)))

        identify_descriptor(descriptor, self._keys, lambda *_: None, take)
        return iter(found)
