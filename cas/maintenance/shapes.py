"""What nodes must be by the format: their shape, their order, their sums.

A node's bytes are proven by its id; what is found here was written so, by a program in error.
Each function returns what is wrong, or None.
"""

from __future__ import annotations

from itertools import pairwise
from operator import lt
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from cas.errors import InvalidError
from cas.file_nodes import FileShape
from cas.objects import INLINE_PROPERTIES_LIMIT, MODE_BITS, Entry, EntryKind, FileNode, TreeNode
from cas.paths import check_name
from cas.trees import TreeShape

_ID_SIZE = 32
_FILE_SHAPE = FileShape()


class Context(NamedTuple):
    """Where a node stands: what its parent says of it.

    `level` is None for a root. `last` is the last name below it, `after` one that all its names
    must be beyond; `is_last` says that nothing of the same tree follows it.
    """

    level: int | None = None
    last: bytes | None = None
    after: bytes = b""
    is_last: bool = True


ROOT = Context()


def tree_fault(node: TreeNode, shape: TreeShape, context: Context) -> str | None:  # noqa: PLR0911 - one for each rule
    """Return what is wrong with a tree node in its place."""
    names = node.names
    below = node.children if node.level else node.entries
    other = node.entries if node.level else node.children
    if not names or len(below) != len(names) or other:
        return "its names do not match its entries"
    if context.level not in {None, node.level}:
        return "it stands on the wrong level"
    if not all(map(lt, names, names[1:])) or names[0] <= context.after:
        return "its names are not in order"
    if context.last not in {None, names[-1]}:
        return "its last name is not the one that its parent has"
    if context.level is None and node.level and len(names) == 1:
        return "it is a root with a single child"
    border = (1 << shape.border_bits * (node.level + 1)) - 1
    if len(names) > shape.node_limit or not all(
        xxh3_64_intdigest(name, shape.seed) & border for name in names[:-1]
    ):
        return "it goes on behind its end"
    is_cut = not context.is_last and len(names) < shape.node_limit
    if is_cut and xxh3_64_intdigest(names[-1], shape.seed) & border:
        return "it ends before its end"
    if node.level == 0:
        return _leaf_fault(node)
    return None


def _leaf_fault(leaf: TreeNode) -> str | None:
    for name, entry in zip(leaf.names, leaf.entries, strict=True):
        try:
            check_name(name)
        except InvalidError as error:
            return str(error)
        fault = entry_fault(entry)
        if fault is not None:
            return f"its entry {name!r} {fault}"
    return None


def entry_fault(entry: Entry) -> str | None:
    """Return what is wrong with an entry by itself."""
    kind, size, content = entry.kind, entry.size, entry.content
    if kind is EntryKind.CHUNK_FILE or kind is EntryKind.NODE_FILE:
        is_right = len(content) == _ID_SIZE and size > 0
    elif kind is EntryKind.DIRECTORY:
        is_right = (
            len(content) == _ID_SIZE if entry.files or entry.folders else not content and not size
        )
    elif kind is EntryKind.SYMLINK:
        is_right = size == len(content)
    else:
        is_right = not size and (kind is EntryKind.RECORD or not content)
    if not is_right:
        return "has a size or content that cannot be"
    if kind is not EntryKind.DIRECTORY and (entry.files or entry.folders):
        return "has sums, and is no directory"
    if not 0 <= entry.mode <= MODE_BITS:
        return "has a mode that cannot be"
    properties = len(entry.properties)
    if properties > INLINE_PROPERTIES_LIMIT or (
        entry.properties_id and (properties or len(entry.properties_id) != _ID_SIZE)
    ):
        return "has properties that cannot be"
    return None


def file_fault(node: FileNode, context: Context) -> str | None:  # noqa: PLR0911 - one for each rule
    """Return what is wrong with a file node in its place."""
    shape = _FILE_SHAPE
    below = node.spans if node.level else node.pieces
    other = node.pieces if node.level else node.spans
    if not below or other:
        return "it holds nothing, or what a node of its level cannot hold"
    if context.level not in {None, node.level}:
        return "it stands on the wrong level"
    if len(below) > shape.node_limit:
        return "it goes on behind its end"
    if node.level:
        is_single = context.level is None and len(node.spans) == 1
        return "it is a root with a single child" if is_single else None
    if any(piece.length <= 0 or piece.repeat <= 0 for piece in node.pieces):
        return "it has an empty piece"
    if any(shape.height(piece.id) > 0 for piece in node.pieces[:-1]):
        return "it goes on behind its end"
    if any(one.id == two.id and one.length == two.length for one, two in pairwise(node.pieces)):
        return "it has a piece twice that should be repeated"
    is_cut = not context.is_last and len(node.pieces) < shape.node_limit
    if is_cut and not shape.height(node.pieces[-1].id):
        return "it ends before its end"
    return None


def file_size(node: FileNode) -> int:
    """Return the bytes of content below a file node."""
    if node.level:
        return sum(span.size for span in node.spans)
    return sum(piece.length * piece.repeat for piece in node.pieces)
