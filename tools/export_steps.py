"""What an export does one after the other, and the bytes of small files read ahead of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

import cas

_FILES_AHEAD: Final = 256
_BYTES_AHEAD: Final = 4 << 20
Bytes: TypeAlias = bytes | memoryview
"""Bytes of a file, in a piece that nobody changes."""


class Action(Enum):
    """What is to be done: `LEAVE` a folder that was entered, `TELL` of one that is damaged."""

    ENTER = "enter"
    LEAVE = "leave"
    WRITE = "write"
    TELL = "tell"


class Step(NamedTuple):
    """One step: path in the volume, last name of it, and entry; or what is the matter with it.

    `content` is a file's bytes, None where they have to be read.
    """

    action: Action
    path: str
    name: str
    entry: cas.Entry
    damage: cas.CasError | None = None
    content: Bytes | None = None


def export_steps(view: cas.View, path: str, folder: cas.Entry) -> Generator[Step]:
    """Yield the steps that write all that is below a folder, in the order of its listing.

    The bytes of small files are read many at a time, while the ones before are written. Of those
    that cannot be read this way nothing is said: whoever opens them learns why.

    Raises:
        cas.StoreError: the store fails.
    """
    before: tuple[list[Step], Future[dict[int, Bytes]]] | None = None
    with ThreadPoolExecutor(1, "casdav-export") as reader:
        for some in _batches(_walk(view, path, folder)):
            reading = reader.submit(_read, view, some)
            if before is not None:
                yield from _with_contents(*before)
            before = some, reading
        if before is not None:
            yield from _with_contents(*before)


def _walk(view: cas.View, path: str, folder: cas.Entry) -> Iterator[Step]:
    stack = [(path, "", folder, view.list(path))]
    while stack:
        path, name, folder, names = stack[-1]
        try:
            found = next(names, None)
        except cas.IntegrityError as error:
            yield Step(Action.TELL, path, name, folder, error)
            found = None
        if found is None:
            stack.pop()
            yield Step(Action.LEAVE, path, name, folder)
            continue
        name, entry = found
        below = f"{path}/{name}" if path else name
        if not entry.is_directory:
            yield Step(Action.WRITE, below, name, entry)
            continue
        try:
            inside = view.list(below)
        except (cas.IntegrityError, cas.PurgedError) as error:
            yield Step(Action.TELL, below, name, entry, error)
            continue
        yield Step(Action.ENTER, below, name, entry)
        stack.append((below, name, entry, inside))


def _batches(steps: Iterator[Step]) -> Iterator[list[Step]]:
    """Yield the steps, so many together that reading their files at once is worth it."""
    batch: list[Step] = []
    size = count = 0
    for step in steps:
        batch.append(step)
        if _is_small(step):
            size += step.entry.size
            count += 1
        if count >= _FILES_AHEAD or size >= _BYTES_AHEAD or len(batch) >= 4 * _FILES_AHEAD:
            yield batch
            batch, size, count = [], 0, 0
    if batch:
        yield batch


def _is_small(step: Step) -> bool:
    return step.action is Action.WRITE and step.entry.kind is cas.EntryKind.CHUNK_FILE


def _read(view: cas.View, steps: list[Step]) -> dict[int, Bytes]:
    """Return the bytes of the small files among the steps, by the step's index."""
    small = [index for index, step in enumerate(steps) if _is_small(step)]
    found: dict[int, Bytes] = {}
    try:
        pieces = view.read_small([steps[index].entry for index in small])
        found.update(zip(small, pieces, strict=True))
    except (cas.IntegrityError, cas.PurgedError):
        pass  # those that are left are opened one by one
    return found


def _with_contents(steps: list[Step], reading: Future[dict[int, Bytes]]) -> Iterator[Step]:
    contents = reading.result()
    for index, step in enumerate(steps):
        yield step._replace(content=contents[index]) if index in contents else step
