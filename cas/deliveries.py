"""Chunks and file nodes that accounts send ahead of the commits that name them.

    deliveries = Deliveries(repository)
    deliveries.receive(account, chunks, nodes)              # durable; kept for a day
    delivered = deliveries.assemble(account)
    delivered.admit(content, bases)                         # may this be put? what is missing?
    with volume.edit() as edit:
        edit.rely_on(delivered)
        edit.put("film.mkv", content)

An id is never a right: a file may be put if each of its chunks and nodes was sent by the account
within a day, or is in a file that the caller knows the account may read. Whatever else is in the
store counts as missing. Nothing here is rooted in a tree, so a collection may take it after its
grace; then it is missing too, and is sent again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from cas.catalog import COMMIT_RESERVE, ReadTransaction
from cas.contents import read_file_node, unshared
from cas.errors import InvalidError, MissingObjectError
from cas.file_nodes import objects_of
from cas.ids import Kind
from cas.nodes import ReadNodes
from cas.objects import Content, EntryKind, FileNode
from cas.packfile import Record
from cas.reliance import Reliance
from cas.repository import Repository
from cas.scratch import fresh, stamped
from cas.wire import PackedChunk, open_sent

KEPT_NS: Final = 86_400 * 1_000_000_000
"""How long what was sent may be named."""

_LENGTH: Final = struct.Struct(">I")
_BASE_OBJECTS_LIMIT: Final = 1_000_000
_ACCOUNT_SIZE: Final = 16


class Deliveries:
    """What accounts have sent to one repository. Shared by threads and processes.

    An account is named by 16 bytes that no other account ever has.
    """

    def __init__(self, repository: Repository) -> None:
        self._engine = repository.engine
        self._keys = repository.content_keys()

    def receive(self, account: bytes, chunks: Sequence[PackedChunk], nodes: Sequence[bytes]) -> int:
        """Store chunks and encoded file nodes; return until when they may be named.

        Nanoseconds since the epoch. All is durable, and known to other processes, on return.

        Raises:
            InvalidError: a node is none, or a chunk is not what its id says.
            StoreError, StoreFullError: the disk failed or is full.
        """
        engine = self._engine
        for encoded in nodes:
            read_file_node(encoded)
        records = self._checked(chunks)
        relies = Reliance(engine.process.rely())
        engine.chunks.put_packed(records, relies)
        node_ids = engine.chunks.put_nodes(Kind.FILE_NODE, list(dict.fromkeys(nodes)), relies)
        engine.chunks.open_packs.sync(relies)  # not while all commits wait
        until_ns = engine.clock.now_ns() + KEPT_NS
        lengths = {record.id: record.plain_size for record in records}
        with engine.catalog.write(reserve=COMMIT_RESERVE) as transaction:
            flushed = engine.chunks.open_packs.flush(transaction, [relies])
            for chunk_id, length in sorted(lengths.items()):
                row = stamped(_LENGTH.pack(length), until_ns)
                transaction.put_scratch(_name(account, Kind.CHUNK, chunk_id), row)
            for node_id in node_ids:
                transaction.put_scratch(
                    _name(account, Kind.FILE_NODE, node_id), stamped(b"", until_ns)
                )
        engine.chunks.open_packs.confirm(flushed)
        return until_ns

    def missing(
        self,
        account: bytes,
        chunks: Iterable[bytes],
        nodes: Iterable[bytes],
        bases: Iterable[Content],
    ) -> tuple[list[bytes], list[bytes]]:
        """Return which of these chunks and nodes the account has to send.

        Those are not asked for that it sent within a day, or that a base has. Of bases together,
        a million objects are looked at: what lies behind them counts as missing.
        """
        left = dict.fromkeys(chunks)
        left_nodes = dict.fromkeys(nodes)
        sent = self._sent(account)
        for kind, ids in ((Kind.CHUNK, left), (Kind.FILE_NODE, left_nodes)):
            stored = self._kept([i for i in ids if sent(kind, i) is not None])
            for object_id in stored:
                ids.pop(object_id)
        for object_id in islice(self._objects(bases), _BASE_OBJECTS_LIMIT):
            if not (left or left_nodes):
                break
            left.pop(object_id, None)
            left_nodes.pop(object_id, None)
        return list(left), list(left_nodes)

    def assemble(
        self, account: bytes, chunks: Sequence[PackedChunk] = (), nodes: Sequence[bytes] = ()
    ) -> Delivered:
        """Begin an edit that puts files out of what was sent; store what comes along with it.

        Raises:
            InvalidError: a node is none, or a chunk is not what its id says.
            StoreError, StoreFullError: the disk failed or is full.
        """
        engine = self._engine
        records = self._checked(chunks)
        carried = {encoded: read_file_node(encoded) for encoded in nodes}
        relies = Reliance(engine.process.rely())
        engine.chunks.put_packed(records, relies)
        node_ids = engine.chunks.put_nodes(Kind.FILE_NODE, list(carried), relies)
        return Delivered(
            relies,
            self._sent(account),
            self._kept,
            self.load,
            {record.id: record.plain_size for record in records},
            dict(zip(node_ids, carried.values(), strict=True)),
        )

    def load(self, node_id: bytes) -> FileNode | None:
        """Return a stored file node, None where it is not stored (any more)."""
        try:
            return self._engine.nodes.file_node(node_id)
        except MissingObjectError:
            return None

    def _checked(self, chunks: Iterable[PackedChunk]) -> list[Record]:
        """Return chunks as they are to be stored: of no two the plaintext is there at a time."""
        return [open_sent(chunk, self._keys) for chunk in chunks]

    def _objects(self, bases: Iterable[Content]) -> Iterator[bytes]:
        nodes = ReadNodes(self._engine.nodes)
        for base in bases:
            try:
                yield from objects_of(nodes, base)
            except MissingObjectError:
                continue  # an old version that is being collected: what is left of it is asked for

    def _kept(self, ids: Sequence[bytes], relies: Reliance | None = None) -> list[bytes]:
        """Return those that are stored, and not about to be deleted."""
        keeps = self._engine.chunks.keeps
        if keeps(ids, relies):  # nearly always
            return list(ids)
        return [object_id for object_id in ids if keeps([object_id], relies)]

    def _sent(self, account: bytes) -> _Sent:
        if len(account) != _ACCOUNT_SIZE:
            raise InvalidError(f"an account is named by {_ACCOUNT_SIZE} bytes")
        now_ns = self._engine.clock.now_ns()

        def look(kind: Kind, object_id: bytes) -> int | None:
            with self._engine.catalog.read() as transaction:
                return _length(transaction, _name(account, kind, object_id), now_ns)

        return look


_Sent = Callable[[Kind, bytes], int | None]


class Delivered:
    """The files of one edit, put together of what was sent. Belongs to one thread.

    `missing_chunks` and `missing_nodes` have to be sent before the edit can be committed.
    """

    def __init__(
        self,
        relies: Reliance,
        sent: _Sent,
        kept: Callable[[Sequence[bytes], Reliance], list[bytes]],
        load: Callable[[bytes], FileNode | None],
        chunks: dict[bytes, int],
        nodes: dict[bytes, FileNode],
    ) -> None:
        self.relies = relies
        self.missing_chunks: dict[bytes, None] = {}
        self.missing_nodes: dict[bytes, None] = {}
        self._sent = sent
        self._kept = kept
        self._load = load
        self._chunks = chunks
        self._nodes = nodes

    def admit(
        self, content: Content, bases: Sequence[Content] = (), *, epoch: int | None = None
    ) -> None:
        """See that all of a file is here and may be named; note what is missing.

        `bases` are files that the account may read, of a view with this epoch.

        Raises:
            InvalidError: the file's nodes do not fit together, or its chunks have other lengths.
        """
        if bases and epoch is not None:
            self.relies.take_over(epoch)
        _check_shape(content)
        found = unshared(content, self._find, [(base, self._load) for base in bases])
        self.missing_nodes.update(dict.fromkeys(found.absent))
        looked_up = []
        for chunk_id, length in found.chunks:
            carried = self._chunks.get(chunk_id)
            known = self._sent(Kind.CHUNK, chunk_id) if carried is None else carried
            if known is None:
                self.missing_chunks[chunk_id] = None
            elif known != length:
                raise InvalidError(f"chunk {chunk_id.hex()} has {known} bytes, not {length}")
            elif carried is None:
                looked_up.append(chunk_id)
        looked_up += (node_id for node_id in found.nodes if node_id not in self._nodes)
        kept = set(self._kept(looked_up, self.relies))
        for object_id in looked_up:
            if object_id not in kept:
                missing = self.missing_nodes if object_id in found.nodes else self.missing_chunks
                missing[object_id] = None

    def _find(self, node_id: bytes) -> FileNode | None:
        carried = self._nodes.get(node_id)
        if carried is not None:
            return carried
        return self._load(node_id) if self._sent(Kind.FILE_NODE, node_id) is not None else None


def _check_shape(content: Content) -> None:
    """Raise unless the values of a content can belong together.

    Raises:
        InvalidError: they cannot.
    """
    is_empty = content.kind is EntryKind.EMPTY_FILE
    is_file = is_empty or content.kind in {EntryKind.CHUNK_FILE, EntryKind.NODE_FILE}
    if not is_file or is_empty != (content.size == 0) or is_empty != (not content.id):
        raise InvalidError("a file's kind, size and id do not belong together")


def _length(transaction: ReadTransaction, name: bytes, now_ns: int) -> int | None:
    """Return the length of a chunk that was sent, 0 of a node, None where it was not."""
    row = fresh(transaction.scratch(name), now_ns)
    if row is None:
        return None
    return int(_LENGTH.unpack(row)[0]) if row else 0


def _name(account: bytes, kind: Kind, object_id: bytes) -> bytes:
    return b"sent/" + account + bytes([kind]) + object_id
