"""What the operations of a commit expect, judged inside it on the state that it finds."""

from __future__ import annotations

from typing import NamedTuple

import cas
from cas import wire
from dav.api.places import Linked


class UnexpectedError(Exception):
    """Some operations do not meet what they expect."""

    def __init__(self, failures: list[wire.Failure]) -> None:
        super().__init__(f"{len(failures)} operations do not meet what they expect")
        self.failures = failures


class Expected(NamedTuple):
    """What one operation expects at one path; `base` is what the device knew there."""

    operation: int
    path: str
    expectation: wire.Expectation
    base: cas.Entry | None


class Judge:
    """The check of one commit: all that does not hold is told at once.

    `base` is the state that the device knew, where any operation refers to it. What it had is
    looked up before the commit, in which the store waits.
    """

    def __init__(
        self, linked: Linked, operations: list[wire.Operation], base: cas.View | None
    ) -> None:
        self._linked = linked
        self._expected: list[Expected] = []
        for index, operation in enumerate(operations):
            for path, expectation in _expectations(operation):
                there = linked.path(path)
                known = None
                if isinstance(expectation, wire.Unchanged) and base is not None:
                    known = base.get(there)
                self._expected.append(Expected(index, there, expectation, known))

    def __call__(self, state: cas.TreeState) -> None:
        """Judge the state.

        Raises:
            UnexpectedError: something does not hold.
        """
        failed: dict[int, wire.Failure] = {}
        for index, path, expectation, base in self._expected:
            entry = state.get(path)
            if not self._holds(expectation, entry, base):
                words = f"{path!r} is not as expected"
                failed.setdefault(index, wire.Failure(index, "precondition_failed", words))
        if failed:
            raise UnexpectedError(list(failed.values()))

    def _holds(
        self, expectation: wire.Expectation, entry: cas.Entry | None, base: cas.Entry | None
    ) -> bool:
        match expectation:
            case wire.Absent():
                return entry is None
            case wire.Exists():
                return entry is not None
            case wire.HasEntry(entry_id):
                return entry is not None and self._linked.volume.entry_id(entry) == entry_id
            case wire.HasContent(content):
                return entry is not None and entry.content == content
            case wire.Unchanged():
                return _shape(entry) == _shape(base)


def _shape(entry: cas.Entry | None) -> tuple[cas.EntryKind, bytes] | None:
    return None if entry is None else (entry.kind, entry.content)


def _expectations(operation: wire.Operation) -> list[tuple[bytes, wire.Expectation]]:
    """Return the paths of an operation with what is expected there."""
    if isinstance(operation, wire.MakeFolder):
        return []  # making it says that nothing is there
    if isinstance(operation, wire.Move | wire.Copy):
        pairs = [
            (operation.source, operation.expect),
            (operation.path, operation.expect_path),
        ]
    else:
        pairs = [(operation.path, operation.expect)]
    return [(path, each) for path, each in pairs if each is not None]
