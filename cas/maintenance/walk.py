"""Walking everything that a root reaches, each node once: is it there, and is it what it must be?

Post-order, with a stack of its own: a node is known to be sound when all below it is. Visited
nodes are kept as a number each, which also says what sums they had: a second parent that names
other ones is in error.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from cas.catalog import Location
from cas.engine import Engine
from cas.errors import CasError
from cas.ids import Kind
from cas.maintenance.damage import Damage, DamageKind
from cas.maintenance.marks import Numbers
from cas.maintenance.pack_table import PackTable
from cas.maintenance.shapes import ROOT, Context, file_fault, file_size, tree_fault
from cas.objects import Entry, EntryKind, FileNode, TreeNode, decode, encode
from cas.packfile import RECORD_OVERHEAD
from cas.records import open_record
from cas.trees import sum_children, sum_entries

_LOW: Final = 0xFFFFFFFF


class Reference(NamedTuple):
    """A node as it is named from above, with the sums that it must have, if they are told."""

    kind: Kind
    id: bytes
    sums: tuple[int, ...] | None
    context: Context = ROOT


class _Frame:
    """A node whose children are being walked."""

    __slots__ = ("children", "id", "is_sound")

    def __init__(
        self,
        node_id: bytes,
        children: Iterator[tuple[Reference, Location | None]],
        *,
        is_sound: bool,
    ) -> None:
        self.id = node_id
        self.children = children
        self.is_sound = is_sound


class Walk:
    """A walk over the objects of a repository. For one thread.

    `broken` are the objects that cannot be had, `dirty` the nodes that have such a one below them.
    """

    def __init__(
        self,
        engine: Engine,
        packs: PackTable,
        report: Callable[[Damage], None],
        *,
        holes: Container[bytes] = (),
    ) -> None:
        """Make one; `holes` are the ids of content that need not be there."""
        self._engine = engine
        self._holes = holes
        self._packs = packs
        self._report = report
        self._seen = Numbers()
        self._young: dict[bytes, int] = {}
        self.broken: set[bytes] = set()
        self.dirty: set[bytes] = set()
        self.objects = 0

    def without(self, holes: Container[bytes]) -> Walk:
        """Return a walk of states that are kept without some content; it shares what is broken."""
        other = Walk(self._engine, self._packs, self._report, holes=holes)
        other.broken, other.dirty = self.broken, self.dirty
        return other

    def entry(self, entry: Entry) -> bool:
        """Walk what an entry names; return whether all of it is sound."""
        nodes, chunks = self._named([entry])
        is_sound = self._has_chunks(chunks)
        for node in nodes:
            is_sound &= self.node(node)
        return is_sound

    def node(self, top: Reference) -> bool:
        """Walk from a node down; return whether all of it is sound."""
        stack: list[_Frame] = []
        is_sound = self._enter(top, None, stack)
        while stack:
            frame = stack[-1]
            child = next(frame.children, None)
            if child is not None:
                if not self._enter(*child, stack):
                    frame.is_sound = False
                continue
            stack.pop()
            if not frame.is_sound:
                self.dirty.add(frame.id)
                if stack:
                    stack[-1].is_sound = False
                is_sound = False
        return is_sound

    def load(self, kind: Kind, object_id: bytes) -> bytes | None:
        """Return an object's bytes, checked; None, and it is told, where it cannot be had."""
        (location,) = self._packs.find([object_id])
        return self._load(kind, object_id, location)

    def _enter(self, reference: Reference, location: Location | None, stack: list[_Frame]) -> bool:
        """Begin with a node; False if it is known to be damaged, or is found so by itself.

        The location is where it lay a while ago, None where it was in no pack.
        """
        node_id = reference.id
        if node_id in self.broken:
            return False
        if location is None:
            (location,) = self._packs.find([node_id])
        seen = self._young.get(node_id, 0) if location is None else self._seen.get(location)
        if not seen:
            return self._open(reference, location, stack)
        if not _agrees(seen, reference):
            self._tell_fault(reference, "a node above it names other sums than it has")
            return False
        return node_id not in self.dirty

    def _open(self, reference: Reference, location: Location | None, stack: list[_Frame]) -> bool:
        encoded = self._load(reference.kind, reference.id, location)
        if encoded is None:
            return False
        self.objects += 1
        try:
            seen, nodes, chunks, fault = self._read(reference, encoded)
        except CasError as error:
            self.broken.add(reference.id)
            self._tell_fault(reference, str(error))
            return False
        if location is None:
            self._young[reference.id] = seen
        else:
            self._seen.set(location, seen)
        if fault is None and not _agrees(seen, reference):
            fault = "a node above it names other sums than it has"
        if fault is not None:
            self._tell_fault(reference, fault)
        is_sound = self._has_chunks(chunks) and fault is None
        found = self._packs.find([node.id for node in nodes]) if nodes else []
        children = zip(nodes, found, strict=True)
        stack.append(_Frame(reference.id, children, is_sound=is_sound))
        return is_sound

    def _read(
        self, reference: Reference, encoded: bytes
    ) -> tuple[int, list[Reference], list[tuple[bytes, int | None]], str | None]:
        """Return a node's fingerprint, what it names, and what is wrong with it."""
        if reference.kind is Kind.TREE_NODE:
            node = decode(encoded, TreeNode)
            fault = tree_fault(node, self._engine.shape, reference.context)
            sums = sum_children(node.children) if node.level else sum_entries(node.entries)
            if node.level:
                below = _children(node, reference.context)
                return _fingerprint(node.level, sums), below, [], fault
            return _fingerprint(0, sums), *self._named(node.entries), fault
        file = decode(encoded, FileNode)
        fault = file_fault(file, reference.context)
        seen = _fingerprint(file.level, (file_size(file),))
        spans = _spans(file, reference.context)
        return seen, spans, [(piece.id, piece.length) for piece in file.pieces], fault

    def _named(
        self, entries: Sequence[Entry]
    ) -> tuple[list[Reference], list[tuple[bytes, int | None]]]:
        return _named(entries, self._holes)

    def _has_chunks(self, chunks: Sequence[tuple[bytes, int | None]]) -> bool:
        """Return whether the chunks are there, with these lengths; tell of those that are not."""
        if not chunks or self._packs.has_chunks(chunks):
            return True
        is_sound = True
        locations = self._packs.find([chunk_id for chunk_id, _ in chunks])
        for (chunk_id, length), found in zip(chunks, locations, strict=True):
            location = self._packs.sound(chunk_id, found)
            if location is None:
                is_sound = False
                self._break(Kind.CHUNK, chunk_id, found)
            elif location.kind is not Kind.CHUNK or length not in {None, location.plain_size}:
                is_sound = False
                self.broken.add(chunk_id)
                message = "is not the chunk that a file names, or has another length"
                self._tell_fault(Reference(Kind.CHUNK, chunk_id, None), message)
        return is_sound

    def _load(self, kind: Kind, object_id: bytes, found: Location | None) -> bytes | None:
        location = self._packs.sound(object_id, found)
        if location is None:
            if found is None and kind is Kind.TREE_NODE:
                with self._engine.catalog.read() as transaction:
                    young = transaction.young_node(object_id)
                identify = self._engine.chunks.identifier.identify
                if young is not None and identify(kind, young) == object_id:
                    return young
            self._break(kind, object_id, found)
            return None
        chunks = self._engine.chunks
        try:
            seal = chunks.reader.seal(location.pack)
            stored = chunks.reader.read(
                location.pack, location.offset + RECORD_OVERHEAD, location.stored_size
            )
            return bytes(open_record(chunks.identifier, kind, object_id, location, stored, seal))
        except CasError as error:
            (now,) = self._packs.find([object_id])
            if now != location:  # it has been moved meanwhile
                return self._load(kind, object_id, now)
            self.broken.add(object_id)
            self._report(self._damage(DamageKind.DAMAGED, kind, object_id, str(error), location))
            return None

    def _break(self, kind: Kind, object_id: bytes, found: Location | None) -> None:
        """Note that an object cannot be had; what is wrong with its pack was told already."""
        if object_id not in self.broken:
            self.broken.add(object_id)
            if found is None:
                what = f"{kind.words} {object_id.hex()} is missing: no pack has it"
                self._report(Damage(DamageKind.MISSING, what, b"", kind, object_id))

    def _tell_fault(self, reference: Reference, fault: str) -> None:
        message = f"{reference.kind.words} {reference.id.hex()}: {fault}"
        damage = Damage(DamageKind.INCONSISTENT, message, b"", reference.kind, reference.id)
        self._report(damage)

    def _damage(
        self, kind: DamageKind, object_kind: Kind, object_id: bytes, message: str, place: Location
    ) -> Damage:
        with self._engine.catalog.read() as transaction:
            pack = transaction.pack(place.pack)
        where = f", in pack {pack.id.hex()} at {place.offset}" if pack else ""
        return Damage(
            kind,
            f"{object_kind.words}: {message}{where}",
            pack.id if pack else b"",
            object_kind,
            object_id,
            place.offset,
        )


def _named(
    entries: Sequence[Entry], holes: Container[bytes]
) -> tuple[list[Reference], list[tuple[bytes, int | None]]]:
    """Return the nodes and chunks that entries name; the chunks with their lengths if known."""
    nodes: list[Reference] = []
    chunks: list[tuple[bytes, int | None]] = []
    for entry in entries:
        if entry.is_file and entry.content in holes:
            pass
        elif entry.kind is EntryKind.CHUNK_FILE:
            chunks.append((entry.content, entry.size))
        elif entry.kind is EntryKind.NODE_FILE:
            nodes.append(Reference(Kind.FILE_NODE, entry.content, (entry.size,)))
        elif entry.kind is EntryKind.DIRECTORY and entry.content:
            sums = (entry.files, entry.folders, entry.size)
            nodes.append(Reference(Kind.TREE_NODE, entry.content, sums))
        if entry.properties_id:
            chunks.append((entry.properties_id, None))
    return nodes, chunks


def _children(node: TreeNode, context: Context) -> list[Reference]:
    references = []
    after = context.after
    for name, child in zip(node.names, node.children, strict=True):
        is_last = context.is_last and name is node.names[-1]
        sums = (child.entries, child.files, child.folders, child.size)
        place = Context(node.level - 1, name, after, is_last)
        references.append(Reference(Kind.TREE_NODE, child.id, sums, place))
        after = name
    return references


def _spans(node: FileNode, context: Context) -> list[Reference]:
    last = len(node.spans) - 1
    return [
        Reference(
            Kind.FILE_NODE,
            span.id,
            (span.size,),
            Context(node.level - 1, is_last=context.is_last and index == last),
        )
        for index, span in enumerate(node.spans)
    ]


def _fingerprint(level: int, sums: tuple[int, ...]) -> int:
    """Return a node's level and sums as 32 bits, and below them those that a root's entry has."""
    full = xxh3_64_intdigest(encode((level, sums))) & _LOW
    return full << 32 | _root_fingerprint(sums) or 1


def _root_fingerprint(sums: tuple[int, ...]) -> int:
    """Return 32 bits for sums as an entry names them: it does not count its own names."""
    return xxh3_64_intdigest(encode(sums[-3:])) & _LOW


def _agrees(seen: int, reference: Reference) -> bool:
    level = reference.context.level
    if reference.sums is None:
        return True
    if level is None:
        return seen & _LOW == _root_fingerprint(reference.sums)
    return seen >> 32 == _fingerprint(level, reference.sums) >> 32
