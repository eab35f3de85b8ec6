"""A volume as a dict of paths: what the repository must do, said in the simplest way there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import cas

Path: TypeAlias = tuple[str, ...]


class RefusedError(Exception):
    """The model does not allow the operation; nothing changes."""


@dataclass(frozen=True)
class Node:
    """A file (its bytes), a link (its target) or a folder, with its dead properties."""

    kind: Literal["file", "link", "folder"]
    data: bytes = b""
    properties: tuple[tuple[str, str], ...] = ()


FOLDER = Node("folder")
Tree: TypeAlias = dict[Path, Node]
"""Everything in a volume but its root."""


def text(path: Path) -> str:
    return "/".join(path)


def below(tree: Tree, path: Path) -> list[Path]:
    """Return the path, where there is something, and all paths below it."""
    return [each for each in tree if each[: len(path)] == path]


def kind_of(tree: Tree, path: Path) -> str | None:
    if not path:
        return "folder"
    node = tree.get(path)
    return node.kind if node else None


def put(tree: Tree, path: Path, data: bytes) -> None:
    _require(kind_of(tree, path) in {None, "file"})
    _require_parent(tree, path)
    old = tree.get(path)
    tree[path] = replace(old, data=data) if old else Node("file", data)


def put_folder(tree: Tree, path: Path, members: Tree) -> None:
    """Make the path a folder of these members, in place of a folder that is there."""
    _require(bool(path) and kind_of(tree, path) in {None, "folder"})
    _require_parent(tree, path)
    for each in below(tree, path):
        del tree[each]
    tree[path] = FOLDER
    tree.update({path + each: node for each, node in members.items()})


def make_directory(tree: Tree, path: Path, *, parents: bool) -> None:
    if parents:
        for depth in range(1, len(path)):
            if kind_of(tree, path[:depth]) is None:
                make_directory(tree, path[:depth], parents=False)
        if kind_of(tree, path) == "folder":
            return
    _require(kind_of(tree, path) is None)
    _require_parent(tree, path)
    tree[path] = FOLDER


def make_symlink(tree: Tree, path: Path, target: str) -> None:
    _require(kind_of(tree, path) != "folder")
    _require_parent(tree, path)
    tree[path] = Node("link", target.encode())


def remove(tree: Tree, path: Path) -> None:
    _require(path in tree)
    for each in below(tree, path):
        del tree[each]


def move(tree: Tree, source: Path, path: Path, *, overwrite: bool) -> None:
    copy(tree, source, path, overwrite=overwrite, recursive=True)
    remove(tree, source)


def copy(tree: Tree, source: Path, path: Path, *, overwrite: bool, recursive: bool) -> None:
    _require(source in tree and source != path and bool(path))
    apart = path[: len(source)] != source and source[: len(path)] != path
    bare = tree[source].kind == "folder" and not recursive
    _require(apart or (bare and path[: len(source)] == source))
    subtree = {source: tree[source]} if bare else {p: tree[p] for p in below(tree, source)}
    attach(tree, path, {p[len(source) :]: node for p, node in subtree.items()}, overwrite=overwrite)


def attach(tree: Tree, path: Path, subtree: Tree, *, overwrite: bool) -> None:
    """Put a subtree, whose own root is at (), at the path."""
    _require(bool(path))
    _require_parent(tree, path)
    if path in tree:
        _require(overwrite)
        remove(tree, path)
    for relative, node in subtree.items():
        tree[path + relative] = node


def set_properties(tree: Tree, path: Path, properties: dict[str, str]) -> None:
    _require(path in tree)
    tree[path] = replace(tree[path], properties=tuple(sorted(properties.items())))


def read_tree(view: cas.View) -> Tree:
    """Return what a view holds, every byte read, with all sums checked."""
    found: Tree = {}
    entries: dict[Path, cas.Entry] = {(): view.root}
    for path, entry in view.walk():
        names = tuple(path.split("/"))
        entries[names] = entry
        properties = tuple(sorted(view.properties(entry).items()))
        if entry.is_directory:
            found[names] = Node("folder", b"", properties)
        elif entry.is_file:
            with view.open(path) as reader:
                found[names] = Node("file", reader.read(), properties)
        else:
            assert entry.kind is cas.EntryKind.SYMLINK
            found[names] = Node("link", entry.content, properties)
    for path_of_folder, entry in entries.items():
        if entry.is_directory:
            _check_sums(entry, path_of_folder, found)
    return found


def _check_sums(entry: cas.Entry, path: Path, tree: Tree) -> None:
    inside = [tree[each] for each in below(tree, path) if each != path]
    assert entry.files == sum(node.kind != "folder" for node in inside)
    assert entry.folders == sum(node.kind == "folder" for node in inside)
    assert entry.size == sum(len(node.data) for node in inside)


def _require_parent(tree: Tree, path: Path) -> None:
    _require(bool(path) and kind_of(tree, path[:-1]) == "folder")


def _require(condition: bool) -> None:  # noqa: FBT001
    if not condition:
        raise RefusedError
