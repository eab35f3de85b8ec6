"""Content on its way up: only what the server says is missing, found by descending file nodes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import cas
from cas import wire
from syncd.committing import file_content
from syncd.disk.items import Item
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.reading import identify_descriptor
from syncd.disk.signatures import Signature
from syncd.pieces import Piece, Progress
from syncd.reasons import words
from syncd.remote.client import Remote
from syncd.remote.transfer import Transfers as Lanes

_ASKED_AT_ONCE: Final = 4096
"""Ids in one question of what is missing."""


class Outgoing(NamedTuple):
    """A file that is to be on the server: as `ports.Upload`, but with its path on the disk."""

    disk_path: str
    item: Item
    signature: Signature | None
    bases: list[bytes]
    sequence: int


class Sender:
    """Sends what the server lacks of files. One thread at a time.

    Args:
        remote: the server.
        lanes: move chunks, several at a time.
        place: of the volume.
        disk: the linked folder.
        keys: of content ids.
        progress: is told how far it is.
        check: called between chunks; ends the work by what it raises.
    """

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

    def send(self, files: Sequence[Outgoing]) -> dict[int, str]:
        """Send what the server lacks; return the reasons of those, by index, that cannot be sent.

        Raises:
            RemoteError: the server cannot be had. What was sent stays for a day.
        """
        failed: dict[int, str] = {}
        nodes: dict[bytes, bytes] = {}
        self._lanes.send(self._place, self._outgoing(files, nodes, failed), _values(nodes))
        return failed

    def _outgoing(
        self, files: Sequence[Outgoing], nodes: dict[bytes, bytes], failed: dict[int, str]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the chunks that the server lacks, and fill in the nodes."""
        sent: set[bytes] = set()
        for index, file in enumerate(files):
            if not file.item.size:
                continue
            try:
                yield from self._chunks_to_send(file, nodes, sent)
            except OSError as error:
                failed[index] = words(error)

    def _chunks_to_send(
        self, file: Outgoing, nodes: dict[bytes, bytes], sent: set[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        descriptor = self._disk.open_at(file.disk_path)
        rest = file.item.size
        try:
            if file.signature is not None and self._disk.signature(descriptor) != file.signature:
                raise OSError(errno.EBUSY, "it was changed meanwhile")
            for piece in self._lacking(file, descriptor, nodes):
                self._check()
                if piece.id in sent:
                    continue
                plaintext = os.pread(descriptor, piece.length, piece.offset)
                if self._keys.chunk_id(plaintext) != piece.id:
                    raise OSError(errno.EBUSY, "it was changed meanwhile")
                sent.add(piece.id)
                rest -= piece.length
                yield piece.id, plaintext
        finally:
            os.close(descriptor)
        self._progress.spared(up=rest)

    def _lacking(
        self, file: Outgoing, descriptor: int, nodes: dict[bytes, bytes]
    ) -> Iterator[Piece]:
        item = file.item
        if item.kind is cas.EntryKind.CHUNK_FILE:
            # Asking costs as much as sending, most often.
            yield Piece(0, item.content, item.size)
            return
        if self._disk.nodes.load(item.content) is None:
            identify_descriptor(descriptor, self._keys, self._disk.nodes.put)
        lacking = self._missing_nodes(file, nodes)
        if not lacking:
            return
        in_question = {piece.id for node in lacking.values() for piece in node.pieces}
        pieces = cas.chunks_of(file_content(item), self._disk.nodes.load)
        wanted = (Piece(*one) for one in pieces if one[1] in in_question)
        while some := list(islice(wanted, _ASKED_AT_ONCE)):
            self._check()
            missing = self._remote.missing(
                self._place,
                dict.fromkeys(piece.id for piece in some),
                bases=file.bases,
                sequence=file.sequence,
            )
            chosen = set(missing.chunks)
            yield from (piece for piece in some if piece.id in chosen)

    def _missing_nodes(
        self, file: Outgoing, nodes: dict[bytes, bytes]
    ) -> dict[bytes, cas.FileNode]:
        """Return the file's nodes that the server lacks; fill in how they are encoded.

        Raises:
            OSError: the file is not what was read of it.
        """
        found: dict[bytes, cas.FileNode] = {}
        level = [file.item.content]
        while level:
            self._check()
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


def _values(nodes: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield the values when they are asked for, by when all are there."""
    yield from nodes.values()
