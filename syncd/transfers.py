"""Moving the content of files between the linked folder and the server: only what the other lacks.

Up goes what the server says is missing, found by descending the file's nodes. Down comes what is
nowhere here: not in the file's last version, not in what an earlier attempt has left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

import cas
from cas import wire
from syncd.disk.items import Item
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.reading import identify_descriptor
from syncd.ports import Download, Upload
from syncd.remote.client import Remote
from syncd.remote.errors import UntrustedError
from syncd.remote.transfer import Transfers as Lanes
from syncd.remote.transfer import WantedChunk

_ASKED_AT_ONCE: Final = 4096
"""Ids in one question of what is missing."""
_Wanted = tuple[int, bytes, int]


class _Spot(NamedTuple):
    """Where a chunk is on this disk."""

    descriptor: int
    offset: int
    length: int


class _Piece(NamedTuple):
    """A chunk of a file: where in it, its id, its length."""

    offset: int
    id: bytes
    length: int


class LinkTransfers:
    """The transfers of one link. One thread at a time.

    Args:
        remote: the server.
        lanes: move chunks, several at a time.
        place: of the volume.
        disk: the linked folder.
        keys: of content ids.
    """

    def __init__(
        self,
        remote: Remote,
        lanes: Lanes,
        place: wire.Place,
        disk: LinkedDisk,
        keys: cas.ContentKeys,
    ) -> None:
        self._remote = remote
        self._lanes = lanes
        self._place = place
        self._disk = disk
        self._keys = keys
        self._coming: dict[tuple[bytes, bytes], bytes | None] = {}
        self._stream: Iterator[tuple[tuple[bytes, bytes], bytes | None]] = iter(())

    # Up.

    def upload(self, files: Sequence[Upload]) -> dict[int, str]:
        """See `Transfers`."""
        failed: dict[int, str] = {}
        nodes: dict[bytes, bytes] = {}
        self._lanes.send(self._place, self._outgoing(files, nodes, failed), _values(nodes))
        return failed

    def _outgoing(
        self, files: Sequence[Upload], nodes: dict[bytes, bytes], failed: dict[int, str]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the chunks that the server lacks, and fill in the nodes."""
        sent: set[bytes] = set()
        for index, file in enumerate(files):
            if not file.item.size:
                continue
            try:
                yield from self._chunks_to_send(file, nodes, sent)
            except OSError as error:
                failed[index] = error.strerror or str(error)

    def _chunks_to_send(
        self, file: Upload, nodes: dict[bytes, bytes], sent: set[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        descriptor = self._disk.open(file.path)
        try:
            if file.signature is not None and self._disk.signature(descriptor) != file.signature:
                raise OSError(errno.EBUSY, "it was changed meanwhile")
            for piece in self._lacking(file, descriptor, nodes):
                if piece.id in sent:
                    continue
                plaintext = os.pread(descriptor, piece.length, piece.offset)
                if self._keys.chunk_id(plaintext) != piece.id:
                    raise OSError(errno.EBUSY, "it was changed meanwhile")
                sent.add(piece.id)
                yield piece.id, plaintext
        finally:
            os.close(descriptor)

    def _lacking(
        self, file: Upload, descriptor: int, nodes: dict[bytes, bytes]
    ) -> Iterator[_Piece]:
        item = file.item
        if item.kind is cas.EntryKind.CHUNK_FILE:
            # Asking costs as much as sending, most often.
            yield _Piece(0, item.content, item.size)
            return
        if self._disk.nodes.load(item.content) is None:
            identify_descriptor(descriptor, self._keys, self._disk.nodes.put)
        lacking = self._missing_nodes(file, nodes)
        pieces = [_Piece(*found) for found in cas.chunks_of(_content(item), self._disk.nodes.load)]
        in_question = {piece.id for node in lacking.values() for piece in node.pieces}
        wanted = [piece for piece in pieces if piece.id in in_question]
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            some = wanted[start : start + _ASKED_AT_ONCE]
            missing = self._remote.missing(
                self._place,
                dict.fromkeys(piece.id for piece in some),
                bases=file.bases,
                sequence=file.sequence,
            )
            chosen = set(missing.chunks)
            yield from (piece for piece in some if piece.id in chosen)

    def _missing_nodes(self, file: Upload, nodes: dict[bytes, bytes]) -> dict[bytes, cas.FileNode]:
        """Return the file's nodes that the server lacks; fill in how they are encoded.

        Raises:
            OSError: the file is not what was read of it.
        """
        found: dict[bytes, cas.FileNode] = {}
        level = [file.item.content]
        while level:
            missing = self._remote.missing(
                self._place, (), level, bases=file.bases, sequence=file.sequence
            )
            level = []
            for node_id in missing.nodes:
                encoded = self._disk.nodes.encoded(node_id)
                if encoded is None:
                    raise OSError(errno.EBUSY, "it was changed meanwhile")
                nodes[node_id] = encoded
                found[node_id] = cas.read_file_node(encoded)
                level += [span.id for span in found[node_id].spans if span.id not in found]
        return found

    # Down.

    def prepare(self, files: Sequence[Download]) -> None:
        """See `Transfers`: small files come together, in this order."""
        self._coming = {}
        small = {
            (file.path, file.item.content): file
            for file in files
            if file.item.kind is cas.EntryKind.CHUNK_FILE
        }
        if not small:
            return
        sequence = files[0].sequence
        wanted = (
            WantedChunk(file.path, file.item.content, file.item.content, file.item.size, 0)
            for file in small.values()
        )
        self._stream = (
            ((fetched.wanted.path, fetched.wanted.content), fetched.plaintext)
            for fetched in self._lanes.fetch(self._place, sequence, wanted)
        )

    def download(self, file: Download) -> Iterator[bytes]:
        """See `Transfers`."""
        content = _content(file.item)
        if content.kind is cas.EntryKind.EMPTY_FILE:
            return
        if content.kind is cas.EntryKind.CHUNK_FILE:
            yield self._small(file)
            return
        fetched = self._lanes.nodes(
            self._place, file.sequence, file.path, content, self._disk.nodes.load
        )
        if fetched is None:
            raise FileNotFoundError(os.fsdecode(file.path))
        pieces = [_Piece(*piece) for piece in cas.chunks_of(content, fetched.get)]
        with ExitStack() as opened:
            here = self._spots(file, pieces, opened)
            yield from self._assembled(file, pieces, here)
        self._disk.nodes.put_all(
            {node_id: wire.encode_message(node) for node_id, node in fetched.items()}
        )

    def _small(self, file: Download) -> bytes:
        key = (file.path, file.item.content)
        while key not in self._coming:
            found = next(self._stream, None)
            if found is None:
                self._coming[key] = self._fetch_one(
                    file, _Piece(0, file.item.content, file.item.size)
                )
            else:
                self._coming[found[0]] = found[1]
        plaintext = self._coming.pop(key)
        if plaintext is None:
            raise FileNotFoundError(os.fsdecode(file.path))
        return plaintext

    def _fetch_one(self, file: Download, piece: _Piece) -> bytes | None:
        wanted = WantedChunk(file.path, file.item.content, piece.id, piece.length, piece.offset)
        for fetched in self._lanes.fetch(self._place, file.sequence, [wanted]):
            return fetched.plaintext
        raise UntrustedError("the server sent nothing")

    def _assembled(
        self, file: Download, pieces: list[_Piece], here: dict[bytes, _Spot]
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
            spot = here.get(piece.id)
            if spot is None:
                plaintext = next(coming).plaintext
            else:
                plaintext = os.pread(spot.descriptor, spot.length, spot.offset)
                if self._keys.chunk_id(plaintext) != piece.id:
                    plaintext = self._fetch_one(file, piece)  # It was changed meanwhile.
            if plaintext is None:
                raise FileNotFoundError(os.fsdecode(file.path))
            yield plaintext

    def _spots(self, file: Download, pieces: list[_Piece], opened: ExitStack) -> dict[bytes, _Spot]:
        """Return where chunks of the file are on this disk already; they are checked when read."""
        spots: dict[bytes, _Spot] = {}
        for descriptor in self._disk.open_partials(file.item.content):
            opened.callback(os.close, descriptor)
            size = os.fstat(descriptor).st_size
            for piece in pieces:
                if piece.offset + piece.length <= size:
                    spots[piece.id] = _Spot(descriptor, piece.offset, piece.length)
        if file.here:
            descriptor = self._disk.open(file.here)
            opened.callback(os.close, descriptor)
            wanted = {piece.id for piece in pieces}
            for offset, chunk_id, length in self._pieces_here(descriptor):
                if chunk_id in wanted:
                    spots[chunk_id] = _Spot(descriptor, offset, length)
        return spots

    def _pieces_here(self, descriptor: int) -> Iterator[_Wanted]:
        found: list[_Wanted] = []
        identify_descriptor(
            descriptor,
            self._keys,
            lambda *_: None,
            lambda piece: found.append((piece.offset, piece.id, len(piece.plaintext))),
        )
        return iter(found)


def _content(item: Item) -> cas.Content:
    return cas.Content(item.kind, item.size, item.content)


def _values(nodes: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield the values when they are asked for, by when all are there."""
    yield from nodes.values()
