"""A server in memory that speaks `cas.wire`, for simulations of syncd's engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cas
from cas import wire
from syncd.disk.items import Item
from syncd.remote.errors import ConflictError, MissingError
from syncd.trees import FOLDER
from tests.support.drawn_trees import Drawing

PAGE = 7
PLACE = wire.Place(b"v" * 16)


class SimulatedServer:
    """One volume. Each state is a drawing; `contents` are the files that were sent."""

    def __init__(self) -> None:
        self.states: list[Drawing] = [{}]
        self.changes: list[wire.RemoteChange] = []
        self.contents: dict[bytes, bytes] = {b"": b""}

    @property
    def sequence(self) -> int:
        return len(self.changes)

    def drawing(self) -> Drawing:
        return self.states[-1]

    # What a device asks.

    def delta(self, place: wire.Place, since: int) -> wire.Delta:
        if since > self.sequence:
            return wire.Delta([], since, self.sequence, is_unknown=True)
        changes = self.changes[since : since + PAGE]
        return wire.Delta(changes, since + len(changes), self.sequence)

    def tree(
        self, place: wire.Place, *, sequence: int = 0, path: bytes = b""
    ) -> Iterator[wire.TreePage]:
        sequence = sequence or self.sequence
        prefix = os.fsdecode(path) + "/" if path else ""
        items = [
            wire.TreeItem(os.fsencode(inner), entry_of(item))
            for inner, item in sorted(
                self.states[sequence].items(), key=lambda pair: pair[0].split("/")
            )
            if inner.startswith(prefix)
        ]
        starts = range(0, max(len(items), 1), PAGE)
        for start in starts:
            page = items[start : start + PAGE]
            yield wire.TreePage(sequence, page, start == starts[-1])

    def commit(self, request: wire.CommitRequest) -> wire.Committed:
        done = [change.sequence for change in self.changes if change.key == request.key]
        if done:
            return wire.Committed(done[0] - 1, done[-1], [], is_repeated=True)
        before = self.sequence
        failures = [
            wire.Failure(index, "conflict", str(operation))
            for index, operation in enumerate(request.operations)
            if not self._holds(operation, request.base)
        ]
        changes: list[wire.RemoteChange] = []
        states: list[Drawing] = []
        drawing = dict(self.drawing())
        for index, operation in enumerate(request.operations):
            if failures:
                break
            try:
                change = self._carry_out(drawing, operation)
            except LookupError as error:
                failures.append(wire.Failure(index, "conflict", str(error)))
                break
            changes.append(
                wire.RemoteChange(
                    before + len(changes) + 1,
                    change.action,
                    change.path,
                    change.entry,
                    change.source,
                    key=request.key,
                    device=request.device,
                )
            )
            states.append(dict(drawing))
        if failures:
            head = wire.Head(self.sequence, entry_of(FOLDER))
            raise ConflictError(409, wire.Refusal("conflict", "no", failures, head))
        self.changes += changes
        self.states += states
        return wire.Committed(before, self.sequence, [change.entry for change in changes])

    # What an operation does.

    def _holds(self, operation: wire.Operation, base: int) -> bool:
        path = getattr(operation, "path", b"")
        source = getattr(operation, "source", path)
        expect = getattr(operation, "expect", None)
        expect_path = getattr(operation, "expect_path", None)
        return self._is_as(source, expect, base) and self._is_as(path, expect_path, base)

    def _is_as(self, path: bytes, expect: wire.Expectation | None, base: int) -> bool:
        name = os.fsdecode(path)
        if isinstance(expect, wire.Absent):
            return name not in self.drawing()
        if isinstance(expect, wire.Unchanged):
            return _contents(self.states[base], name) == _contents(self.drawing(), name)
        return True

    def _carry_out(  # noqa: C901 - one case each
        self, drawing: Drawing, operation: wire.Operation
    ) -> wire.RemoteChange:
        path = os.fsdecode(operation.path)
        folder = path.rpartition("/")[0]
        if folder and drawing.get(folder) != FOLDER:
            raise LookupError(f"no folder {folder}")
        match operation:
            case wire.PutFile():
                if operation.content.id not in self.contents:
                    missing = wire.Missing([operation.content.id])
                    refusal = wire.Refusal("missing", "not sent", missing=missing)
                    raise MissingError(412, refusal)
                return self._put(drawing, path, _file(operation, drawing.get(path)))
            case wire.PutLink():
                size = len(operation.target)
                item = Item(cas.EntryKind.SYMLINK, operation.target, size, operation.mtime_ns)
                return self._put(drawing, path, item)
            case wire.MakeFolder():
                if path in drawing:
                    raise LookupError(f"{path} is there")
                drawing[path] = FOLDER
                return _change(cas.Action.MAKE_DIRECTORY, path, FOLDER)
            case wire.Remove():
                if path not in drawing:
                    raise LookupError(f"no {path}")
                for inner in _at_or_below(drawing, path):
                    del drawing[inner]
                return _change(cas.Action.REMOVE, path, None)
            case wire.Move():
                return _move(drawing, os.fsdecode(operation.source), path)
            case wire.SetAttributes():
                return _set(drawing, path, operation)
            case _:
                raise NotImplementedError(operation)

    def _put(self, drawing: Drawing, path: str, item: Item) -> wire.RemoteChange:
        if drawing.get(path) == FOLDER:
            raise LookupError(f"{path} is a folder")
        drawing[path] = item
        return _change(cas.Action.PUT, path, item)


def entry_of(item: Item) -> wire.RemoteEntry:
    mode = 0o755 if item.is_executable or item == FOLDER else 0o644
    return wire.RemoteEntry(b"", item.kind, item.size, item.mtime_ns, mode, item.content)


def _change(
    action: cas.Action, path: str, item: Item | None, source: str | None = None
) -> wire.RemoteChange:
    entry = entry_of(item) if item is not None else None
    encoded = os.fsencode(source) if source is not None else None
    return wire.RemoteChange(0, action, os.fsencode(path), entry, encoded)


def _at_or_below(drawing: Drawing, path: str) -> list[str]:
    return [inner for inner in drawing if inner == path or inner.startswith(f"{path}/")]


def _contents(drawing: Drawing, path: str) -> dict[str, tuple[int, bytes]]:
    return {
        inner: (drawing[inner].size, drawing[inner].content)
        for inner in _at_or_below(drawing, path)
    }


def _file(operation: wire.PutFile, old: Item | None) -> Item:
    executable = old.is_executable if old is not None else False
    if operation.mode is not None:
        executable = bool(operation.mode & 0o100)
    content = operation.content
    return Item(content.kind, content.id, content.size, operation.mtime_ns, executable)


def _move(drawing: Drawing, source: str, path: str) -> wire.RemoteChange:
    if source not in drawing or path in drawing or path.startswith(f"{source}/"):
        raise LookupError(f"cannot move {source} to {path}")
    for inner in _at_or_below(drawing, source):
        drawing[path + inner[len(source) :]] = drawing.pop(inner)
    return _change(cas.Action.MOVE, path, drawing[path], source)


def _set(drawing: Drawing, path: str, operation: wire.SetAttributes) -> wire.RemoteChange:
    old = drawing.get(path)
    if old is None:
        raise LookupError(f"no {path}")
    mtime_ns = old.mtime_ns if operation.mtime_ns is None else operation.mtime_ns
    executable = old.is_executable if operation.mode is None else bool(operation.mode & 0o100)
    drawing[path] = Item(old.kind, old.content, old.size, mtime_ns, executable)
    return _change(cas.Action.SET_PROPERTIES, path, drawing[path])
