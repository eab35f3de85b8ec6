"""Keys of commits that were carried out: so that one which is sent again is not done again.

A key stands in the catalog from the transaction on that carried it out, for a week. It is part of
the changes too: where the catalog was lost, who asks looks at the changes up to the number from
which on the catalog knows (`known_from`).
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Final

from blake3 import blake3

from cas.catalog import ReadTransaction, WriteTransaction
from cas.journal import Batch
from cas.scratch import fresh, stamped

KEPT_NS: Final = 7 * 86_400 * 1_000_000_000
_RANGE: Final = struct.Struct(">QQ")
_NEVER: Final = 2**64 - 1


def find_done(
    transaction: ReadTransaction, volume_id: bytes, author: str, key: str, now_ns: int
) -> tuple[int, int] | None:
    """Return the number of the last change before an edit and of its last one, if it was done."""
    row = fresh(transaction.scratch(_name(volume_id, author, key)), now_ns)
    if row is None:
        return None
    before, sequence = _RANGE.unpack(row)
    return before, sequence


def note_done(
    transaction: WriteTransaction,
    volume_id: bytes,
    author: str,
    key: str,
    changes: tuple[int, int],
    now_ns: int,
) -> None:
    """Remember that an edit with this key led from one number to another."""
    since = b"done-from/" + volume_id
    if transaction.scratch(since) is None:
        transaction.put_scratch(since, stamped(_RANGE.pack(changes[0], 0), _NEVER))
    row = stamped(_RANGE.pack(*changes), now_ns + KEPT_NS)
    transaction.put_scratch(_name(volume_id, author, key), row)


def note_replayed(transaction: WriteTransaction, batch: Batch) -> None:
    """Remember the keys of changes that were done again from the journal."""
    first = batch.sequence
    for (author, key), changes in groupby(batch.changes, lambda each: (each.author, each.key)):
        made = list(changes)
        if key:
            done = first - 1, first + len(made) - 1
            note_done(transaction, batch.volume_id, author, key, done, made[-1].time_ns)
        first += len(made)


def known_from(transaction: ReadTransaction, volume_id: bytes) -> int | None:
    """Return the number behind which the keys of all edits are known; None if of none."""
    row = transaction.scratch(b"done-from/" + volume_id)
    return None if row is None else int(_RANGE.unpack(row[-_RANGE.size :])[0])


def _name(volume_id: bytes, author: str, key: str) -> bytes:
    typed = author.encode("utf-8", "surrogateescape")
    message = len(typed).to_bytes(4, "big") + typed + key.encode("utf-8", "surrogateescape")
    return b"done/" + volume_id + blake3(message).digest()
