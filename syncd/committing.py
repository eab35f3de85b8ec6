"""Which steps go together, and what they are as the operations of a commit. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

import cas
from cas import wire
from syncd.disk.items import Item
from syncd.plan import Action, Step
from syncd.trees import FOLDER

PATHS_AT_ONCE: Final = 1000
"""Steps of one commit."""
BYTES_AT_ONCE: Final = 32 * 1024 * 1024
"""Bytes of files after which a commit is made: small files do not wait for large ones."""
STEPS_AT_ONCE: Final = 256
"""Steps on the disk between two looks at the state."""
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644


def is_at_or_below(path: str, others: set[str]) -> bool:
    """Whether a path is one of others, or below one."""
    while path:
        if path in others:
            return True
        path = path.rpartition("/")[0]
    return False


def slices(steps: Sequence[Step], paths: int = PATHS_AT_ONCE) -> Iterator[list[Step]]:
    """Yield steps in groups that are committed together.

    A group never ends while something is parked: nobody else is to see that name.
    """
    group: list[Step] = []
    parked: set[int] = set()
    size = 0
    for step in steps:
        group.append(step)
        size += step.item.size if step.action is Action.PUT else 0
        if step.is_parked:
            parked.add(step.node)
        else:
            parked.discard(step.node)
        is_full = len(group) >= paths or size >= BYTES_AT_ONCE
        if is_full and (not parked or len(group) >= wire.OPERATION_LIMIT):
            yield group
            group, size = [], 0
    if group:
        yield group


def batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yield steps in groups that are carried out on the disk together."""
    batch: list[Step] = []
    size = 0
    has_moves = False
    for step in steps:
        if has_moves and step.action is Action.REMOVE and step.item == FOLDER:
            # Whether all has left it is known only when that was tried.
            yield batch
            batch, size, has_moves = [], 0, False
        batch.append(step)
        has_moves = has_moves or step.action is Action.MOVE
        size += step.item.size if step.action is Action.PUT else 0
        if len(batch) >= STEPS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield batch
            batch, size, has_moves = [], 0, False
    if batch:
        yield batch


def operations(steps: Sequence[Step], bases: Sequence[Sequence[bytes]]) -> list[wire.Operation]:
    """Return the operations of a commit.

    All that they expect is compared with the state before the commit. So a path that an earlier
    step of it has changed is expected nothing of: it is that step which expects something.

    Args:
        steps: in their order.
        bases: of each step, the files that its content is partly in.
    """
    made: list[wire.Operation] = []
    touched: set[str] = set()
    for step, files in zip(steps, bases, strict=True):
        made.append(_operation(step, files, touched))
        touched.add(step.path)
        if step.action is Action.MOVE:
            touched.add(step.source)
    return made


def _operation(step: Step, bases: Sequence[bytes], touched: set[str]) -> wire.Operation:
    path = os.fsencode(step.path)
    is_free = not is_at_or_below(step.path, touched)
    expect = (wire.Unchanged() if step.old is not None else wire.Absent()) if is_free else None
    if step.action is Action.MAKE_FOLDER:
        return wire.MakeFolder(path)
    if step.action is Action.REMOVE:
        return wire.Remove(path, expect)
    if step.action is Action.MOVE:
        is_source_free = not is_at_or_below(step.source, touched)
        return wire.Move(
            os.fsencode(step.source),
            path,
            wire.Unchanged() if is_source_free else None,
            wire.Absent() if is_free else None,
        )
    if step.action is Action.SET:
        return wire.SetAttributes(path, step.item.mtime_ns, _mode(step), expect)
    if step.item.kind is cas.EntryKind.SYMLINK:
        return wire.PutLink(path, step.item.content, step.item.mtime_ns, expect)
    content = file_content(step.item)
    return wire.PutFile(path, content, step.item.mtime_ns, _mode(step), expect, list(bases))


def file_content(item: Item) -> cas.Content:
    """Return a file's content as the functions of `cas` take it."""
    return cas.Content(item.kind, item.size, item.content)


def _mode(step: Step) -> int | None:
    """Return the mode that an entry gets, None where its own is right already."""
    before = step.old.is_executable if step.old is not None else False
    if step.item.is_executable == before:
        return None
    return _EXECUTABLE if step.item.is_executable else _PLAIN
