"""Parts of stored files, one by one: file nodes and chunks, as somebody else puts them together.

A part is named by its id and an offset in the file that it covers, and is given only if the file
has it there: whoever may read the file may read the part, and an id alone leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cas.errors import NotKeptError
from cas.file_nodes import pieces_from
from cas.history import Recorded
from cas.nodes import ReadNodes
from cas.objects import Content, EntryKind, encode
from cas.repository import Repository
from cas.volume import Volume
from cas.wire import PackedChunk, stored_chunk


class FileParts:
    """Looks parts of files up in one repository. Shared by threads."""

    def __init__(self, repository: Repository) -> None:
        self._engine = repository.engine
        self._nodes = ReadNodes(self._engine.nodes)

    def node(self, content: Content, node_id: bytes, offset: int) -> bytes | None:
        """Return a file node, encoded, that stands above the offset; None where it does not.

        Raises:
            IntegrityError: a node is missing or damaged.
        """
        if content.kind is not EntryKind.NODE_FILE or not 0 <= offset < content.size:
            return None
        current, start = content.id, 0
        while True:
            node = self._nodes.load_file_node(current)
            if current == node_id:
                return encode(node)
            for span in node.spans:
                if offset < start + span.size:
                    current = span.id
                    break
                start += span.size
            else:
                return None

    def has_chunk(self, content: Content, chunk_id: bytes, offset: int) -> int:
        """Return the length of a chunk that covers the offset, 0 where another one does.

        Raises:
            IntegrityError: a node is missing or damaged.
        """
        if not 0 <= offset < content.size:
            return 0
        _, found, length = next(pieces_from(self._nodes, content, offset))
        return length if found == chunk_id else 0

    def chunks(self, ids: Sequence[bytes]) -> Iterator[PackedChunk]:
        """Yield chunks that `has_chunk` has granted, checked, compressed as stored, in order.

        Raises:
            IntegrityError: one is missing or damaged.
        """
        return map(stored_chunk, self._engine.chunks.get_packed(ids))


def numbered_changes(repository: Repository, volume: Volume, after: int) -> Iterator[Recorded]:
    """Yield the changes after number `after`, with their numbers, none left out.

    Raises:
        NotKeptError: the next one is not kept any more.
    """
    expected = after + 1
    history = repository.engine.history.open(volume.id)
    for recorded in history.forward(expected):
        if recorded.sequence != expected:
            raise NotKeptError(expected)
        yield recorded
        expected += 1
    if expected <= history.head.sequence:
        raise NotKeptError(expected)
