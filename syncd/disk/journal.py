"""The intent journal: what was about to happen in syncd's own folder when a process died.

An intent is on the disk before its step begins, and goes in the transaction that records what came
of it. After a crash it tells for each file in syncd's own folder whether it was made by syncd or is
the user's: nothing else is needed, since what is still to be done follows from the trees.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from syncd.disk.base import pack_signature, unpack_signature
from syncd.disk.database import Database
from syncd.disk.signatures import Signature
from syncd.disk.steps import Displaced, Install, RemoveFile, Step


class Intent(msgspec.Struct, array_like=True, frozen=True):
    """A step that puts something into, or takes it out of, syncd's own folder.

    `name` is there both in the temporary directory and in the trash. `made` is the packed
    signature of what syncd made under it, `expected` of what the step displaces; empty for nothing.
    """

    path: bytes
    name: str
    made: bytes
    expected: bytes


class Journal:
    """Intents and the trash's list in a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, steps: Iterable[tuple[Step, str]]) -> list[int]:
        """Write down what is about to happen, each step with the name it uses.

        Returns:
            the id of each step's intent, 0 for a step that needs none.
        """
        intents = [_intent(step, name) for step, name in steps]
        if not any(intents):
            return [0] * len(intents)
        with self._database.transaction() as connection:
            return [
                connection.execute(
                    "INSERT INTO intents (step) VALUES (?)", (msgspec.msgpack.encode(intent),)
                ).lastrowid
                or 0
                if intent
                else 0
                for intent in intents
            ]

    def end(self, ids: Iterable[int], displaced: Iterable[Displaced], now_ns: int) -> None:
        """Write down that steps are over, and what they put into the trash."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM intents WHERE id = ?", ((one,) for one in ids))
            connection.executemany(
                "REPLACE INTO displaced VALUES (?, ?, ?, ?)",
                (
                    (one.name, os.fsencode(one.path), pack_signature(one.signature), now_ns)
                    for one in displaced
                ),
            )

    def intents(self) -> list[tuple[int, Intent]]:
        """Return what was not over when the last process ended."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT id, step FROM intents ORDER BY id").fetchall()
        return [(id, msgspec.msgpack.decode(step, type=Intent)) for id, step in rows]

    def displaced(self, before_ns: int) -> list[Displaced]:
        """Return what was put into the trash before a time, by this machine's clock."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, path, signature FROM displaced WHERE at_ns <= ?", (before_ns,)
            ).fetchall()
        return [
            Displaced(name, os.fsdecode(path), unpack_signature(signature))
            for name, path, signature in rows
        ]

    def forget(self, name: str) -> None:
        """Take a name off the trash's list."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM displaced WHERE name = ?", (name,))


def _intent(step: Step, name: str) -> Intent | None:
    if isinstance(step, Install):
        expected = pack_signature(step.expected) if step.expected else b""
        return Intent(os.fsencode(step.path), name, pack_signature(step.staged.signature), expected)
    if isinstance(step, RemoveFile):
        return Intent(os.fsencode(step.path), name, b"", pack_signature(step.expected))
    return None


def is_expected(intent: Intent, signature: Signature) -> bool:
    """Tell whether a signature is of what the step was to displace, unchanged since."""
    return bool(intent.expected) and unpack_signature(intent.expected).holds_same(signature)


def is_made(intent: Intent, signature: Signature) -> bool:
    """Tell whether a signature is of what syncd made for the step."""
    return bool(intent.made) and unpack_signature(intent.made).holds_same(signature)
